"""Steps to a target when some runs never get there: Kaplan-Meier curves, and what can still be said of a speed-up.

A run that had not reached the target is censored: it is kept, and nothing is invented for it. Times are known up to the evaluation
grid, which therefore has to be the same in all arms. scipy is imported inside the functions, for the reason in ``intervals.py``.

Legend: S seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnexp.records.curves import Duration
from bnexp.stats.intervals import Interval, bootstrap


@dataclass(frozen=True)
class Times:
    """Steps to the target of the runs of one arm, in the order of seeds.

    Attributes:
        steps: when each run reached the target, or how long it was watched in vain, ``[S]``.
        observed: False for a run that was watched in vain (censored), ``[S]``.

    Raises:
        ValueError: no runs, other lengths, or a time that is negative or not finite.
    """

    steps: tuple[float, ...]
    observed: tuple[bool, ...]

    def __post_init__(self) -> None:
        if not self.steps or len(self.steps) != len(self.observed):
            raise ValueError(f"one flag per run is needed, got {len(self.steps)} runs and {len(self.observed)} flags")
        if not np.isfinite(self.steps).all() or min(self.steps) < 0:
            raise ValueError(f"times must be finite and at least 0, got {self.steps}")

    @classmethod
    def of(cls, durations: Sequence[Duration]) -> Times:
        """As read off evaluation curves."""
        return cls(tuple(float(one.steps) for one in durations), tuple(one.observed for one in durations))

    def seen_at(self, horizon: float) -> Times:
        """The same runs as seen at ``horizon``: there by then, or still on the way.

        For runs that will never arrive. A run that diverged at step 300 has not merely been lost sight of, which is how
        Kaplan-Meier reads a censored time: treated so, an arm would gain by diverging early.

        Example:
            >>> Times((300.0, 700.0), (False, True)).seen_at(500)
            Times(steps=(500.0, 500.0), observed=(False, False))
        """
        there = tuple(seen and time <= horizon for time, seen in zip(self.steps, self.observed, strict=True))
        steps = tuple(time if seen else float(horizon) for time, seen in zip(self.steps, there, strict=True))
        return Times(steps, there)


@dataclass(frozen=True)
class SurvivalCurve:
    """The share of runs that are not at the target yet, as a falling staircase.

    Attributes:
        times: 0, then every time at which a run reached the target, increasing.
        shares: the share still on the way from that time on, in [0, 1]; the first is 1.
        last: how long the run that was watched longest was watched; the curve says nothing beyond.
    """

    times: tuple[float, ...]
    shares: tuple[float, ...]
    last: float


def survival_curve(times: Times) -> SurvivalCurve:
    """The Kaplan-Meier estimate of the share of runs not at the target yet.

    Source: Kaplan & Meier 1958, the product-limit estimate; ``scipy.stats.ecdf``.

    Example:
        >>> survival_curve(Times((1.0, 2.0, 3.0, 4.0), (True, False, True, False)))
        SurvivalCurve(times=(0.0, 1.0, 3.0), shares=(1.0, 0.75, 0.375), last=4.0)
    """
    from scipy import stats

    if not any(times.observed):
        return SurvivalCurve((0.0,), (1.0,), float(max(times.steps)))
    arrivals = np.unique([time for time, there in zip(times.steps, times.observed, strict=True) if there])
    shares = stats.ecdf(_censored(times)).sf.evaluate(arrivals)
    return SurvivalCurve((0.0, *arrivals.tolist()), (1.0, *shares.tolist()), float(max(times.steps)))


def restricted_mean_ratio(
    base: Times, arm: Times, horizon: float, rng: np.random.Generator, resamples: int = 10_000
) -> Interval:
    """Mean steps short of the target during the first ``horizon`` steps, of ``base`` over ``arm``, with a 95 % interval.

    How many times less time ``arm`` spends short of the target: the ratio of the areas under both Kaplan-Meier curves. A run that
    is not there by the horizon counts as on the way all the time, even if it diverged before. When only ``base`` is censored the
    ratio is smaller than that of the mean times, so it understates a speed-up. The interval is an expanded percentile bootstrap on
    seeds, pairs kept together. If no run of either arm arrives nothing is known: 1 with limits 0 and infinity.

    Raises:
        ValueError: a horizon that is not positive; arms of different length; an arm that is there at time 0 at every seed.

    Source: Royston & Parmar 2013 (BMC Medical Research Methodology 13:152). With every run watched up to the horizon, the area
    under the Kaplan-Meier curve is the mean of ``min(time, horizon)``.

    Example:
        >>> slow, fast = Times((300, 400, 800), (True, True, False)), Times((100, 200, 300), (True, True, True))
        >>> restricted_mean_ratio(slow, fast, 900, np.random.default_rng(0)).estimate.__round__(3)
        2.667
    """
    _require_pairs(base, arm)
    if not (np.isfinite(horizon) and horizon > 0):
        raise ValueError(f"a horizon must be positive and finite, got {horizon}")
    base, arm = base.seen_at(horizon), arm.seen_at(horizon)
    if not any((*base.observed, *arm.observed)):
        return Interval(1.0, 0.0, np.inf, 0.95, len(base.steps))
    rows = (base.steps, arm.steps)
    return bootstrap(rows, lambda base_RS, arm_RS: base_RS.mean(-1) / arm_RS.mean(-1), rng, resamples=resamples)[0]


def speedup_lower_bound(base: Times, arm: Times, level: float = 0.95) -> Interval:
    """The least that the median speed-up can be when some runs of the baseline, and none of ``arm``, never arrived.

    A pair whose baseline was watched for C steps in vain has a speed-up of more than ``C / arm``. The median of these bounds and
    of the known ratios is a lower bound of the median ratio, and so is its sign-test limit; above there is none. A mean of
    them would not be an estimate of anything. A baseline that diverged counts for no more than the time it lasted, unless
    :meth:`Times.seen_at` has said that it will never arrive.

    Returns:
        The bound, its lower confidence limit (0 below 6 seeds, where 95 % cannot be had) and infinity.

    Raises:
        ValueError: arms of different length, no censored baseline, or an ``arm`` that is censored or there at time 0.

    Example:
        >>> never, soon = Times((900,) * 6, (False,) * 6), Times((100,) * 6, (True,) * 6)
        >>> f"{speedup_lower_bound(never, soon)}"
        '9 [9, inf]'
    """
    from scipy import stats

    _require_pairs(base, arm)
    if min(arm.steps) == 0:
        raise ValueError("an arm that is there at time 0 has no speed-up")
    if all(base.observed) or not all(arm.observed):
        raise ValueError("a lower bound is for a censored baseline and an arm that always arrives")
    bounds_S = np.sort(np.asarray(base.steps) / np.asarray(arm.steps))
    rank = int(stats.binom.ppf((1 - level) / 2, len(bounds_S), 0.5))
    low = float(bounds_S[rank - 1]) if rank else 0.0
    return Interval(float(np.median(bounds_S)), low, np.inf, level, len(bounds_S))


def share_reached(times: Times, level: float = 0.95) -> Interval:
    """The share of seeds at which the target was reached, with a Clopper-Pearson interval for that chance.

    Source: Clopper & Pearson 1934.

    Example:
        >>> f"{share_reached(Times((10,) * 8, (True,) * 7 + (False,)))}"
        '0.875 [0.473, 0.997]'
    """
    from scipy import stats

    result = stats.binomtest(sum(times.observed), len(times.observed))
    limits = result.proportion_ci(confidence_level=level, method="exact")
    return Interval(result.statistic, float(limits.low), float(limits.high), level, len(times.observed))


def log_rank_p_value(first: Times, second: Times) -> float:
    """Two-sided p of the log-rank test that both arms have one survival curve; ignores the pairing, so it goes with the picture.

    1 where no run's time distinguishes the arms, as when none arrives.

    Source: Mantel 1966; ``scipy.stats.logrank``.
    """
    from scipy import stats

    if not any((*first.observed, *second.observed)):
        return 1.0
    with np.errstate(all="ignore"):
        p = float(stats.logrank(_censored(first), _censored(second)).pvalue)
    return 1.0 if np.isnan(p) else p


def _censored(times: Times) -> Any:
    from scipy import stats

    steps_S, there_S = np.asarray(times.steps, float), np.asarray(times.observed, bool)
    return stats.CensoredData(uncensored=steps_S[there_S], right=steps_S[~there_S])


def _require_pairs(base: Times, arm: Times) -> None:
    if len(base.steps) != len(arm.steps):
        raise ValueError(f"pairs need as many runs in both arms, got {len(base.steps)} and {len(arm.steps)}")
