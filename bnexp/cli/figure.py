"""``bnexp figure``: a figure that the claims draw, from records, as a file; imports no torch, trains nothing."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnexp.cli.main import DONE
from bnexp.cli.report import kept_budget, told_if_unwritable
from bnexp.cli.settings import Parser, as_flags, plugin_names
from bnexp.cli.table import columns, program
from bnexp.config.plugins import import_plugins
from bnexp.errors import UserError, nearest
from bnexp.text import WIDTH

if TYPE_CHECKING:
    from bnexp.claims.base import Claim, Evidence

SETTINGS = ("budget", "runs_dir", "out", "format", "plugins")


def main(argv: list[str]) -> int:
    """Draw the named figures into a folder; without a name, list them."""
    arguments = _parser().parse_intermixed_args(as_flags("figure", argv, SETTINGS))
    import_plugins(plugin_names(arguments.plugins))
    captions = _captions()
    names, folder = _names_and_folder(arguments.words, arguments.runs_dir, captions)
    if not names:
        rows = [{"name": name, "what": words} for name, words in captions.items()]
        width = WIDTH - 2 - max(map(len, captions))
        table = columns([[row["name"], _short(row["what"], width)] for row in rows])
        print(json.dumps(rows) if arguments.json else f"{table}\ndraw one: {program()} figure fig1 results/full --out figures")
        return DONE
    if arguments.out is None:
        raise UserError("bnexp figure needs a folder to write to", todo=f"{program()} figure {' '.join(names)} --out figures")
    formats = _formats(arguments.format)
    budget = kept_budget(folder, arguments.budget)

    from bnexp.claims.judge import in_one_line
    from bnexp.report.pictures import TOGETHER, drawings

    needed = dict.fromkeys(part for name in names for part in ([p.claim for p in TOGETHER.get(name, ())] or [name]))
    evidence, absent = {}, dict[str, UserError]()
    for name in needed:
        try:
            evidence[name] = _evidence(name, budget, folder)
        except UserError as error:
            if "all" not in arguments.words:
                raise
            absent[name] = error
    if not evidence:
        raise next(iter(absent.values()))
    known = drawings(evidence)
    names = [name for name in names if name in known]
    written: list[str] = []
    with told_if_unwritable(arguments.out, "out=FOLDER, one you may write to"):
        for name in names:
            try:
                written += map(str, known[name].save(arguments.out / name, formats))
            except OSError:
                raise
            except Exception as error:
                raise UserError(
                    f"the figure {name} cannot be drawn from these records", got=in_one_line(error),
                    todo=f"{program()} report {folder} budget={budget}",
                ) from error  # fmt: skip
    print(json.dumps(written) if arguments.json else "\n".join(written))
    if absent:
        print(f"not drawn, for want of runs in {folder}: {', '.join(absent)}", file=sys.stderr)
    return DONE


def _parser() -> Parser:
    parser = Parser(
        "bnexp figure",
        usage="bnexp figure [NAME ... | all] [FOLDER] --out DIR [format=svg,png,pdf] [budget=NAME] [plugins=[MODULE]] [--json]",
        description="Figures that the claims draw, of a runs folder or an export. Without a name: a list.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="NAME, FOLDER")
    parser.add_argument("--runs-dir", type=Path, help="the folder, said another way (default: runs)")
    parser.add_argument("--out", type=lambda word: Path(word).expanduser(), metavar="DIR", help="where to write")
    parser.add_argument("--format", default="svg,png", help="svg, png, pdf, or several (default: svg,png)")
    parser.add_argument("--budget", help="smoke, quick or full (default: quick if it is there, else the one that is)")
    parser.add_argument("--plugins", default="", metavar="[MODULE]", help="your own modules with claims of their own")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _captions() -> dict[str, str]:
    """Every figure to what it shows, the figures of several claims first."""
    from bnexp.claims import CLAIMS
    from bnexp.report.pictures import TOGETHER

    captions = {name: "beside each other: " + ", ".join(part.claim for part in parts) for name, parts in TOGETHER.items()}
    for name in CLAIMS:
        words = inspect.getdoc(CLAIMS[name].draw) or CLAIMS[name].statement
        captions[name] = " ".join(words.split("\n\n")[0].split())
    return captions


def _names_and_folder(words: Sequence[str], runs_dir: Path | None, known: dict[str, str]) -> tuple[list[str], Path]:
    """The figures that are named, each once, and where the records are.

    Raises:
        UserError: a word that is neither, or a second folder.
    """
    folders, names = [runs_dir.expanduser()] if runs_dir else [], list[str]()
    for word in words:
        folder = Path(word).expanduser()
        if word == "all" or word in known:
            names += list(known) if word == "all" else [word]
        elif "/" in word or folder.is_dir():
            folders.append(folder)
        else:
            guess = nearest(word, known)
            todo = f"{program()} figure {guess} --out figures" if guess else f"{program()} figure"
            raise UserError("this is neither a figure nor a folder", got=word, todo=todo)
    if len(folders) > 1:
        raise UserError("bnexp figure reads one folder", got=" ".join(map(str, folders)), todo=str(folders[0]))
    return list(dict.fromkeys(names)), folders[0] if folders else Path("runs")


def _evidence(name: str, budget: str, folder: Path) -> tuple[Claim, Evidence]:
    """A claim and what its analysis makes of its runs; nothing is judged.

    Raises:
        UserError: the claim was not reproduced here, or runs are missing.
    """
    from bnexp.claims import CLAIMS
    from bnexp.claims.judge import in_one_line
    from bnexp.claims.runs import Runs, kept_cells
    from bnexp.records.archive import is_archive
    from bnexp.rng import numpy_stream

    claim, cells = CLAIMS[name], kept_cells(folder, budget).get(name, ())
    runs = Runs(claim, budget, cells, folder)
    missing = runs.missing()
    if not cells or missing:
        what = f"{len(missing)} runs of {name} are missing" if cells else f"{name} was not reproduced"
        place = "" if is_archive(folder) else f" runs_dir={folder}"  # nothing is added to an export
        todo = f"{program()} reproduce {name} budget={budget}{place}"
        raise UserError(f"{what} in this folder with budget={budget}", got=folder, todo=todo)
    try:
        return claim, claim.analyse(runs, numpy_stream(0, f"claims/{claim.id}"))
    except Exception as error:
        todo = f"{program()} report {folder} {name} budget={budget}"
        raise UserError(f"the analysis of {name} breaks down", got=in_one_line(error), todo=todo) from error


def _formats(typed: str) -> list[str]:
    from bnexp.figures.style import FORMATS

    formats = [word.strip().lower().lstrip(".") for word in typed.strip("[]").split(",") if word.strip()]
    for word in formats or [""]:
        if word not in FORMATS:
            todo = f"format={nearest(word, FORMATS) or 'svg,png'}"
            raise UserError(f"a figure is written as {', '.join(FORMATS)}", got=f"format={typed}", todo=todo)
    return list(dict.fromkeys(formats))


def _short(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1].rstrip() + "…"
