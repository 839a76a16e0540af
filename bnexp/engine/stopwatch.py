"""Where a run's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds spent in evaluation, probes, records and compiling, and, as the rest, in training.

    Args:
        spent: seconds by part that an interrupted run had already spent.
    """

    PARTS = ("train", "eval", "probe", "record", "compile")

    def __init__(self, spent: dict[str, float] | None = None) -> None:
        self._spent = dict.fromkeys(self.PARTS, 0.0) | (spent or {})
        self._started = time.perf_counter()
        self._aside = 0.0

    @contextmanager
    def aside(self, part: str) -> Iterator[None]:
        """Time inside counts as ``part`` and not as training."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._spent[part] += elapsed
            self._aside += elapsed

    def train_seconds(self) -> float:
        """Seconds of training so far, interrupted parts of the run included."""
        return self._spent["train"] + time.perf_counter() - self._started - self._aside

    def spent(self) -> dict[str, float]:
        """Seconds by part so far."""
        return self._spent | {"train": self.train_seconds()}


class ShareOfStopwatch(Stopwatch):
    """One run's part of the time of ``count`` runs that train as one program: an equal share of their training and compiling.

    Its own evaluation, probes and records are its alone, and are nobody's training time.
    """

    def __init__(self, whole: Stopwatch, count: int, spent: dict[str, float] | None = None) -> None:
        super().__init__(spent)
        self._whole, self._count = whole, count

    @contextmanager
    def aside(self, part: str) -> Iterator[None]:
        """Time inside counts as ``part`` of this run, and as training of none."""
        start = time.perf_counter()
        with self._whole.aside(part):
            yield
        self._spent[part] += time.perf_counter() - start

    def train_seconds(self) -> float:
        """This run's share of the training time so far."""
        return self._spent["train"] + self._whole.train_seconds() / self._count

    def spent(self) -> dict[str, float]:
        """Seconds by part so far."""
        compiling = self._spent["compile"] + self._whole.spent()["compile"] / self._count
        return self._spent | {"train": self.train_seconds(), "compile": compiling}
