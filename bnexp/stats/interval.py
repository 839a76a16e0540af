"""An estimate with its interval, the form in which every effect reaches a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Scale = Literal["difference", "ratio"]

#: A 90 % interval inside the margin is two one-sided tests at 5 %; a 95 % interval outside it is the contradiction.
LEVELS = (0.90, 0.95)


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided interval for an effect over seeds.

    The uncertainty is that of drawing other seeds (initial weights, batch order) on the same data and split; not that of other
    data, models or settings.

    Attributes:
        estimate: the effect in the seeds at hand, in the unit of the function that made it.
        low: lower limit; ``-inf`` (for a ratio 0) where there is none.
        high: upper limit; ``inf`` where there is none.
        level: share of such intervals that hold the true effect, in (0, 1).
        num_seeds: pairs of runs behind it.

    Raises:
        ValueError: a value is NaN, the limits are swapped, or the level is not inside (0, 1).

    Example:
        >>> f"{Interval(2.0, 1.5, 2.71828, level=0.95, num_seeds=8):.2f}"
        '2.00 [1.50, 2.72]'
    """

    estimate: float
    low: float
    high: float
    level: float
    num_seeds: int

    def __post_init__(self) -> None:
        if any(math.isnan(value) for value in (self.estimate, self.low, self.high)):
            raise ValueError("an interval needs numbers, got NaN")
        if self.low > self.high:
            raise ValueError(f"an interval's low must not exceed its high, got {self.low:g} and {self.high:g}")
        if not 0 < self.level < 1:
            raise ValueError(f"an interval's level must lie between 0 and 1, got {self.level:g}")

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def covers(self, value: float) -> bool:
        """Whether ``value`` lies inside, limits included."""
        return self.low <= value <= self.high

    def holds_its_estimate(self) -> bool:
        """Whether the estimate lies inside, up to rounding; a bootstrap of a badly biased statistic can miss its own."""
        return self.low - self.rounding <= self.estimate <= self.high + self.rounding

    @property
    def rounding(self) -> float:
        """What two ways of computing the estimate may differ by."""
        return 1e-9 * max(1.0, abs(self.estimate))

    def mapped(self, increasing: Callable[[float], float]) -> Interval:
        """The same interval on another scale; ``increasing`` is ``math.exp`` for log-ratios."""
        estimate, low, high = (float(increasing(value)) for value in (self.estimate, self.low, self.high))
        return Interval(estimate, low, high, self.level, self.num_seeds)


@dataclass(frozen=True)
class TwoLevels:
    """One effect with the two intervals an equivalence claim needs.

    Attributes:
        narrow: the 90 % interval, for equivalence.
        wide: the 95 % interval, for its contradiction; holds the narrow one, so both can never be concluded.

    Raises:
        ValueError: other levels, or intervals that are not nested.
    """

    narrow: Interval
    wide: Interval

    def __post_init__(self) -> None:
        if (self.narrow.level, self.wide.level) != LEVELS:
            raise ValueError(f"levels must be {LEVELS}, got {self.narrow.level:g} and {self.wide.level:g}")
        slack = self.narrow.rounding
        if self.narrow.low < self.wide.low - slack or self.narrow.high > self.wide.high + slack:
            raise ValueError(f"the 90 % interval {self.narrow} must lie inside the 95 % interval {self.wide}")
