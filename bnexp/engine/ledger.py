"""Per-step training numbers, kept on the device until somebody needs to read them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Interval:
    """The steps since the last reading.

    Attributes:
        num_steps: how many updates.
        loss: mean of their mini-batch losses.
        accuracy: mean of their mini-batch accuracies (train mode, before the update).
        diverged_at: number of the first update (from 1) whose loss was not finite, or None.
    """

    num_steps: int
    loss: float
    accuracy: float
    diverged_at: int | None


class Ledger:
    """Collects one loss and one count of correct answers a step; reading it is the only moment the device is waited for."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def add(self, loss: Tensor, correct: Tensor) -> None:
        """Shape: both ``[]``, or ``[K]`` for K steps at once; ``loss`` float, ``correct`` int."""
        self._losses.append(loss.reshape(-1))
        self._correct.append(correct.reshape(-1))

    def broken(self) -> bool:
        """Whether a loss since the last reading was not finite; waits for the device."""
        return bool(self._losses) and not bool(torch.cat(self._losses).isfinite().all())

    def read(self, step: int) -> Interval | None:
        """The interval that ends after ``step`` updates, and start anew; None if there was no step."""
        if not self._losses:
            return None
        losses = torch.cat(self._losses).double().cpu()
        correct = torch.cat(self._correct).double().cpu()
        self._losses.clear()
        self._correct.clear()
        broken = (~losses.isfinite()).nonzero()
        diverged_at = step - len(losses) + 1 + int(broken[0]) if len(broken) else None
        return Interval(len(losses), losses.mean().item(), correct.mean().item() / self._batch_size, diverged_at)
