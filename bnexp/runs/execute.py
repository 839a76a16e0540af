"""One run from config to complete record: skip it, resume it or start it; finish it or say how it failed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import build
from bnexp.engine.journal import Stopwatch
from bnexp.engine.loop import train
from bnexp.records import paths
from bnexp.records.reader import RunRecord
from bnexp.runs.folder import occupied, told_if_disk_refuses
from bnexp.runs.recording import Recording, request


@dataclass(frozen=True)
class Result:
    """A run's record and whether it had been complete before (``skipped``)."""

    record: RunRecord
    skipped: bool


class RunFailed(Exception):  # noqa: N818 - a run fails, an error is ours
    """A run that broke down: our bug or a plugin's. The message names the folder that holds the traceback."""

    def __init__(self, folder: Path, error: Exception) -> None:
        self.folder = folder
        self.reason = f"{type(error).__name__}: {error}"
        super().__init__(f"{self.reason}\n  see: {folder / paths.ERROR}")


def execute(config: ExperimentConfig, overrides: Sequence[str] = (), show: bool = True) -> Result:
    """Bring a run to its end, unless it is there already.

    Args:
        config: the run.
        overrides: what was typed, for the header.
        show: whether to show a bar; many runs side by side share their parent's.

    Raises:
        UserError: found before a folder is made, or a disk that refuses to take the record.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues from the last checkpoint.
        RunFailed: anything else; the folder holds ``error.txt``.
    """
    asked = request(config, overrides)
    if asked.place.complete:
        return Result(asked.place.complete, skipped=True)
    experiment = build(asked.config)
    with occupied(asked.place), told_if_disk_refuses(asked.place.folder), terminable():
        recording = Recording(asked, experiment)
        try:
            journal = recording.journal(Stopwatch(recording.spent), show)
            outcome = train(experiment, journal, recording.save, recording.resumed_at)
            return Result(recording.conclude(outcome), skipped=False)
        except (KeyboardInterrupt, OSError):
            recording.abandon()
            raise
        except Exception as error:
            recording.fail(error)
            raise RunFailed(recording.folder, error) from error


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the run as Ctrl-C does: a scheduler's kill leaves a record that can be continued."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
