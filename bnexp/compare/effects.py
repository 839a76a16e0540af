"""Two arms against each other: the difference with its interval, a verdict against the smallest effect that matters, and how many
seeds would settle an open one.

scipy is imported inside the functions that need it: a sweep of single runs ends without it. Of it only ``scipy.special``, because
``scipy.stats`` takes a second to import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnexp.stats.holm import holm
from bnexp.stats.intervals import Interval

BETTER, WORSE, EQUIVALENT, OPEN = "better", "worse", "equivalent", "open"

#: Error of a verdict over all arms of a block; power that a number of seeds promises; the most seeds that are worth naming.
ALPHA, POWER, MOST_SEEDS = 0.05, 0.80, 1_000

#: A limit of a ratio beyond it says that two seeds are too few, and nothing else.
MOST_TIMES = 1e6

#: Fewer runs an arm have an interval at best, and no verdict: their sd is unknown.
MIN_SEEDS = 3


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of means, as Student's t sees it; of ratios their logarithm.

    Attributes:
        mean: of it.
        sd: of one seed's (paired: difference's) values, Bessel (1/(n-1)); unpaired: of the difference of one run each.
        error: standard error of the mean.
        freedom: degrees of freedom.
        num_seeds: pairs, or runs of the smaller arm.
    """

    mean: float
    sd: float
    error: float
    freedom: float
    num_seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Of one value a seed; the sd of a single one is infinite."""
        number = len(values)
        sd = float(np.std(values, ddof=1)) if number > 1 else math.inf
        return cls(float(np.mean(values)), sd, sd / math.sqrt(number), number - 1, number)

    @classmethod
    def unpaired(cls, arm: Sequence[float], base: Sequence[float]) -> Estimate:
        """Mean of ``arm`` less that of ``base``, independent of each other.

        Source: Welch 1947 (Biometrika 34), degrees of freedom by Satterthwaite 1946.
        """
        one, other = cls.of(arm), cls.of(base)
        error = math.hypot(one.error, other.error)
        number = min(one.num_seeds, other.num_seeds)
        freedom = float(number - 1)
        if number > 1 and error > 0:
            freedom = error**4 / (one.error**4 / one.freedom + other.error**4 / other.freedom)
        return cls(one.mean - other.mean, math.hypot(one.sd, other.sd), error, freedom, number)

    def interval(self, level: float = 0.95) -> Interval:
        """The two-sided t-interval; without limits for a single seed."""
        if self.num_seeds < 2:
            return Interval(self.mean, -math.inf, math.inf, level, self.num_seeds)
        from scipy.special import stdtrit

        reach = self.error * float(stdtrit(self.freedom, (1 + level) / 2))
        return Interval(self.mean, self.mean - reach, self.mean + reach, level, self.num_seeds)

    def p_below(self, value: float) -> float:
        """One-sided p of the true value being at most ``value``: small where the estimate lies well above."""
        if self.num_seeds < 2:
            return 1.0
        if self.error == 0:
            return 0.0 if self.mean > value else 1.0
        from scipy.special import stdtr

        return float(stdtr(self.freedom, (value - self.mean) / self.error))

    def p_above(self, value: float) -> float:
        """One-sided p of the true value being at least ``value``."""
        return replace(self, mean=-self.mean).p_below(-value)


@dataclass(frozen=True)
class Effect:
    """What an arm gains over its base; more is better.

    ``better``: the interval excludes 0 and the estimate reaches ``smallest``; ``worse``: the same below; ``equivalent``: whatever
    there is, is smaller than ``smallest`` either way; else ``open``. It is the rule of the project's claims (docs/claims.md, 0.3),
    with Holm's correction over the arms that are compared with one base.

    Attributes:
        estimate: of the difference; of a ratio its logarithm.
        smallest: the smallest effect that matters, on the same scale.
        ratio: whether it is the logarithm of a ratio.
        paired: whether by seed.
        unpaired_because: why not.
        num_arms: arms that are compared with the base.
        adjusted: p of the verdict that is nearest, corrected by Holm.
    """

    estimate: Estimate
    smallest: float
    ratio: bool
    paired: bool
    unpaired_because: str
    num_arms: int = 1
    adjusted: float = 1.0

    @cached_property
    def nearest(self) -> tuple[str, float]:
        """The verdict that the estimate could have, and its p."""
        mean, small = self.estimate.mean, self.smallest
        p_apart = min(1.0, 2 * min(self.estimate.p_below(0), self.estimate.p_above(0)))
        p_same = max(self.estimate.p_below(-small), self.estimate.p_above(small))
        if abs(mean) >= small:
            return (BETTER if mean > 0 else WORSE), p_apart
        return EQUIVALENT, p_same

    @property
    def verdict(self) -> str:
        """One of the four words."""
        if self.estimate.num_seeds < MIN_SEEDS:
            return OPEN
        return self.nearest[0] if self.adjusted < ALPHA else OPEN

    @property
    def interval(self) -> Interval:
        """95 %, not corrected for the number of arms; of a ratio as a ratio."""
        found = self.estimate.interval()
        return found.mapped(times) if self.ratio else found

    @cached_property
    def more_seeds(self) -> int | None:
        """How many more seeds an arm would settle it; 0 where it is settled, None where no honest number can be given."""
        if self.verdict != OPEN:
            return 0
        if self.estimate.num_seeds < MIN_SEEDS:
            return None
        wanted = seeds_to_settle(
            self.estimate.mean, self.estimate.sd, self.smallest, ALPHA / self.num_arms, self.paired
        )
        return None if wanted is None else max(1, wanted - self.estimate.num_seeds)

    @property
    def in_words(self) -> str:
        """The verdict with what it lacks."""
        number = self.estimate.num_seeds
        if self.verdict != OPEN:
            return self.verdict
        if number < MIN_SEEDS:
            return f"open: {number} seed{'s' * (number != 1)}, at least {MIN_SEEDS} are needed"
        more = self.more_seeds
        return (
            f"open: more than {MOST_SEEDS:,} seeds" if more is None else f"open: {more:,} more seed{'s' * (more != 1)}"
        )


def times(power: float) -> float:
    """``exp(power)``; more than a million times is no limit, and less than a millionth is 0.

    Example:
        >>> [times(power) for power in (0.0, 14.0, 800.0, -14.0)]
        [1.0, inf, inf, 0.0]
    """
    if abs(power) <= math.log(MOST_TIMES):
        return math.exp(power)
    return math.inf if power > 0 else 0.0


def with_holm(effects: Sequence[Effect]) -> list[Effect]:
    """The effects of all arms against one base, with Holm's correction for their number."""
    adjusted = holm({str(place): effect.nearest[1] for place, effect in enumerate(effects)})
    return [
        replace(effect, num_arms=len(effects), adjusted=adjusted[str(place)]) for place, effect in enumerate(effects)
    ]


