"""``bnexp list``: what there is to choose from, read from the YAML files and the records; imports neither torch nor Hydra."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bnexp.cli.main import DONE
from bnexp.cli.run_list import list_runs
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns
from bnexp.config.paths import first_comment, group_files, own_dir
from bnexp.errors import UserError, nearest
from bnexp.records.filters import is_condition
from bnexp.text import described

#: Word on the command line to config group.
GROUPS = {
    "norms": "norm",
    "models": "model",
    "datasets": "dataset",
    "optimizers": "optimizer",
    "schedules": "schedule",
    "probes": "probes",
    "experiments": "experiment",
    "debug": "debug",
}

#: Settings that may be given with = as well; what else has one is a filter of runs.
SETTINGS = ("runs_dir", "config_dir", "sort")


def main(argv: list[str]) -> int:
    """Print names with a line about each; ``runs`` reads the records of a runs folder (``cli/run_list.py``)."""
    kinds = [*GROUPS, "claims", "runs"]
    parser = Parser(
        "bnexp list",
        description="What there is to choose from.",
        epilog="runs_dir=DIR is the same as --runs-dir DIR. bnexp list runs takes filters, such as norm=batch,layer "
        "'val.accuracy>0.9' 'steps_to.0.9<=200': a key or a measurement, one of = != > >= < <=, a value; a comma is or.",
        allow_abbrev=False,
    )
    parser.add_argument("kind", metavar="|".join(kinds), nargs="?", help="what to list (default: what can be listed)")
    parser.add_argument("-cd", "--config-dir", type=own_dir, help="also your own config folder")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--sort", metavar="KEY", help="runs by this, from the smallest on; -KEY from the largest")
    parser.add_argument("--json", action="store_true", help="for machines")
    filters: list[str] = []
    if "runs" in argv:
        argv = [f"--{word}" if word.startswith("sort=") else word for word in argv]  # as one word, for a - may follow
        place = argv.index("runs")
        is_filter = [_is_filter(word, at > place and not argv[at - 1].startswith("-")) for at, word in enumerate(argv)]
        filters = [word for word, is_one in zip(argv, is_filter, strict=True) if is_one]
        argv = [word for word, is_one in zip(argv, is_filter, strict=True) if not is_one]
    arguments = parser.parse_args(as_flags("list", argv, SETTINGS))
    if arguments.kind is None:
        rows = [{"name": name, "what": _kind_words(name)} for name in kinds]
    elif arguments.kind == "runs":
        list_runs(filters, arguments.runs_dir.expanduser(), arguments.sort, arguments.json)
        return DONE
    elif arguments.kind in GROUPS:
        files = group_files(GROUPS[arguments.kind], arguments.config_dir)
        rows = [{"name": name, "what": first_comment(file)} for name, file in files.items()]
    elif arguments.kind == "claims":
        rows = _claim_rows()
    else:
        guess = nearest(arguments.kind, kinds) or "norms"
        raise UserError(
            f"bnexp list knows no {arguments.kind!r}",
            got=arguments.kind,
            todo=f"bnexp list {guess} (known: {', '.join(kinds)})",
        )
    if arguments.json:
        print(json.dumps(rows))
    else:
        table = [(row["name"], row["what"]) for row in rows]
        print(described(table) if sys.stdout.isatty() else columns(table))  # in a pipe a line each, for grep
    return DONE


def _is_filter(word: str, stands_alone: bool) -> bool:
    """Whether a word of ``bnexp list runs`` is meant as a filter, and not as a flag, its value or a setting."""
    if word.startswith("-") or word.partition("=")[0] in SETTINGS:
        return False
    return is_condition(word) or stands_alone


def _kind_words(kind: str) -> str:
    if kind == "runs":
        return "bnexp list runs      the runs of a folder, what differs and what became of each"
    names = [] if kind == "claims" else list(group_files(GROUPS[kind]))
    return f"bnexp list {kind:<10}{', '.join(names)}".rstrip()


def _claim_rows() -> list[dict[str, Any]]:
    from bnexp.claims import CLAIMS
    from bnexp.report.words import section_key

    claims = sorted((CLAIMS[name] for name in CLAIMS), key=lambda claim: section_key(claim.section))
    return [{"name": claim.id, "what": f"{claim.section}. {claim.statement}"} for claim in claims]
