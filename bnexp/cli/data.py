"""``bnexp data``: which data sets are here, getting them, checking them, importing files you already have.

Imports torch only where a data set has to be parsed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bnexp.cli.settings import Parser
from bnexp.config.checks import option_names
from bnexp.config.paths import defaults, first_comment, group_files
from bnexp.data import SOURCES, resolve_data_dir
from bnexp.data.cache import cache_file, read_cache
from bnexp.data.image_folder import list_pictures
from bnexp.data.official import OFFICIAL, copy_in, find_official, inspect, look_alikes
from bnexp.errors import UserError, program, unknown_name
from bnexp.rng import numpy_stream
from bnexp.text import columns, words_below

DONE = 0

_HERE = {True: "yes", False: "no", None: "yours"}

_EPILOG = """\
  bnexp data list                        what is here, and what getting the rest costs
  bnexp data fetch mnist cifar10         download, verify and parse
  bnexp data check                       checksums of everything that is here
  bnexp data import ~/Downloads          copy official files found below a folder, whatever they are called
  bnexp data split imgs                  imgs-split/train and /test from class folders imgs/cat, imgs/dog
"""


class Entry(NamedTuple):
    """One data set in ``bnexp data list``.

    ``here``: its files (or their parsed copy) are in the data folder, or it needs none; null for a user's own data. ``bytes``: on
    disk, parsed copy included. ``download_mb``: 10^6 bytes to download; 0 for none.
    """

    name: str
    here: bool | None
    bytes: int
    download_mb: int
    what: str


class Condition(NamedTuple):
    """One data set in ``bnexp data check``: ``state`` is ``good``, ``damaged``, ``incomplete`` or ``absent``."""

    name: str
    state: str
    detail: str


def main(argv: list[str]) -> int:
    """The command; returns the exit code.

    Raises:
        UserError: an unknown data set, a damaged or missing file, no network.
    """
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = ["list", *argv]
    arguments = _parser().parse_args(argv)
    data_dir = resolve_data_dir(arguments.data_dir)
    if arguments.action == "list":
        return _list(data_dir, arguments.json)
    if arguments.action == "fetch":
        return _fetch(data_dir, arguments.names)
    if arguments.action == "check":
        return _check(data_dir, arguments.names, arguments.json)
    path = Path(os.path.expanduser(arguments.path))
    if arguments.action == "split":
        return _split(path)
    return _import(data_dir, path, arguments.name)


def _parser() -> argparse.ArgumentParser:
    shared = Parser(add_help=False)
    shared.add_argument(
        "--data-dir", metavar="FOLDER", help="the data folder (default: $BNEXP_DATA, else a cache folder)"
    )
    parser = Parser(
        "bnexp data",
        allow_abbrev=False,
        description=__doc__.splitlines()[0],
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|fetch|check|import|split")
    listing = actions.add_parser("list", parents=[shared], help="what is here")
    fetching = actions.add_parser("fetch", parents=[shared], help="download what is not here")
    fetching.add_argument("names", nargs="+", metavar="NAME")
    checking = actions.add_parser("check", parents=[shared], help="verify checksums")
    checking.add_argument("names", nargs="*", metavar="NAME")
    importing = actions.add_parser("import", parents=[shared], help="copy official files found below a path")
    importing.add_argument("path", metavar="PATH")
    importing.add_argument("name", nargs="?", metavar="NAME", help="only this data set")
    splitting = actions.add_parser("split", parents=[shared], help="draw a test part from folders of classes")
    splitting.add_argument("path", metavar="PATH")
    for action in (listing, checking):
        action.add_argument("--json", action="store_true", help="for machines")
    return parser


def _list(data_dir: Path, as_json: bool) -> int:
    files = group_files("dataset")
    rows = [_entry(name, data_dir, first_comment(files[name]) if name in files else "") for name in SOURCES]
    table = [["dataset", "here", "on disk", "to get it", "what"]]
    for row in rows:
        first = f"{program()} data fetch {SOURCES[row.name].of}, " if SOURCES[row.name].of else ""
        cost = {
            None: f"dataset={row.name} dataset.path=PATH", True: "nothing", False: f"{first}{row.download_mb} MB to download"
        }[row.here]  # fmt: skip
        table.append([row.name, _HERE[row.here], f"{row.bytes / 1e6:.0f} MB" if row.bytes else "-", cost, row.what])
    _print(data_dir, rows, as_json, words_below(table) if sys.stdout.isatty() else columns(table))
    return DONE


def _print(data_dir: Path, rows: Sequence[Entry] | Sequence[Condition], as_json: bool, table: str) -> None:
    if as_json:
        print(json.dumps({"data_dir": str(data_dir), "datasets": [row._asdict() for row in rows]}, indent=2))
    else:
        print(f"data folder: {data_dir}\n{table}")


def _entry(name: str, data_dir: Path, what: str) -> Entry:
    caches, spec = parsed_copies(name, data_dir), SOURCES[name]
    official, origin = OFFICIAL.get(name), OFFICIAL.get(spec.of or name)
    forms = [[data_dir / file.path for file in form] for form in official.forms] if official else []
    places = [*caches, *(file for file in itertools.chain(*forms) if file.is_file())]
    here: bool | None = not official or bool(caches) or any(set(form) <= set(places) for form in forms)
    if spec.here:
        here = spec.here(data_dir)
    if spec.fingerprint:
        here = None
    return Entry(name, here, sum(file.stat().st_size for file in places), origin.download_mb if origin else 0, what)


def parsed_copies(name: str, data_dir: Path) -> list[Path]:
    """The kept copies of a data set's arrays: one, or of a part of another set one for each size."""
    one = cache_file(data_dir, name)
    several = sorted(one.parent.glob(f"{one.stem}_[0-9]*{one.suffix}")) if SOURCES[name].of else []
    return [file for file in (one, *several) if file.is_file()]