def chance_settled(number: int, mean: float, sd: float, smallest: float, alpha: float, paired: bool = True) -> float:
    """The chance that ``number`` seeds give a verdict other than open, if ``mean`` and ``sd`` are the true ones.

    By the normal distribution of the mean and the chi-square distribution of the variance (unpaired: of two samples of equal sd),
    over 400 of its quantiles.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    freedom = (number - 1) * (1 if paired else 2)
    true_error = sd / math.sqrt(number)
    tails = (np.arange(400) + 0.5) / 400
    error_Q = true_error * np.sqrt(chdtri(freedom, tails) / freedom)
    apart_Q = np.maximum(stdtrit(freedom, 1 - alpha / 2) * error_Q, smallest)
    same_Q = np.maximum(smallest - stdtrit(freedom, 1 - alpha) * error_Q, 0)
    better = ndtr((mean - apart_Q) / true_error)
    worse = ndtr((-apart_Q - mean) / true_error)
    same = ndtr((same_Q - mean) / true_error) - ndtr((-same_Q - mean) / true_error)
    return float((better + worse + same).mean())


def seeds_to_settle(mean: float, sd: float, smallest: float, alpha: float, paired: bool = True) -> int | None:
    """The fewest seeds an arm that give a verdict with 80 % power, if the difference and the sd seen are the true ones.

    None where ``MOST_SEEDS`` would not: the difference lies at the smallest effect itself.

    Example:
        >>> seeds_to_settle(1.0, 1.0, 0.5, 0.05), seeds_to_settle(0.5, 1.0, 0.5, 0.05)
        (10, None)
    """

    def settles(number: int) -> bool:
        return sd == 0 or chance_settled(number, mean, sd, smallest, alpha, paired) >= POWER

    if not settles(MOST_SEEDS):
        return None
    low, high = MIN_SEEDS - 1, MIN_SEEDS
    while not settles(high):
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if settles(middle) else (middle, high)
    return high
