"""How a run ended: one word for it, from the training loop to the last line of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bnexp.records.reader import COMPLETE, RunRecord


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended, in words that can be sent from process to process and written to a file.

    Attributes:
        status: ``finished``, ``diverged``, ``failed``, ``refused``, ``interrupted``, ``not run`` (its job on a cluster is gone), or
            ``held``: another process is at this run.
        step: the last update that belongs to the run.
        execution: which training step was used: ``eager``, ``compiled``, ...
        skipped: it had been complete before.
        folder: its record; empty for a run that never began.
        reason: why it has no result, in one line.
        seconds: that it took; of runs in one program, the program's.
        overrides: what was typed for it.
    """

    status: str
    step: int = 0
    execution: str = ""
    skipped: bool = False
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0
    overrides: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether there is a result."""
        return self.status in COMPLETE

    @property
    def record(self) -> RunRecord:
        """The run's record."""
        return RunRecord(Path(self.folder))
