"""Effects over seeds with their intervals: Student's t and the bootstrap, on differences and on ratios of paired runs.

scipy is imported inside the functions that need it: claims declare rules, rules know intervals, and listing claims has to be quick.

Legend: S seeds, K rows (one quantity per seed each), R resamples.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

#: Whether an effect is ``arm - base`` or ``base / arm``.
Scale = Literal["difference", "ratio"]

#: A 90 % interval inside the margin is two one-sided tests at 5 %; a 95 % interval outside it is the contradiction.
LEVELS = (0.90, 0.95)

#: Called as ``statistic(row_RS, ...)``, one argument a row; reduces the last axis and keeps the others.
Statistic = Callable[..., Any]


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


def effects_of_pairs(base_S: ArrayLike, arm_S: ArrayLike, scale: Scale) -> np.ndarray:
    """What each pair of runs says: ``arm - base``, or ``log(base / arm)``: how many times fewer steps ``arm`` needs.

    Shape: both ``[S]``, in the same order of seeds, S >= 2; returns ``[S]``.

    Raises:
        ValueError: lengths differ, fewer than two seeds, a value is not finite, or for a ratio not positive.
    """
    base_S, arm_S = np.asarray(base_S, float), np.asarray(arm_S, float)
    if base_S.shape != arm_S.shape or base_S.ndim != 1 or len(base_S) < 2:
        raise ValueError(
            f"pairs need two rows of the same 2 or more seeds, got shapes {base_S.shape} and {arm_S.shape}"
        )
    if not (np.isfinite(base_S).all() and np.isfinite(arm_S).all()):
        raise ValueError("paired values must be finite; censored or diverged runs need a survival method")
    if scale == "difference":
        return arm_S - base_S
    if (base_S <= 0).any() or (arm_S <= 0).any():
        raise ValueError("ratios need positive values")
    return np.log(base_S) - np.log(arm_S)


def intervals_by_t(
    base_S: ArrayLike, arm_S: ArrayLike, scale: Scale = "difference", levels: Sequence[float] = (0.95,)
) -> tuple[Interval, ...]:
    """Mean of ``arm - base``, or geometric mean of ``base / arm``, with one Student-t interval over seeds for each level.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`effects_of_pairs`.

    Example:
        >>> f"{intervals_by_t([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])[0]:.2f}"
        '2.00 [-0.48, 4.48]'
    """
    from scipy import stats

    effects_S = effects_of_pairs(base_S, arm_S, scale)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of effects that hardly vary, for the p value that is not used
        test = stats.ttest_1samp(effects_S, 0)
    limits = [test.confidence_interval(level) for level in levels]
    return tuple(
        _on_scale(Interval(float(effects_S.mean()), float(low), float(high), level, len(effects_S)), scale)
        for level, (low, high) in zip(levels, limits, strict=True)
    )


def intervals_by_bootstrap(
    base_S: ArrayLike,
    arm_S: ArrayLike,
    scale: Scale,
    rng: np.random.Generator,
    levels: Sequence[float] = (0.95,),
    resamples: int = 10_000,
) -> tuple[Interval, ...]:
    """The effect of :func:`intervals_by_t` with bootstrap intervals over seeds, all levels from the same resamples.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`effects_of_pairs`.
    """
    effects_S = effects_of_pairs(base_S, arm_S, scale)
    found = bootstrap((effects_S,), lambda row_RS: row_RS.mean(-1), rng, levels=levels, resamples=resamples)
    return tuple(_on_scale(interval, scale) for interval in found)


def _on_scale(interval: Interval, scale: Scale) -> Interval:
    return interval.mapped(math.exp) if scale == "ratio" else interval


def bootstrap(
    rows_KS: Sequence[ArrayLike],
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    levels: Sequence[float] = (0.95,),
    resamples: int = 10_000,
) -> tuple[Interval, ...]:
    """One interval for ``statistic`` over seeds for each level, all from the same resamples and therefore nested.

    A resample draws S seeds with replacement and takes every row's value of each, so pairs stay together. The interval is about the
    value the statistic would have over the population of seeds. Its tails are widened so that for a mean of symmetric values it
    matches the t-interval; the plain percentile interval covers about 89 % at S = 8 where it says 95.

    Shape: each row ``[S]``, finite, S >= 2, all in the same order of seeds.

    Raises:
        ValueError: rows of different or too small length, values or statistics that are not finite. Rows that never vary give an
            interval of width 0.

    Source: Efron & Tibshirani 1993, chapter 13 (percentile); Hesterberg 2015 (arXiv 1411.5279), expanded percentiles, as
    ``ExpandProbs`` of the R package ``resample``, which expands by default.

    Example:
        >>> rows = [3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 2.0, 3.0]
        >>> ratio_of_means = lambda base_RS, arm_RS: base_RS.mean(-1) / arm_RS.mean(-1)
        >>> bootstrap(rows, ratio_of_means, np.random.default_rng(0))[0].estimate
        2.25
    """
    from scipy import stats

    checked_KS = _checked(rows_KS)
    num_seeds = checked_KS.shape[1]
    nominal = [expanded_level(level, num_seeds) for level in levels]
    settings: dict[str, Any] = {"paired": True, "vectorized": True, "method": "percentile", "rng": rng}
    rows, drawn = tuple(checked_KS), lambda *drawn_RS, **_: statistic(*drawn_RS)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # what is not finite is an error below
        first = stats.bootstrap(rows, drawn, confidence_level=nominal[0], n_resamples=resamples, **settings)
        again = {"n_resamples": 0, "bootstrap_result": first, **settings}
        others = [stats.bootstrap(rows, drawn, confidence_level=level, **again) for level in nominal[1:]]
        estimate = float(statistic(*checked_KS))
    drawn_R = first.bootstrap_distribution
    if not (np.isfinite(estimate) and np.isfinite(drawn_R).all()):
        raise ValueError("the statistic is not finite for these seeds or for some resample of them")
    limits = [one.confidence_interval for one in (first, *others)]
    return tuple(
        Interval(estimate, float(low), float(high), level, num_seeds)
        for level, (low, high) in zip(levels, limits, strict=True)
    )


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


def _checked(rows_KS: Sequence[ArrayLike]) -> np.ndarray:
    rows = [np.asarray(row, float) for row in rows_KS]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or rows[0].ndim != 1 or len(rows[0]) < 2:
        got = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(f"a bootstrap needs rows over the same 2 or more seeds, got shapes {got}")
    stacked_KS = np.stack(rows)
    if not np.isfinite(stacked_KS).all():
        raise ValueError("bootstrapped values must be finite; censored or diverged runs need a survival method")
    return stacked_KS
