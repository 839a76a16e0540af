"""Effects over seeds with their intervals: Student's t and the bootstrap, on differences and on ratios of paired runs.

scipy is imported inside the functions that need it: claims declare rules, rules know intervals, and listing claims has to be quick.

Legend: S reported seeds, J tuning seeds, R resamples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bnexp.stats.sample import Sample, Scale

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

    def in_words(self, prefix: str = "", suffix: str = "") -> str:
        """With the digits its width deserves; one without an upper end is a lower bound.

        Example:
            >>> Interval(2.0, 1.5, 2.71828, level=0.95, num_seeds=8).in_words(suffix=" ×")
            '2.0 × [1.5, 2.7]'
            >>> Interval(9.0, 8.0, math.inf, level=0.95, num_seeds=8).in_words(suffix=" ×")
            'at least 9.0 × [8.0, no upper limit]'
        """
        if math.isinf(self.high) and (self.low == 0 or math.isinf(self.low)):
            return "unknown"
        bound = "at least " if math.isinf(self.high) else ""
        estimate, low, high = (self._as_precise(value) for value in (self.estimate, self.low, self.high))
        return f"{bound}{prefix}{estimate}{suffix} [{low}, {high}]"

    def _as_precise(self, value: float) -> str:
        """A value with two digits of the interval's width: what lies below says nothing."""
        if math.isinf(value):
            return "no upper limit" if value > 0 else "no lower limit"
        width = (self.high if math.isfinite(self.high) else self.estimate) - self.low
        if not math.isfinite(width) or width <= 1e-6 * max(1.0, abs(self.estimate)):
            return number_words(value)
        decimals = max(0, 1 - math.floor(math.log10(width)))
        return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0 makes a plain zero of a negative one


def number_words(value: float) -> str:
    """Three significant digits with trailing zeros kept; powers only where they are shorter.

    Example:
        >>> [number_words(value) for value in (0, 3.14159e-16, 0.5, 1234.5)]
        ['0', '3.1e-16', '0.500', '1,234']
    """
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


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


def intervals_by_t(
    sample: Sample, scale: Scale, rng: np.random.Generator, levels: Sequence[float] = (0.95,)
) -> tuple[Interval, ...]:
    """Mean of ``arm - base``, or geometric mean of ``base / arm``, with one Student-t interval for each level.

    The variance is that over reported seeds plus, where values were tuned, that of the choice over re-drawn tuning seeds.

    Raises:
        ValueError: fewer than two seeds, or a ratio of values that are not positive.

    Example:
        >>> f"{intervals_by_t(Sample.of([1.0, 2.0, 3.0], [0.0, 0.0, 0.0]), 'difference', np.random.default_rng(0))[0]:.2f}"
        '2.00 [-0.48, 4.48]'
    """
    effect = mean_effect(sample, scale, rng)
    return tuple(_on_scale(effect.interval(level), scale) for level in levels)


@dataclass(frozen=True)
class MeanEffect:
    """An effect on the scale of differences or of log-ratios, as Student's t sees it.

    Attributes:
        estimate: mean over seeds.
        error: its standard error, the choice of tuned values included.
        num_seeds: reported seeds.
    """

    estimate: float
    error: float
    num_seeds: int

    def interval(self, level: float) -> Interval:
        """The two-sided interval."""
        reach = self.error * _t_quantile((1 + level) / 2, self.num_seeds - 1)
        return Interval(self.estimate, self.estimate - reach, self.estimate + reach, level, self.num_seeds)

    def p_value(self, value: float) -> float:
        """Two-sided p of the true effect being ``value``; below 0.05 exactly when the 95 % interval excludes it."""
        from scipy import stats

        distance = abs(self.estimate - value)
        if self.error == 0:
            return 0.0 if distance else 1.0
        return float(2 * stats.t.sf(distance / self.error, self.num_seeds - 1))


#: Re-draws of the tuning seeds behind the variance of a choice.
CHOICES = 2_000


