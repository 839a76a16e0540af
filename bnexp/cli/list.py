"""``bnexp list``: what there is to choose from, read from the YAML files and the records; imports neither torch nor Hydra."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bnexp.cli.main import DONE
from bnexp.cli.table import columns, percent
from bnexp.config.paths import first_comment, group_files
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
    parser = argparse.ArgumentParser("bnexp list", description="What there is to choose from.", allow_abbrev=False)
    parser.add_argument("kind", metavar="|".join([*GROUPS, "claims", "runs"]), help="what to list")
    parser.add_argument("-cd", "--config-dir", type=Path, help="also your own config folder")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--json", action="store_true", help="for machines")
    arguments = parser.parse_args(argv)
    if arguments.kind == "runs":
        rows = [_run_row(record) for record in find_runs(arguments.runs_dir)]
        empty = f"no runs in {arguments.runs_dir}; make one: bnexp train"
    elif arguments.kind in GROUPS:
        files = group_files(GROUPS[arguments.kind], arguments.config_dir)
        rows = [{"name": name, "what": first_comment(file)} for name, file in files.items()]
        empty = ""
    elif arguments.kind == "claims":
        rows, empty = _claim_rows(), ""
    else:
        known = [*GROUPS, "claims", "runs"]
        guess = nearest(arguments.kind, known) or "norms"
        raise UserError(
            f"bnexp list knows no {arguments.kind!r}",
            got=arguments.kind,
            todo=f"bnexp list {guess} (known: {', '.join(known)})",
        )
    if arguments.json:
        print(json.dumps(rows))
    else:
        print(_table(rows) if rows else empty)
    return DONE


def _claim_rows() -> list[dict[str, Any]]:
    from bnexp.claims import CLAIMS

    claims = sorted((CLAIMS[name] for name in CLAIMS), key=lambda claim: claim.section)
    return [{"name": claim.id, "what": f"{claim.section}. {claim.statement}"} for claim in claims]


def _run_row(record: RunRecord) -> dict[str, Any]:
    end = record.end
    return {
        "run": record.folder.name,
        "status": record.status,
        "step": end.get("step"),
        "val": (end.get("validation") or {}).get("final"),
        "test": (end.get("test") or {}).get("accuracy"),
    }


def _table(rows: list[dict[str, Any]]) -> str:
    if set(rows[0]) == {"name", "what"}:
        return columns([[row["name"], row["what"]] for row in rows])
    return columns([list(rows[0]), *([_word(value) for value in row.values()] for row in rows)])


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return percent(value) if isinstance(value, float) else str(value)
