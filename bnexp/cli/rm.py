"""``bnexp rm``: remove runs, after showing which and how large they are."""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnexp.cli.main import DONE
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns, program
from bnexp.errors import UserError
from bnexp.records.archive import is_archive, read_cells
from bnexp.records.filters import chosen, conditions, find_run, is_condition
from bnexp.records.rows import Row, read_rows
from bnexp.runs.folder import remove_run

#: Runs that are shown one by one.
MOST_SHOWN = 40


def main(argv: list[str]) -> int:
    """Show the runs that are meant; with ``--yes`` remove them."""
    parser = Parser(
        "bnexp rm",
        usage="bnexp rm RUN ... | --failed | FILTER ... [runs_dir=DIR] [--yes] [--json]",
        description="Remove runs: those that are named (by a part of the name that no other run has), the failed ones, or those "
        "that meet all filters, as of bnexp list runs. Shows them; only with --yes are they removed.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", nargs="*", metavar="RUN, FILTER")
    parser.add_argument("--failed", action="store_true", help="every run that broke down (status=failed)")
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"), help="where the runs are (default: runs)")
    parser.add_argument("--yes", action="store_true", help="remove them")
    parser.add_argument("--json", action="store_true", help="for machines")
    is_filter = [is_condition(word) and not word.startswith(("runs_dir=", "-")) for word in argv]
    filters = [word for word, is_one in zip(argv, is_filter, strict=True) if is_one]
    words = [word for word, is_one in zip(argv, is_filter, strict=True) if not is_one]
    arguments = parser.parse_intermixed_args(as_flags("rm", words, ("runs_dir",)))
    runs_dir = arguments.runs_dir.expanduser()
    if arguments.failed:
        filters.append("status=failed")
    rows = _meant(runs_dir, arguments.runs, filters)
    sizes = {row.name: _size(runs_dir / row.name) for row in rows}
    removed = {row.name: remove_run(runs_dir / row.name) for row in rows} if arguments.yes else {}
    if arguments.json:
        listed = [
            {"run": row.name, "status": row.status, "bytes": sizes[row.name], "removed": not removed.get(row.name, "no")}
            for row in rows
        ]
        print(json.dumps(listed))
    else:
        print(_told(rows, sizes, removed, _used(runs_dir), [shlex.quote(word) for word in argv]))
    return DONE


def _meant(runs_dir: Path, runs: Sequence[str], filters: Sequence[str]) -> list[Row]:
    """The runs that were named, or that meet the filters.

    Raises:
        UserError: nothing is meant, or what is meant is no run of this folder.
    """
    if is_archive(runs_dir):
        raise UserError("the runs of an export are in one file", got=runs_dir, todo="runs_dir=FOLDER, or bnexp export again")
    if not runs_dir.is_dir():
        raise UserError("there is no such folder of runs", got=runs_dir, todo="runs_dir=FOLDER")
    if bool(runs) == bool(filters):
        both = f"{' '.join(runs)} and {' '.join(filters)}" if runs else None
        raise UserError(
            "runs are named, or they meet filters, one of the two", got=both,
            todo=f"{program()} rm RUN, {program()} rm --failed, or {program()} rm status=interrupted",
        )  # fmt: skip
    rows = read_rows(runs_dir)
    if filters:
        return [row for row in chosen(rows, conditions(filters, rows)) if not row.damage]
    by_name = {row.name: row for row in rows}
    found = {}
    for word in runs:
        folder = find_run(word, runs_dir, list(by_name)).folder
        if folder.name not in by_name or not os.path.samefile(folder.parent, runs_dir):
            todo = f"{program()} rm {folder.name} runs_dir={shlex.quote(str(folder.parent))}"
            raise UserError(f"this run is not in {runs_dir}", got=folder, todo=todo)
        found[folder.name] = by_name[folder.name]
    return list(found.values())


def _size(folder: Path) -> int:
    """Bytes of all files of a run; what a link leads to does not count, for it stays."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            status = os.lstat(os.path.join(place, name))
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return total


def _used(runs_dir: Path) -> dict[str, str]:
    """Run to a claim whose verdict rests on it."""
    found: dict[str, str] = {}
    for budget, claims in read_cells(runs_dir).items():
        for claim, cells in claims.items():
            found |= {str(cell.get("run_id")): f"{claim}, budget={budget}" for cell in cells}
    return found


def _told(
    rows: Sequence[Row], sizes: Mapping[str, int], removed: Mapping[str, str], used: Mapping[str, Any], typed: Sequence[str]
) -> str:
    if not rows:
        return "there is no such run here, nothing to remove"
    table = [["run", "status", "size", *(["why not removed"] if any(removed.values()) else [])]]
    for row in rows[:MOST_SHOWN]:
        line = [row.name, row.status, in_bytes(sizes[row.name])]
        table.append([*line, removed[row.name]] if len(table[0]) > 3 else line)
    lines = [columns(table)]
    if len(rows) > MOST_SHOWN:
        lines.append(f"... and {len(rows) - MOST_SHOWN:,} more")
    claims = {used[row.name] for row in rows if row.name in used}
    if claims and not removed:
        lines.append(f"verdicts rest on some of them: {'; '.join(sorted(claims)[:3])}")
    gone = [row.name for row in rows if removed.get(row.name) == ""]
    count, size = (len(gone), sum(map(sizes.__getitem__, gone))) if removed else (len(rows), sum(sizes.values()))
    total = f"{count:,} run{'s' * (count != 1)}, {in_bytes(size)}"
    command = f"{program()} rm {' '.join(typed)} --yes"
    lines.append(f"removed: {total}" if removed else f"{total}; nothing is removed yet: {command}")
    return "\n".join(lines)


def in_bytes(number: int) -> str:
    """Bytes as people say them.

    Example:
        >>> in_bytes(900), in_bytes(1_234_567)
        ('900 B', '1.2 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000  # type: ignore[assignment]
    raise AssertionError
