"""The half of the record that others read: a run's status, header, curves and arrays. Never TensorBoard's files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.curves import Curve
from bnexp.records.jsonfile import JsonFile, read_json

if TYPE_CHECKING:
    import numpy as np

#: A run with one of these is done; ``diverged`` is a result, not a failure.
COMPLETE = ("finished", "diverged")


#: What a line of ``events.jsonl`` says.
EVENT = frozenset({"step", "name", "value", "seconds"})


class Damaged(UserError, ValueError):  # noqa: N818 - a state of the record
    """A file of a record that cannot be read."""


def _damaged(file: Path, why: str) -> Damaged:
    return Damaged(why, got=file, todo="the file as it was, or bnexp rm of this run and its command again")


@dataclass(frozen=True)
class RunRecord:
    """One run's folder, read lazily."""

    folder: Path

    @property
    def status(self) -> str:
        """``finished``, ``diverged``, ``failed``; ``interrupted`` where no end was written; ``damaged``, see :attr:`damage`."""
        if self.damage:
            return "damaged"
        return self.end["status"] if self.end else "interrupted"

    @property
    def complete(self) -> bool:
        """Whether the run needs no further work."""
        return self.status in COMPLETE

    @property
    def damage(self) -> str:
        """Which file cannot be read and why, in one line; empty for a sound record. A damaged record is nobody's result."""
        return next((file.problem for file in (self._header_file, self._end_file) if file.problem), "")

    @property
    def header(self) -> dict[str, Any]:
        """``run.json``, or an empty dict where there is none that can be read."""
        return self._header_file.content

    @property
    def end(self) -> dict[str, Any]:
        """``end.json``, or an empty dict where there is none that can be read."""
        return self._end_file.content

    @cached_property
    def _curves(self) -> dict[str, tuple[tuple[int, int], Curve]]:
        return {}

    @cached_property
    def _header_file(self) -> JsonFile:
        return read_json(self.folder / paths.HEADER)

    @cached_property
    def _end_file(self) -> JsonFile:
        return read_json(self.folder / paths.END, needs="status")

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of ``events.jsonl``; a last line cut short by a kill is left out.

        Raises:
            Damaged: a line that is not an event, as a disk that lost data leaves it.
        """
        file = self.folder / paths.EVENTS
        if file.exists() and not file.is_file():
            raise _damaged(file, f"{file.name} is not a file")
        with file.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, start=1):
                if line.endswith("\n"):
                    try:
                        event = json.loads(line)
                    except (ValueError, RecursionError):
                        event = None
                    if not isinstance(event, dict) or not event.keys() >= EVENT:
                        raise _damaged(file, f"line {number} of {file} is not an event")
                    yield event

    def curve(self, name: str) -> Curve:
        """All values recorded under ``name``, e.g. ``"val/accuracy"``; kept until the file changes."""
        status = (self.folder / paths.EVENTS).stat()
        stamp = status.st_mtime_ns, status.st_size
        if name not in self._curves or self._curves[name][0] != stamp:
            rows = [event for event in self.events() if event["name"] == name]
            self._curves[name] = stamp, Curve(*(tuple(row[key] for row in rows) for key in ("step", "value", "seconds")))
        return self._curves[name][1]

    def points_before(self, name: str) -> int | None:  # noqa: ARG002 - an archive's answer depends on it
        """How many points a curve had of which an archive kept a few; None where all are there, as in a runs folder."""
        return None

    def probes(self) -> list[str]:
        """Names of the probes that left arrays."""
        return sorted(file.stem for file in (self.folder / paths.PROBES).glob("[!.]*.npz"))

    def arrays(self, probe: str) -> dict[str, np.ndarray]:
        """A probe's arrays by name; nothing in the file is executed.

        Raises:
            FileNotFoundError: there are none.
            Damaged: they cannot be read.
        """
        import numpy as np  # here, because a command that only composes a config is quicker without

        place = self.folder / paths.PROBES / f"{probe}.npz"
        if place.exists() and not place.is_file():
            raise _damaged(place, f"{place.name} is not a file")
        try:
            with place.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except FileNotFoundError:
            raise
        except Exception as error:  # numpy, zipfile and zlib raise a dozen kinds for a file that is damaged
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise _damaged(place, f"the arrays of {probe} are damaged: {reason}") from error


def find_runs(runs_dir: Path) -> list[RunRecord]:
    """Every run below ``runs_dir`` that has a header, by name; damaged ones too, which say so themselves.

    A folder that ``bnexp export`` wrote is read as well.
    """
    from bnexp.records.archive import archived_runs, is_archive  # here, because archived runs are records

    if is_archive(runs_dir):
        return list(archived_runs(runs_dir).values())
    headers = sorted(runs_dir.glob(f"*/{paths.HEADER}")) if runs_dir.is_dir() else []
    return [RunRecord(file.parent) for file in headers]