def _fetch(data_dir: Path, names: Sequence[str]) -> int:
    for name in _known(names):
        load = SOURCES[name].load
        options = {key: defaults("dataset", name)[key] for key in option_names(load)}
        source = load(data_dir, **options)
        print(f"{name}: {len(source.train):,} training and {len(source.test):,} test images, verified, in {data_dir}")
    return DONE


def _check(data_dir: Path, names: Sequence[str], as_json: bool) -> int:
    checked = [name for name in _known(names) or SOURCES if SOURCES[name].fingerprint is None]
    conditions = [condition_of(name, data_dir) for name in checked]
    _print(data_dir, conditions, as_json, columns([["dataset", "state", ""], *map(list, conditions)]))
    if damaged := [condition for condition in conditions if condition.state == "damaged"]:
        names, files = zip(*((condition.name, condition.detail) for condition in damaged), strict=True)
        raise UserError(
            f"damaged data: {', '.join(names)}",
            got="; ".join(files),
            todo=f"rm {' '.join(files)} && bnexp data fetch {' '.join(names)}",
        )
    return DONE


def condition_of(name: str, data_dir: Path) -> Condition:
    """The state of a data set's files; ``detail`` of damaged ones is their names as a shell takes them."""
    parsed, spec = parsed_copies(name, data_dir), SOURCES[name]
    for cache in parsed:
        try:
            read_cache(cache)
        except UserError:
            return Condition(name, "damaged", shlex.quote(str(cache)))
    if spec.here and not spec.here(data_dir):
        return Condition(name, "absent", f"{program()} data fetch {spec.of or name}")
    if name not in OFFICIAL:
        unparsed = f"made of {spec.of}'s files and verified then" if spec.of else "embedded: nothing to verify before its first use"
        return Condition(name, "good", "parsed copy matches its checksum" if parsed else unparsed)
    holding = inspect(data_dir, OFFICIAL[name])
    if holding.damaged:
        return Condition(name, "damaged", shlex.join(str(data_dir / file.path) for file in holding.damaged))
    if holding.form:
        return Condition(name, "good", "official checksums match" + (", so does the parsed copy" if parsed else ""))
    if parsed:
        return Condition(name, "good", "parsed copy matches its checksum; the original files are not here")
    if len(holding.missing) < len(OFFICIAL[name].forms[0]):
        return Condition(name, "incomplete", f"missing {', '.join(file.name for file in holding.missing)}")
    return Condition(name, "absent", f"{program()} data fetch {name}")


