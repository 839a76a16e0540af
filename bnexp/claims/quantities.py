"""What claims about training judge, and what their arms are tuned on: one number of one run, finite for every run.

A claim tunes each arm on the very quantity that it is judged by (docs/claims.md, O0): an arm tuned for its final accuracy is
compared at rates that nobody who wanted speed would choose.

Legend: L levels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

import numpy as np

from bnexp.records.curves import Curve, Duration, time_to_target
from bnexp.records.reader import RunRecord


class Quantity(ABC):
    """A number of a run; more is better.

    Attributes:
        far: a tuned value that scores so far below the best on the first tuning seeds is not tried on the others.
        near: how far below the best is near enough for somebody who tunes little, with its words.
    """

    far: ClassVar[float]
    near: ClassVar[tuple[float, str]]

    @abstractmethod
    def score(self, record: RunRecord, budget: str) -> float:
        """The number, finite for a run that diverged too."""

    @abstractmethod
    def in_words(self) -> str:
        """What a tuning curve shows."""

    @abstractmethod
    def show(self, score: float) -> str:
        """A score as people say it."""


@dataclass(frozen=True)
class FinalAccuracy(Quantity):
    """Validation accuracy at the end of training: mean of the last five evaluations, in points; 0 for a diverged run."""

    far: ClassVar[float] = 2.0
    near: ClassVar[tuple[float, str]] = (0.5, "0.5 points")

    def score(self, record: RunRecord, budget: str) -> float:  # noqa: ARG002 - the same at every budget
        if record.status != "finished":
            return 0.0
        return 100 * fmean(value or 0.0 for value in record.curve("val/accuracy").values[-5:])

    def in_words(self) -> str:
        return "final validation accuracy, %"

    def show(self, score: float) -> str:
        return f"{score:.1f} %"


@dataclass(frozen=True)
class Levels:
    """A family of levels at one budget, from the first that is reached to the last.

    Attributes:
        easiest, hardest: both ends, as validation error (1 - accuracy) or as training loss in nats.
        horizon: steps that count; a run that is not there by then counts as needing all of them.
    """

    easiest: float
    hardest: float
    horizon: int


@dataclass(frozen=True)
class Speed(Quantity):
    """How soon a run reaches a family of levels, fixed in advance and log-spaced (docs/claims.md, O0).

    A run's number is the mean over the levels of log T, where T is the first of two consecutive points of its curve beyond the
    level, at most the horizon, and at least one step. No single target decides anything, and a run that never arrives, or that
    diverged, is in both arms alike the horizon.

    Attributes:
        levels: for each budget.
        curve: ``"val/accuracy"`` or ``"train/loss"``.
        count: how many levels.
    """

    levels: Mapping[str, Levels]
    curve: str = "val/accuracy"
    count: int = 10

    far: ClassVar[float] = math.log(1.5)
    near: ClassVar[tuple[float, str]] = (math.log(1.1), "a tenth more steps")

    def values(self, budget: str) -> np.ndarray:
        """The levels, easiest first. Shape ``[L]``."""
        ends = self.levels[budget]
        return np.geomspace(ends.easiest, ends.hardest, self.count)

    def durations(self, record: RunRecord, budget: str) -> list[Duration]:
        """How long the run took to each level, censored at the horizon."""
        curve, horizon = record.curve(self.curve), self.levels[budget].horizon
        if self.curve == "train/loss":
            curve = Curve(
                curve.steps, tuple(None if value is None else -value for value in curve.values), curve.seconds
            )
        took = []
        for level in self.values(budget):
            one = time_to_target(curve, 1 - level if self.curve == "val/accuracy" else -level)
            there = one.observed and one.steps <= horizon
            took.append(Duration(max(one.steps, 1) if there else horizon, one.seconds, there))
        return took

    def log_steps(self, record: RunRecord, budget: str) -> np.ndarray:
        """log T of each level. Shape ``[L]``."""
        return np.log([one.steps for one in self.durations(record, budget)])

    def score(self, record: RunRecord, budget: str) -> float:
        return -float(self.log_steps(record, budget).mean())

    def in_words(self) -> str:
        of = "validation error" if self.curve == "val/accuracy" else "training loss"
        return f"-log steps, mean over {self.count} levels of {of}"

    def show(self, score: float) -> str:
        return f"{math.exp(-score):,.0f} steps"
