"""What claims share that are judged by one number of each run: arms, contrasts of them by seed, arms side by side.

Legend: S reported seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from bnexp.claims.runs import Runs, test_points
from bnexp.claims.words import means_words, rates_words
from bnexp.records.reader import RunRecord
from bnexp.stats.sample import Sample, Side

#: One number of one run, finite for every run; more is better where an arm is tuned on it.
Read = Callable[[RunRecord], float]


@dataclass(frozen=True)
class Arm:
    """Reported runs of a claim, as :meth:`Runs.side` takes them.

    Attributes:
        name, regime, grid: which.
        also: further arms that compete with ``name``: of the tuned values of all of them, those near the best count.
    """

    name: str
    regime: str = "own"
    grid: int = 0
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All arms that it may be."""
        return (self.name, *self.also)


def side_of(runs: Runs, arm: Arm, read: Read) -> Side:
    """A number of every reported run of an arm, and of those that compete with it, with the tuning scores behind the choice."""
    sides = [runs.side(read, name, arm.regime, arm.grid) for name in arm.names]
    scores = tuple(row for side in sides for row in side.tuning or ())
    return Side(tuple(row for side in sides for row in side.values), scores or None)


def contrast(runs: Runs, arm: Arm, base: Arm, read: Read = test_points) -> Sample:
    """``arm`` against ``base``, paired by seed, each at the tuned values that count; by default of test accuracy in points."""
    return Sample((side_of(runs, arm, read),), (side_of(runs, base, read),))


def interaction(runs: Runs, gain: tuple[Arm, Arm], other: tuple[Arm, Arm], read: Read = test_points) -> Sample:
    """How much more the first arm of ``gain`` is above its second one than in ``other``: (a - b) - (c - d)."""
    (a, b), (c, d) = gain, other
    sides = [side_of(runs, arm, read) for arm in (a, d, b, c)]
    return Sample(tuple(sides[:2]), tuple(sides[2:]), summed=True)


def by_seed(runs: Runs, arm: Arm, read: Read = test_points) -> np.ndarray:
    """The number of an arm at each seed, averaged over the tuned values that count. Shape ``[S]``."""
    side = side_of(runs, arm, read)
    return Sample((side,)).seeds_of((side,))


def side_by_side(runs: Runs, arms: Mapping[str, Arm], read: Read = test_points) -> dict[str, np.ndarray]:
    """Label to the number of its arm at each seed, ``[S]``: what ``figures/arms.py`` draws."""
    return {label: by_seed(runs, arm, read) for label, arm in arms.items()}


def arms_words(runs: Runs, place: str, arms: Mapping[str, Arm]) -> dict[str, str]:
    """Chosen rates and test accuracies of the arms at a place, for ``Evidence.numbers``."""
    rates = {f"{place}: learning rates, {label}": rates_words(runs, arm.name, arm.regime, arm.grid) for label, arm in arms.items()}
    return rates | means_words(side_by_side(runs, arms), of=f"{place}: test accuracy")