def _import(data_dir: Path, path: Path, name: str | None) -> int:
    if not path.exists():
        raise UserError("there is nothing at this path", got=path, todo="bnexp data import PATH [NAME]")
    names = _known([name], official=True) if name else list(OFFICIAL)
    found = find_official(path, names)
    if not found:
        alike = look_alikes(path, names)
        wanted = ", ".join(file.name for file in OFFICIAL[name or "mnist"].forms[0])
        usual = f"bnexp data import PATH, with the files of {name or 'mnist, or of another set'}: {wanted}"
        raise UserError(
            f"no intact official files of {name or 'any data set'} below this path (they are recognised by checksum)",
            got="; ".join(
                [str(path), *(words for words, _ in alike[:4]), *[f"and {len(alike) - 4} more"] * (len(alike) > 4)]
            ),
            todo=next((todo for _, todo in alike if todo), usual),
        )
    for match in found:
        target = copy_in(match, data_dir)
        print(f"{match.name}: {match.file.name} " + (f"<- {match.path}" if target else "is here already"))
    return _summarise(data_dir, path, sorted({match.name for match in found}))


def _split(path: Path) -> int:
    """Copy class folders into a data set with a training and a test part; all of it is there at the end, or nothing."""
    source = Path(os.path.abspath(path))
    target = source.with_name(f"{source.name}-split")
    advice = "bnexp data split FOLDER   (which holds a folder of pictures for each class)"
    if target.exists():
        raise UserError(
            "there is something at the place of the new folder", got=target, todo=f"rm -r {shlex.quote(str(target))}"
        )
    if not source.is_dir():
        raise UserError("there is no folder at this path", got=path, todo=advice)
    classes = {name: files for name, files in list_pictures(source).classes.items() if files}
    if len(classes) < 2 or min(map(len, classes.values())) < 2:
        got = ", ".join(f"{name}: {len(files)}" for name, files in classes.items()) or f"no pictures in {path}"
        raise UserError("each of at least two classes needs two pictures or more", got=got, todo=advice)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        for name, files in classes.items():
            order = numpy_stream(0, f"data split/{name}").permutation(len(files))
            for rank, file in enumerate(files[index] for index in order):
                part = "test" if rank < max(1, len(files) // 5) else "train"
                place = partial / part / file.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"the pictures cannot be copied: {error}", got=target, todo=advice) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{len(classes)} classes, a fifth of each drawn for testing; use it with")
    print(f"  {program()} train dataset=image_folder dataset.path={shlex.quote(str(target))}")
    return DONE


def _summarise(data_dir: Path, path: Path, names: Sequence[str]) -> int:
    incomplete = {name: inspect(data_dir, OFFICIAL[name]) for name in names}
    incomplete = {name: holding for name, holding in incomplete.items() if holding.form is None}
    for name in names:
        if name not in incomplete:
            print(f"{name}: complete and verified in {data_dir}; use it with dataset={name}")
    if incomplete:
        missing = [file.name for holding in incomplete.values() for file in holding.missing]
        stems = [name.partition("-idx")[0] for name in missing]
        alike = [words for words, _ in look_alikes(path, list(incomplete)) if any(stem in words for stem in stems)]
        raise UserError(
            f"{', '.join(incomplete)} is not complete yet",
            got="; ".join([f"missing {', '.join(missing)}", *alike[:4]]),
            todo="bnexp data import PATH, where the missing files are",
        )
    return DONE


def _known(names: Sequence[str], *, official: bool = False) -> Sequence[str]:
    """The names, if all are data sets that are not made of a user's own files (and have official files)."""
    for name in names:
        if name not in SOURCES:
            raise unknown_name("dataset", name, SOURCES)
        if official and name not in OFFICIAL:
            raise UserError(
                f"dataset={name} has no official files to import", got=name, todo=f"one of {', '.join(OFFICIAL)}"
            )
        if SOURCES[name].fingerprint is not None:
            raise UserError(
                f"dataset={name} is made of your own files; they have no official copy or checksum",
                got=name,
                todo=f"bnexp train dataset={name} dataset.path=PATH",
            )
    return names
