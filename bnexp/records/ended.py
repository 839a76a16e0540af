"""How a run ended: one word for it, from the training loop to the last line of a sweep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended, in words that can be sent from process to process and written to a file.

    Attributes:
        status: ``finished``, ``diverged``, ``failed``, ``refused`` or ``interrupted``.
        step: the last update that belongs to the run.
        execution: which training step was used: ``eager``, ``compiled``, ...
        skipped: it had been complete before.
        folder: its record; empty for a refused run.
        reason: why it failed or was refused, in one line.
        seconds: that it took; of runs in one program, the program's.
    """

    status: str
    step: int = 0
    execution: str = ""
    skipped: bool = False
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0