def mean_effect(sample: Sample, scale: Scale, rng: np.random.Generator) -> MeanEffect:
    """Mean and standard error of an effect, see :func:`intervals_by_t`.

    Raises:
        ValueError: fewer than two seeds.
    """
    effects_S = sample.effects(scale)
    num_seeds = len(effects_S)
    if num_seeds < 2:
        raise ValueError("an interval over seeds needs two or more of them")
    variance = effects_S.var(ddof=1) / num_seeds
    if sample.num_tuning > 1:
        tuning_RJ = rng.integers(sample.num_tuning, size=(CHOICES, sample.num_tuning))
        every_RS = np.tile(np.arange(num_seeds), (CHOICES, 1))
        variance += sample.redrawn(scale, every_RS, tuning_RJ).mean(-1).var()
    return MeanEffect(float(effects_S.mean()), float(np.sqrt(variance)), num_seeds)


def intervals_by_bootstrap(
    sample: Sample,
    scale: Scale,
    rng: np.random.Generator,
    levels: Sequence[float] = (0.95,),
    resamples: int = 10_000,
) -> tuple[Interval, ...]:
    """The effect of :func:`intervals_by_t` with a bootstrap interval for each level, all from the same resamples and so nested.

    A resample draws reported seeds and tuning seeds, each with replacement; pairs stay together, and the drawn tuning seeds choose
    again among the reported values. The tails are widened so that for a mean of symmetric values the interval matches that of t:
    the plain percentile interval covers about 89 % at 8 seeds where it says 95.

    Raises:
        ValueError: as :func:`intervals_by_t`.

    Source: Efron & Tibshirani 1993, chapter 13 (percentile); Hesterberg 2015 (arXiv 1411.5279), expanded percentiles, as
    ``ExpandProbs`` of the R package ``resample``, which expands by default; ``scipy.stats.bootstrap``.
    """
    from scipy import stats

    effects_S = sample.effects(scale)
    num_seeds, num_tuning = len(effects_S), sample.num_tuning
    if num_seeds < 2:
        raise ValueError("an interval over seeds needs two or more of them")
    rows = [np.arange(num_seeds), *([np.arange(num_tuning)] if num_tuning > 1 else [])]

    def statistic(seeds: np.ndarray, tuning: np.ndarray | None = None, axis: int = -1) -> Any:  # noqa: ARG001 - scipy's signature
        drawn = sample.redrawn(scale, np.atleast_2d(seeds), None if tuning is None else np.atleast_2d(tuning)).mean(-1)
        return drawn if np.ndim(seeds) > 1 else drawn[0]

    nominal = [expanded_level(level, num_seeds) for level in levels]
    settings: dict[str, Any] = {"vectorized": True, "method": "percentile", "rng": rng}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter(
            "ignore", stats.DegenerateDataWarning
        )  # seeds that never vary give an interval of width 0
        first = stats.bootstrap(rows, statistic, confidence_level=nominal[0], n_resamples=resamples, **settings)
        again = {"n_resamples": 0, "bootstrap_result": first, **settings}
        others = [stats.bootstrap(rows, statistic, confidence_level=level, **again) for level in nominal[1:]]
    limits = [one.confidence_interval for one in (first, *others)]
    return tuple(
        _on_scale(Interval(float(effects_S.mean()), float(low), float(high), level, num_seeds), scale)
        for level, (low, high) in zip(levels, limits, strict=True)
    )


def _on_scale(interval: Interval, scale: Scale) -> Interval:
    return interval.mapped(math.exp) if scale == "ratio" else interval


@cache
def _t_quantile(share: float, degrees: int) -> float:
    """Of a t-distribution; kept, since 500 re-draws of one sample ask for the same one."""
    from scipy import stats

    return float(stats.t.ppf(share, degrees))


def expanded_level(level: float, num_seeds: int) -> float:
    """The nominal level at which a percentile interval of a mean of ``num_seeds`` symmetric values covers ``level``.

    A percentile interval is about ``mean ± z * sd / sqrt(S)`` with the biased (1/S) sd, where ``t`` and the Bessel (1/(S-1)) sd
    are due; this makes up for both.

    Source: Hesterberg 2015 (arXiv 1411.5279).

    Example:
        >>> [round(expanded_level(0.95, n), 4) for n in (8, 16, 1000)]
        [0.9885, 0.9723, 0.9504]
    """
    from scipy import stats

    reach = np.sqrt(num_seeds / (num_seeds - 1)) * stats.t.ppf((1 + level) / 2, num_seeds - 1)
    return float(1 - 2 * stats.norm.sf(reach))
