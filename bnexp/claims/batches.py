"""What claims about batches and their statistics share: a ReLU net on digits, and how its runs are read by other statistics."""

from __future__ import annotations

from collections.abc import Callable

from bnexp.records.reader import RunRecord

#: Three ReLU layers of 100 units.
NET = ("model=mlp", "model.activation=relu", "model.init=he", "model.init_scale=1", "optimizer.momentum=0")

#: Digits for each budget.
DIGITS = {"smoke": ("dataset=mnist_5k",), "quick": ("dataset=mnist_5k",), "full": ("dataset=mnist",)}


def read_by(way: str) -> Callable[[RunRecord], float]:
    """Accuracy in points on held-out examples after the last step, as ``probes=statistics`` has it; 0 for a diverged run.

    Args:
        way: ``eval``, ``batch``, ``mixed`` or ``recomputed N``; a net without running statistics has its ``eval`` for the last.
    """

    def read(record: RunRecord) -> float:
        if record.status != "finished":
            return 0.0
        accuracy = record.end["probes"]["statistics"]["accuracy"]
        return float(100 * accuracy.get(way, accuracy["eval"]))

    return read
