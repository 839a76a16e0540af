"""``bnexp compare``: arms of a runs folder against each other, with intervals and verdicts; imports no torch."""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import shlex
from pathlib import Path

from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import program
from bnexp.compare import Question, compare
from bnexp.compare.arms import Run, complete_runs, nearest_key
from bnexp.compare.frames import rows_of_arms, rows_of_runs
from bnexp.compare.latex import latex
from bnexp.compare.words import in_words
from bnexp.errors import UserError, nearest
from bnexp.records.reader import RunRecord, find_runs

#: The command's own settings; another key before an ``=`` is a setting of runs and takes those that have it.
SETTINGS = ("by", "base", "tune", "measure", "effect", "paired", "targets", "runs_dir")


def main(argv: list[str]) -> int:
    """Print the comparison; nothing is written."""
    own, where = _sorted_words(argv)
    arguments = _parser().parse_intermixed_args(as_flags("compare", own, SETTINGS))
    if arguments.folder and arguments.runs_dir:
        raise UserError(
            "the folder is named twice",
            got=f"{arguments.folder} runs_dir={arguments.runs_dir}",
            todo=f"{program()} compare {arguments.folder}",
        )
    folder = (arguments.folder or arguments.runs_dir or Path("runs")).expanduser()
    records = _records(folder)
    runs, _ = complete_runs(records)
    question = Question(
        by=_keys("by", arguments.by, runs),
        tune=_keys("tune", arguments.tune, runs),
        where={key: _values(word) for key, word in where.items()},
        base=_base(arguments.base, runs),
        measure=arguments.measure or "",
        effect=_effect(arguments.effect),
        paired=_paired(arguments.paired),
        targets=_targets(arguments.targets),
    )
    for key in where:
        _check_filter(key, where[key], runs)
    comparison = compare(records, question)
    if arguments.csv or arguments.json:
        members = [run for block in comparison.blocks for run in block.runs]
        rows = rows_of_runs(members, question.targets) if arguments.runs else rows_of_arms(comparison)
        print(json.dumps(rows) if arguments.json else _csv(rows), end="\n" if arguments.json else "")
    else:
        print(latex(comparison) if arguments.latex else in_words(comparison, arguments.runs))
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        "bnexp compare",
        usage="bnexp compare [FOLDER] [by=KEY,...] [base=KEY=VALUE] [KEY=VALUE ...] [--runs] [--csv|--json|--latex]",
        description="Arms of complete runs, found by the settings in which these differ: accuracies, times to targets and "
        "prices with intervals, and of each arm against its base whether it is better, worse or equivalent, or how many "
        "more seeds would tell.",
        epilog="KEY=VALUE[,VALUE] takes the runs with this setting only, e.g. dataset=mnist norm=none,batch. Accuracies are "
        "compared by differences in points, all else by ratios. by=norm is the same as --by norm.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", metavar="FOLDER", help="a runs folder, or an export (default: runs)"
    )
    parser.add_argument(
        "--by",
        metavar="KEYS",
        help="settings that make the arms (default: all that differ); arms that differ in others too are compared apart",
    )
    parser.add_argument(
        "--tune",
        metavar="KEYS",
        help="settings of which each arm takes its best value by validation, e.g. optimizer.lr",
    )
    parser.add_argument(
        "--base",
        metavar="KEY=VALUE",
        help="what arms are compared with (default: norm=none, else the best by validation)",
    )
    parser.add_argument(
        "--measure",
        metavar="NAME",
        help="what is judged, e.g. test, validation, steps@0.9, seconds@0.9 (default: test)",
    )
    parser.add_argument(
        "--effect",
        metavar="NUMBER",
        help="the smallest effect that matters, in points, or in %% of ratios (default: 0.5, 10)",
    )
    parser.add_argument(
        "--paired",
        metavar="true|false",
        help="true insists on pairs of a seed, false does without (default: pairs where records say so)",
    )
    parser.add_argument(
        "--targets", metavar="NUMBERS", help="validation accuracies to reach, e.g. 0.9,0.95 (default: the runs')"
    )
    parser.add_argument("--runs-dir", type=Path, help="the same as FOLDER")
    parser.add_argument(
        "--runs", action="store_true", help="each arm's runs under it; with --csv and --json a row a run"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--csv", action="store_true", help="a row an arm, every measure with its limits")
    shape.add_argument("--json", action="store_true", help="for machines")
    shape.add_argument("--latex", action="store_true", help="a table for booktabs")
    return parser


def _sorted_words(argv: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command's own words, and the settings that runs must have."""
    own: list[str] = []
    where: dict[str, str] = {}
    for word in argv:
        key, equals, value = word.partition("=")
        flag_before = bool(own) and own[-1].startswith("--") and own[-1][2:].replace("-", "_") in SETTINGS
        if not equals or word.startswith("-") or "/" in key or key in SETTINGS or flag_before or Path(word).exists():
            own.append(word)
        elif key in where:
            raise UserError(
                "a setting is given twice", got=f"{key}={where[key]} {word}", todo=f"{key}={where[key]},{value}"
            )
        else:
            where[key] = value
    return own, where


def _records(folder: Path) -> list[RunRecord]:
    if folder.is_file():
        raise UserError(
            "the runs are read from a folder, and this is a file",
            got=folder,
            todo=f"{program()} compare {shlex.quote(str(folder.parent))}",
        )
    if not folder.exists():
        raise UserError(
            "there is no such folder",
            got=folder,
            todo=f"{program()} train norm=none,batch seed=0,1,2 runs_dir={shlex.quote(str(folder))}",
        )
    records = find_runs(folder)
    if not any(record.complete and "config" in record.header for record in records):
        what = (
            f"there is no complete run in this folder ({len(records)} that are not)"
            if records
            else "there is no run in this folder"
        )
        raise UserError(
            what, got=folder, todo=f"{program()} train norm=none,batch seed=0,1,2 runs_dir={shlex.quote(str(folder))}"
        )
    return records


def _values(word: str) -> list[str]:
    """The values of ``KEY=a,b``; commas inside brackets belong to a value."""
    return [value.strip() for value in re.split(r",(?![^\[]*\])", word) if value.strip()]


def _keys(setting: str, word: str | None, runs: list[Run]) -> tuple[str, ...]:
    keys = tuple(_values(word or ""))
    if word is not None and not keys:
        raise UserError(f"{setting} names no setting", got=f"{setting}={word}", todo=f"{setting}=norm")
    for key in keys:
        if "=" in key:
            raise UserError(
                f"{setting} takes names of settings", got=f"{setting}={word}", todo=f"{setting}={key.split('=')[0]}"
            )
        _known(setting, key, runs)
    return tuple(dict.fromkeys(keys))


def _known(setting: str, key: str, runs: list[Run]) -> None:
    """Refuse a key that no run has."""
    names = {name for run in runs for name in run.settings}
    if key not in names:
        guess = nearest_key(key, runs)
        todo = f"{setting}={guess}" if guess else f"{setting}=norm"
        raise UserError(f"no run has a setting {key!r}", got=f"{setting}={key}", todo=todo)


def _check_filter(key: str, value: str, runs: list[Run]) -> None:
    """Refuse a key that is neither a setting of runs nor of the command."""
    names = {name for run in runs for name in run.settings} | {"seed"}
    if not value:
        raise UserError("a setting needs a value", got=f"{key}=", todo=f"{key}=VALUE, or leave it out")
    if key in names:
        return
    if guess := nearest(key, SETTINGS, cutoff=0.7):
        raise UserError(
            "bnexp compare has no such setting, and no run has it",
            got=f"{key}={value}",
            todo=f"{guess}={value} (known: {', '.join(SETTINGS)})",
        )
    raise UserError(
        f"no run has a setting {key!r}", got=f"{key}={value}", todo=f"{nearest_key(key, runs) or 'norm'}={value}"
    )


def _base(word: str | None, runs: list[Run]) -> dict[str, str]:
    found = {}
    for one in _values(word or ""):
        key, equals, value = one.partition("=")
        if not value:
            todo = f"base={key}=VALUE" if equals or nearest_key(one, runs) == one else f"base=norm={one}"
            raise UserError("base is a setting of the arm that others are compared with", got=f"base={word}", todo=todo)
        _known("base", key, runs)
        found[key] = value
    if word is not None and not found:
        raise UserError(
            "base is a setting of the arm that others are compared with", got="base=", todo="base=norm=none"
        )
    return found


def _effect(word: str | None) -> float | None:
    if word is None:
        return None
    try:
        effect = float(word)
    except ValueError:
        effect = -1.0
    if not 0 < effect < float("inf"):
        raise UserError(
            "effect must be a number above 0: points of accuracy, or per cent of a ratio",
            got=f"effect={word}",
            todo="effect=0.5",
        )
    return effect


def _paired(word: str | None) -> bool | None:
    if word is None:
        return None
    if word.lower() not in ("true", "false"):
        raise UserError("paired is true or false", got=f"paired={word}", todo="paired=false")
    return word.lower() == "true"


def _targets(word: str | None) -> tuple[float, ...]:
    if word is None:
        return ()
    try:
        targets = tuple(sorted({float(value) for value in word.strip("[]").split(",")}))
    except ValueError:
        targets = (2.0,)
    if not all(0 < target < 1 for target in targets):
        raise UserError(
            "targets are validation accuracies between 0 and 1", got=f"targets={word}", todo="targets=0.9,0.95"
        )
    return targets


def _csv(rows: list[dict[str, object]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
