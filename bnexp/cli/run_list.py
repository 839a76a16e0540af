"""``bnexp list runs``: the runs of a folder by the settings in which they differ, filtered and sorted."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnexp.cli.table import percent, program
from bnexp.errors import UserError
from bnexp.records.filters import Condition, chosen, conditions, find_run, ordered
from bnexp.records.names import FIRST, differing_settings, label, short_keys, shown
from bnexp.records.reader import RunRecord
from bnexp.records.rows import Row, names, read_rows
from bnexp.text import WIDTH, columns

#: Measurements that a list shows, with their headings.
SHOWN = {"status": "status", "step": "step", "val.accuracy": "val", "test.accuracy": "test"}


def list_runs(words: Sequence[str], runs_dir: Path, sort: str | None, as_json: bool) -> None:
    """Print the runs that meet the filters, those of a damaged record with a line on standard error.

    Raises:
        UserError: a file instead of a folder, or a filter or a key that is none.
    """
    if runs_dir.exists() and not runs_dir.is_dir():
        raise UserError("runs_dir is a file, not a folder", got=runs_dir, todo="bnexp list runs runs_dir=FOLDER")
    rows = read_rows(runs_dir)
    for row in rows:
        if row.damage:
            print(f"{runs_dir / row.name}: {row.damage}", file=sys.stderr)
    wanted = conditions(words, rows)
    found = chosen(ordered(rows, sort) if sort else rows, wanted)
    if as_json:
        differs = differing_settings({row.name: row.settings for row in found})
        print(json.dumps([_json(row, differs[row.name]) for row in found]))
    elif not rows:
        print(f"no runs in {runs_dir}; make one: {program()} train")
    elif not found:
        print(_none(rows, wanted))
    else:
        extra = [condition.key for condition in wanted if condition.key not in SHOWN]
        asked = [*extra, *([sort.lstrip("-")] if sort else [])]
        measured = [key for key in dict.fromkeys(asked) if key not in SHOWN and any(key in row.measured for row in found)]
        print(run_table(found, len(rows), runs_dir, measured))


def run_table(rows: Sequence[Row], total: int, runs_dir: Path, measured: Sequence[str] = ()) -> str:
    """Runs as a table that fits a terminal: the end of each name, what differs, how it ended; then what did not fit.

    Args:
        rows: the runs that are shown.
        total: how many there are.
        runs_dir: where.
        measured: what is shown beside the usual measurements.
    """
    differs = differing_settings({row.name: row.settings for row in rows})
    keys = list(dict.fromkeys(key for found in differs.values() for key in found))
    same = {key: _measured(rows[0], key) for key in ("status", "step") if len({row.measured.get(key) for row in rows}) == 1}
    same = same if len(rows) > 1 else {}
    shown_keys = {key: heading for key, heading in SHOWN.items() if key not in same} | {key: key for key in measured}
    ends = [[heading, *(_measured(row, key) for row in rows)] for key, heading in shown_keys.items()]
    varied = {
        key: [heading, *(shown(differs[row.name][key]) if key in differs[row.name] else "-" for row in rows)]
        for key, heading in zip(keys, short_keys(keys), strict=True)
    }
    runs = ["run", *(row.name for row in rows)]
    if sum(2 + _width(column) for column in (runs, *ends, *varied.values())) - 2 > WIDTH:
        runs = ["run", *short_names(runs[1:])]
    left, kept = WIDTH - _width(runs) - sum(2 + _width(column) for column in ends), set[str]()
    for key in sorted(keys, key=lambda key: (key not in FIRST, key != "seed", keys.index(key))):
        if 2 + _width(varied[key]) <= left:
            kept.add(key)
            left -= 2 + _width(varied[key])
    table = columns(list(zip(runs, *(varied[key] for key in keys if key in kept), *ends, strict=True)))
    count = f"{len(rows):,} of {total:,} runs" if len(rows) < total else f"{total:,} run{'s' * (total != 1)}"
    words = "".join(f", all {value}" if key == "status" else f", {value} steps each" for key, value in same.items())
    lines = [table, f"{count} in {runs_dir}{words}"]
    if hidden := [key for key in keys if key not in kept]:
        lines.append(textwrap.fill(f"these differ too: {', '.join(hidden)}", WIDTH, subsequent_indent="  "))
    return "\n".join(lines)


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def short_names(whole: Sequence[str]) -> list[str]:
    """The last part of each name, its hash and which attempt; the whole of those that share it."""
    lasts = [name.rpartition("-")[2] for name in whole]
    counts: dict[str, int] = {}
    for last in lasts:
        counts[last] = counts.get(last, 0) + 1
    return [last if counts[last] == 1 and len(last) >= 8 else name for last, name in zip(lasts, whole, strict=True)]


def _none(rows: Sequence[Row], wanted: Sequence[Condition]) -> str:
    """What is said where no run meets the filters: the values there are of the first key that none meets."""
    words = " ".join(shlex.quote(condition.typed) for condition in wanted)
    text = f"none of {len(rows):,} run{'s' * (len(rows) != 1)} fits {words}"
    for condition in wanted:
        if not chosen(rows, [condition]):
            values = sorted({shown(row.values[condition.key]) for row in rows if condition.key in row.values})
            more = f", ... ({len(values):,} values)" if len(values) > 8 else ""
            text += f"\n{condition.key} is {', '.join(values[:8])}{more}" if values else f"\nnone has {condition.key}"
            break
    return f"{text}\nall of them: {program()} list runs"


def _json(row: Row, differs: Mapping[str, Any]) -> dict[str, Any]:
    """A run for machines; ``val`` and ``test`` are what they were before there were more."""
    return {
        "run": row.name,
        "status": row.status,
        "step": row.measured.get("step"),
        "val": row.measured.get("val.accuracy"),
        "test": row.measured.get("test.accuracy"),
        "label": label(differs),
        "differs": dict(differs),
        "settings": dict(row.settings),
        "measured": dict(row.measured),
    }


def _measured(row: Row, key: str) -> str:
    value = row.measured.get(key)
    if value is None:
        return "-"
    if "accuracy" in key and isinstance(value, float):
        return percent(value)
    return f"{value:,}" if isinstance(value, int) else shown(value)


def find(word: str | None, runs_dir: Path | None, command: str) -> RunRecord:
    """The run that a word of ``bnexp <command>`` means, by default one in ``runs``.

    Raises:
        UserError: no word, no run or several.
    """
    if word is None:
        todo = f"bnexp {command} RUN, with a name of bnexp list runs"
        raise UserError(f"bnexp {command} needs a run", todo=todo)
    folder = (runs_dir or Path("runs")).expanduser()
    if runs_dir and not folder.is_dir():
        raise UserError("there is no such folder of runs", got=folder, todo="runs_dir=FOLDER")
    return find_run(word, folder, names(folder))
