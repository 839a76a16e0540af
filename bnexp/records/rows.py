"""A whole runs folder at a glance: one row a run with its settings and what was measured, for lists of ten thousand of them.

Rows of complete runs are kept in a file beside the runs (``.rows.json``), each with the stamps of the two files it was read from,
and are read again when a stamp has changed. Losing that file costs a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bnexp.garbage import none_searched
from bnexp.records import paths
from bnexp.records.archive import archived_runs, is_archive
from bnexp.records.jsonfile import MOST_BYTES, loads, write_text
from bnexp.records.names import settings
from bnexp.records.reader import RunRecord, find_runs, lost_events
from bnexp.records.shape import end_misfit, header_misfit

#: Where rows are kept, in a runs folder of at least so many runs; fewer are read as fast.
KEPT, WORTH_KEEPING = ".rows.json", 1000

#: Raised when a row says something else of the same files.
VERSION = 2

#: What is measured and can be asked for beside ``steps_to.<target>``.
MEASURED = (
    "status", "step", "val.accuracy", "val.area", "test.accuracy", "test.loss", "test.recomputed_accuracy",
    "test.recomputed_loss", "seconds.train", "step_ms",
)  # fmt: skip

#: Modification time and size of ``run.json`` and of ``end.json``.
Stamp = list[int]


@dataclass(frozen=True)
class Row:
    """A run in a list.

    Attributes:
        name: of its folder.
        settings: see :func:`bnexp.records.names.settings`.
        measured: name to value, those of ``MEASURED`` that there are and ``steps_to.<target>`` for each target (None: not reached).
        damage: which file cannot be read and why; empty for a sound record.
    """

    name: str
    settings: Mapping[str, Any]
    measured: Mapping[str, Any]
    damage: str = ""
    stamp: Stamp = field(default_factory=list, repr=False, compare=False)

    @property
    def status(self) -> str:
        """As of :class:`~bnexp.records.reader.RunRecord`."""
        return str(self.measured["status"])

    @property
    def values(self) -> dict[str, Any]:
        """Settings and what was measured, in one."""
        return {**self.settings, **self.measured}


def row_of(record: RunRecord, stamp: Stamp | None = None) -> Row:
    """The row of a record, whatever became of it."""
    end = {} if record.damage else record.end
    return Row(record.folder.name, settings(record.header), _measured(record.status, end), record.damage, stamp or [])


def _measured(status: str, end: Mapping[str, Any]) -> dict[str, Any]:
    measured: dict[str, Any] = {"status": status}
    if end:
        validation, test, seconds = (_group(end.get(part)) for part in ("validation", "test", "seconds"))
        found = {
            "step": end.get("step"), "val.accuracy": validation.get("final"), "val.area": validation.get("area"),
            **{f"test.{name}": test.get(name) for name in ("accuracy", "loss", "recomputed_accuracy", "recomputed_loss")},
            "seconds.train": seconds.get("train"), "step_ms": end.get("step_ms"),
        }  # fmt: skip
        measured |= {name: value for name, value in found.items() if value is not None}
        for target in end.get("targets") or ():
            measured[f"steps_to.{target['target']:g}"] = target.get("steps") if target.get("observed") else None
    return measured


def read_rows(runs_dir: Path) -> list[Row]:
    """Every run of a folder by name, of an export too; what is kept is used as far as it is still true."""
    if is_archive(runs_dir):
        return [row_of(record) for record in find_runs(runs_dir)]
    kept = _read_kept(runs_dir / KEPT)
    with none_searched():
        rows = [
            before if (before := kept.get(name)) and before.stamp == _stamp(runs_dir / name) else _row_at(runs_dir, name)
            for name in names(runs_dir)
        ]
    fresh = {row.name: row for row in rows if len(row.stamp) == 4 and not row.damage}
    if len(rows) >= WORTH_KEEPING and fresh != kept:
        _keep(runs_dir / KEPT, fresh.values())
    return rows


def _row_at(runs_dir: Path, name: str) -> Row:
    """What :func:`row_of` says of a folder, in half the time where both files are sound."""
    try:
        header, written = _load(f"{runs_dir}/{name}/{paths.HEADER}")
        end, ended = _load(f"{runs_dir}/{name}/{paths.END}")
        sound = not header_misfit(header) and isinstance(end["status"], str) and not end_misfit(end, header)
        if sound and not lost_events(f"{runs_dir}/{name}", end):
            return Row(name, settings(header), _measured(end["status"], end), "", written + ended)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    return row_of(RunRecord(runs_dir / name), _stamp(runs_dir / name))


def _load(file: str) -> tuple[Any, Stamp]:
    """A JSON file's content and its stamp, by the system's own calls: Python's files and paths cost as much as the reading."""
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):  # a pipe or a device has no end
            raise OSError(file)
        text = os.read(handle, min(found.st_size, MOST_BYTES))
    finally:
        os.close(handle)
    return loads(text), [found.st_mtime_ns, found.st_size]


def names(runs_dir: Path) -> list[str]:
    """The runs of a folder of either kind, by name; none where there is no such folder."""
    if is_archive(runs_dir):
        return sorted(archived_runs(runs_dir))
    try:
        with os.scandir(runs_dir) as entries:
            return sorted(e.name for e in entries if e.name[0] != "." and e.is_dir() and os.path.isfile(f"{e.path}/{paths.HEADER}"))
    except OSError:
        return []


def _stamp(folder: Path) -> Stamp:
    """Four numbers; two for a run without an end."""
    stamp: Stamp = []
    for name in (paths.HEADER, paths.END):
        with contextlib.suppress(OSError):
            found = os.stat(f"{folder}/{name}")
            stamp += [found.st_mtime_ns, found.st_size]
    return stamp


def _read_kept(file: Path) -> dict[str, Row]:
    """The rows in a file of :func:`_keep`; none where it is absent, torn or of another version."""
    try:
        content, _ = _load(str(file))
        if content["version"] != VERSION:
            return {}
        keys = content["keys"]
        rows = {
            name: Row(name, dict(zip(keys[a], had, strict=True)), dict(zip(keys[b], got, strict=True)), "", stamp)
            for name, stamp, a, had, b, got in content["rows"]
        }
        return rows if all(map(_is_row, rows.values())) else {}
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
        return {}


def _is_row(row: Row) -> bool:
    """Whether readers may take a kept row for one; what it says is believed, as are the files beside it."""
    numbers = (one for key, one in row.measured.items() if key != "status")
    return type(row.measured["status"]) is str and all(one is None or type(one) in (int, float) for one in numbers)


def _keep(file: Path, rows: Iterable[Row]) -> None:
    """Write the rows, each list of keys once; a folder that may not be written to is read anew the next time."""
    keys: dict[tuple[str, ...], int] = {}
    lines = []
    for row in rows:
        a, b = (keys.setdefault(tuple(part), len(keys)) for part in (row.settings, row.measured))
        lines.append([row.name, row.stamp, a, [*row.settings.values()], b, [*row.measured.values()]])
    text = json.dumps({"version": VERSION, "keys": list(keys), "rows": lines})
    with contextlib.suppress(OSError):
        write_text(file, text)


def _group(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
