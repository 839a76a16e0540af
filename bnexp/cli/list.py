"""``bnexp list``: what there is to choose from, read from the YAML files and the records; imports neither torch nor Hydra."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns, percent
from bnexp.config.paths import first_comment, group_files, own_dir
from bnexp.errors import UserError, nearest
from bnexp.records.reader import RunRecord, find_runs

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


def main(argv: list[str]) -> int:
    """Print names with a line about each; ``runs`` reads the records of a runs folder."""
    kinds = [*GROUPS, "claims", "runs"]
    parser = Parser(
        "bnexp list",
        description="What there is to choose from.",
        epilog="runs_dir=DIR is the same as --runs-dir DIR.",
        allow_abbrev=False,
    )
    parser.add_argument("kind", metavar="|".join(kinds), nargs="?", help="what to list (default: what can be listed)")
    parser.add_argument("-cd", "--config-dir", type=own_dir, help="also your own config folder")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args(as_flags("list", argv, ("runs_dir", "config_dir")))
    empty = ""
    if arguments.kind is None:
        rows = [{"name": name, "what": _kind_words(name)} for name in kinds]
    elif arguments.kind == "runs":
        runs_dir = arguments.runs_dir.expanduser()
        if runs_dir.exists() and not runs_dir.is_dir():
            raise UserError("runs_dir is a file, not a folder", got=runs_dir, todo="bnexp list runs runs_dir=FOLDER")
        rows = [_run_row(record) for record in find_runs(runs_dir)]
        empty = f"no runs in {runs_dir}; make one: bnexp train"
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
        print(_table(rows) if rows else empty)
    return DONE


def _kind_words(kind: str) -> str:
    if kind == "runs":
        return "bnexp list runs      the runs of a folder, and what became of each"
    names = [] if kind == "claims" else list(group_files(GROUPS[kind]))
    return f"bnexp list {kind:<10}{', '.join(names)}".rstrip()


def _claim_rows() -> list[dict[str, Any]]:
    from bnexp.claims import CLAIMS

    claims = sorted((CLAIMS[name] for name in CLAIMS), key=lambda claim: claim.section)
    return [{"name": claim.id, "what": f"{claim.section}. {claim.statement}"} for claim in claims]


def _run_row(record: RunRecord) -> dict[str, Any]:
    if record.damage:
        print(f"{record.folder}: {record.damage}", file=sys.stderr)
    validation, test = (record.end.get(part) for part in ("validation", "test"))
    return {
        "run": record.folder.name,
        "status": record.status,
        "step": record.end.get("step"),
        "val": validation.get("final") if isinstance(validation, dict) else None,
        "test": test.get("accuracy") if isinstance(test, dict) else None,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    if set(rows[0]) == {"name", "what"}:
        return columns([[row["name"], row["what"]] for row in rows])
    return columns([list(rows[0]), *([_word(value) for value in row.values()] for row in rows)])


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return percent(value) if isinstance(value, float) else str(value)
