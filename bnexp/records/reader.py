"""The half of the record that others read: a run's status, header, curves and arrays. Never TensorBoard's files."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.curves import Curve
from bnexp.records.jsonfile import JsonFile, decode, read_json
from bnexp.records.shape import COMPLETE, end_misfit, header_misfit, is_event

if TYPE_CHECKING:
    import numpy as np

#: Bytes of ``events.jsonl`` that are read at a time; no line is as long.
BLOCK = 2**20

#: Bytes that a probe's arrays have in memory at most; the largest of ours have some ten millions.
MOST_BYTES = 2**31


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
        problems = (file.problem for file in (self._header_file, self._end_file))
        return next(filter(None, problems), "") or lost_events(self.folder, self.end)

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
        return read_json(self.folder / paths.HEADER, misfit=header_misfit)

    @cached_property
    def _end_file(self) -> JsonFile:
        return read_json(self.folder / paths.END, needs="status", misfit=lambda end: end_misfit(end, self.header))

    def events(self) -> Iterator[dict[str, Any]]:
        """The lines of ``events.jsonl``; a last line cut short by a kill is left out.

        Raises:
            Damaged: a line that is not an event, as a disk that lost data leaves it.
        """
        file = self.folder / paths.EVENTS
        if file.exists() and not file.is_file():
            raise _damaged(file, f"{file.name} is not a file")
        number = 0
        with file.open("rb") as stream:
            rest = b""
            while block := stream.read(BLOCK):
                *lines, rest = (rest + block).split(b"\n")
                if len(rest) > BLOCK:
                    raise _damaged(file, f"line {number + len(lines) + 1} of {file} is not an event")
                for event in _events(lines):
                    number += 1
                    if not is_event(event):
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

    def arrays(self, probe: str) -> Mapping[str, np.ndarray]:
        """A probe's arrays by name.

        Raises:
            FileNotFoundError: there are none.
            Damaged: they cannot be read; one that is damaged itself says so when it is asked for.
        """
        place = self.folder / paths.PROBES / f"{probe}.npz"
        if place.exists() and not place.is_file():
            raise _damaged(place, f"{place.name} is not a file")
        return Arrays(place.read_bytes(), lambda why: _damaged(place, f"the arrays of {probe} are damaged: {why}"))


def lost_events(folder: Path | str, end: Mapping[str, Any]) -> str:
    """What a run that has ended lacks of its events, in one line; empty where nothing, or where an older bnexp did not count."""
    wanted = end.get("events", 0)
    if not wanted:
        return ""
    try:
        size = os.stat(f"{folder}/{paths.EVENTS}").st_size
    except FileNotFoundError:
        size = 0
    except OSError:  # said where it is read
        return ""
    return f"{paths.EVENTS} has {size:,} of {wanted:,} bytes" if size < wanted else ""


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class Arrays(Mapping[str, "np.ndarray"]):
    """The arrays of an npz file by name, each decoded when it is asked for; nothing in it is executed.

    Args:
        content: the file.
        damaged: the error that says of which file and why.

    Raises:
        UserError: what ``damaged`` gives, here or where an array is asked for.
    """

    def __init__(self, content: bytes, damaged: Callable[[str], UserError]) -> None:
        import numpy as np  # here, because a command that only composes a config is quicker without

        self._damaged = damaged
        try:  # numpy, zipfile and zlib have a dozen kinds of error for a file that is damaged
            self._members = np.load(io.BytesIO(content), allow_pickle=False)
            self._names = tuple(self._members.files)
            size = sum(member.file_size for member in self._members.zip.infolist())
        except Exception as error:
            raise damaged(first_line(error)) from error
        if size > MOST_BYTES:
            raise damaged(f"they would take {size:,} bytes")

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        try:
            array: np.ndarray = self._members[name]
        except Exception as error:
            raise self._damaged(first_line(error)) from error
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _events(lines: list[bytes]) -> list[Any]:
    """What lines of JSON say, all in one go, which is twice as fast; None for each that is not JSON where one is not."""
    if all(line[:1] == b"{" and line[-1:] == b"}" for line in lines):
        with suppress(ValueError, RecursionError):
            together: list[Any] = decode(b"[" + b",".join(lines) + b"]")
            if len(together) == len(lines):
                return together
    return [_event(line) for line in lines]


def _event(line: bytes) -> Any:
    try:
        return decode(line)
    except (ValueError, RecursionError):
        return None


def find_runs(runs_dir: Path) -> list[RunRecord]:
    """Every run below ``runs_dir`` that has a header, by name; damaged ones too, which say so themselves.

    A folder that ``bnexp export`` wrote is read as well.
    """
    from bnexp.records.archive import archived_runs, is_archive  # here, because archived runs are records

    if is_archive(runs_dir):
        return list(archived_runs(runs_dir).values())
    headers = sorted(runs_dir.glob(f"*/{paths.HEADER}")) if runs_dir.is_dir() else []
    return [RunRecord(file.parent) for file in headers]


def trained_runs(runs_dir: Path) -> list[RunRecord]:
    """The complete runs of :func:`find_runs` that trained a network: no claim's measurement, which has no config."""
    return [run for run in find_runs(runs_dir) if run.complete and "config" in run.header]
