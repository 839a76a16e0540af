"""The half of the record that a run writes: header first, events as they happen, end last."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.records import paths
from bnexp.records.jsonfile import finite, open_new, write_json
from bnexp.records.shape import COMPLETE

#: Keys of an event line that hold clock readings; everything else is bitwise the same for the same seed on the same machine.
CLOCK_KEYS = ("seconds",)


class ShortRecord(Exception):  # noqa: N818 - a state of the record
    """A record that lost events."""


def recorded(value: float) -> float:
    """A measurement as it stands on record, in seven digits, for float32 holds no more.

    What a run decides by a measurement it decides by this, since a run that goes on has no other.
    """
    return float(f"{value:.7g}")


class RunWriter:
    """Appends one run's events and closes its record.

    Args:
        folder: the run's folder, which exists and is this process's alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._events = (folder / paths.EVENTS).open("a", encoding="utf-8")

    @classmethod
    def begin(cls, folder: Path, header: Mapping[str, Any]) -> RunWriter:
        """A new record: the header is on disk before the first step. A checkpoint or the end makes its name last."""
        write_json(folder / paths.HEADER, header, lasting=False)
        return cls(folder)

    @classmethod
    def resume(cls, folder: Path, events_size: int) -> RunWriter:
        """Continue a record from a checkpoint: whatever was written after it is cut off, so no curve folds back.

        Raises:
            ShortRecord: events are missing that were there at the checkpoint, or the header; nothing may stand in for them.
        """
        if not (folder / paths.HEADER).is_file():
            raise ShortRecord(f"{paths.HEADER} is missing")
        file = folder / paths.EVENTS
        if file.is_symlink() or not file.is_file() or file.stat().st_size < events_size:
            raise ShortRecord(f"{paths.EVENTS} is shorter than it was at the checkpoint")
        if file.stat().st_nlink > 1:  # a copy of the folder by hard links keeps what it has
            temporary = folder / f".{paths.EVENTS}.{os.getpid()}"
            with open_new(temporary) as stream:
                stream.write(file.read_bytes())
            temporary.replace(file)
        os.truncate(file, events_size)
        return cls(folder)

    def event(self, step: int, name: str, value: float, seconds: float) -> None:
        """One measurement after ``step`` updates; ``seconds`` is training time so far (no evaluation, no probes)."""
        line = {"step": step, "name": name, **finite(recorded(value)), "seconds": round(seconds, 6)}
        self._events.write(json.dumps(line) + "\n")

    def flush(self) -> None:
        """Events so far can be read; they need not be on disk yet."""
        self._events.flush()

    def size(self) -> int:
        """Bytes of events on disk, after a flush: what a checkpoint stores for :meth:`resume`."""
        self._events.flush()
        os.fsync(self._events.fileno())
        return os.path.getsize(self.folder / paths.EVENTS)

    def arrays(self, probe: str, content: Mapping[str, np.ndarray]) -> None:
        """A probe's arrays as ``probes/<probe>.npz``, written to a temporary name first."""
        folder = self.folder / paths.PROBES
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{probe}.npz"
        with open_new(temporary) as stream:
            np.savez_compressed(stream, **dict(content))  # type: ignore[arg-type]
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / f"{probe}.npz")

    def end(self, content: Mapping[str, Any]) -> None:
        """Close the record: the presence of ``end.json`` means that everything else is complete.

        Of a complete run it says how many bytes of events there are, so that a reader notices when some are lost.
        """
        self.close()
        size = os.path.getsize(self.folder / paths.EVENTS) if content["status"] in COMPLETE else 0
        write_json(self.folder / paths.END, {**content, **({"events": size} if size else {})})

    def close(self) -> None:
        """Flush and close the event file; the record stays open for a later :meth:`resume`."""
        if not self._events.closed:
            self.size()
            self._events.close()
