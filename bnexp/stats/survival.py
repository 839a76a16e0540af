"""Steps to a target when some runs never get there: Kaplan-Meier curves, restricted means and what follows from them.

A run that had not reached the target is censored: it is kept, and nothing is invented for it. Times are known up to the evaluation
grid, which therefore has to be the same in all arms.

Legend: S seeds, R resamples (leading axes in general).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats

from bnexp.records.curves import Duration
from bnexp.stats.bootstrap import bootstrap_interval
from bnexp.stats.interval import Interval

Unit = Literal["steps", "seconds"]


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


def to_horizon(durations: Sequence[Duration], horizon: float, unit: Unit = "steps") -> tuple[Duration, ...]:
    """The same runs as seen at ``horizon``: there by then, or still censored at it.

    For runs that will never arrive. A run that diverged at step 300 has not merely been lost sight of, which is how Kaplan-Meier
    reads ``Duration(300, observed=False)``: treated so, an arm would gain by diverging early. Only ``unit`` is changed; the other
    one stays that of the run.

    Example:
        >>> to_horizon([Duration(300, 1.0, False), Duration(700, 2.0, True)], 500)
        (Duration(steps=500, seconds=1.0, observed=False), Duration(steps=500, seconds=2.0, observed=False))
    """

    def seen(duration: Duration) -> Duration:
        if duration.observed and getattr(duration, unit) <= horizon:
            return duration
        if unit == "steps":
            return replace(duration, observed=False, steps=int(horizon))
        return replace(duration, observed=False, seconds=float(horizon))

    return tuple(seen(duration) for duration in durations)


def times_or_inf(durations: Sequence[Duration], unit: Unit = "steps") -> np.ndarray:
    """Times with infinity for runs that never arrived: for ranks, signs and medians, never for a mean.

    Shape: ``[S]``.

    Raises:
        ValueError: no runs, or a time is negative or not finite.

    Example:
        >>> times_or_inf([Duration(300, 1.0, True), Duration(900, 3.0, False)])
        array([300.,  inf])
    """
    time_S, observed_S = _columns(durations, unit)
    return np.where(observed_S, time_S, np.inf)


def survival_curve(durations: Sequence[Duration], unit: Unit = "steps") -> SurvivalCurve:
    """The Kaplan-Meier estimate of the share of runs not at the target yet.

    Raises:
        ValueError: no runs, or a time is negative or not finite.

    Source: Kaplan & Meier 1958, the product-limit estimate.

    Example:
        >>> survival_curve([Duration(1, 0.0, True), Duration(2, 0.0, False), Duration(3, 0.0, True), Duration(4, 0.0, False)])
        SurvivalCurve(times=(0.0, 1.0, 3.0), shares=(1.0, 0.75, 0.375), last=4.0)
    """
    time_S, observed_S = _columns(durations, unit)
    sorted_S, share_S = _kaplan_meier(time_S, observed_S)
    times = np.unique(time_S[observed_S])
    shares = share_S[np.searchsorted(sorted_S, times, side="right") - 1]
    return SurvivalCurve((0.0, *times.tolist()), (1.0, *shares.tolist()), float(time_S.max()))


def restricted_mean(durations: Sequence[Duration], horizon: float, unit: Unit = "steps") -> float:
    """Mean time spent short of the target during the first ``horizon`` steps: the area under the Kaplan-Meier curve up to there.

    When every censored run was watched up to the horizon this is the mean of ``min(time, horizon)``. It is not the mean time to
    the target, which runs that never arrive do not have.

    Raises:
        ValueError: as :func:`survival_curve`, a horizon that is not positive, or one beyond the last censored run, where the
            curve is unknown (:func:`to_horizon` for runs that will never arrive).

    Source: Royston & Parmar 2013 (BMC Medical Research Methodology 13:152).

    Example:
        >>> restricted_mean([Duration(10, 0.0, True), Duration(40, 0.0, False)], horizon=40)
        25.0
    """
    columns = _watched(durations, horizon, unit)
    return float(_restricted_means(*columns, horizon))


def restricted_mean_ratio(
    *,
    base: Sequence[Duration],
    arm: Sequence[Duration],
    horizon: float,
    rng: np.random.Generator,
    unit: Unit = "steps",
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Restricted mean of ``base`` over that of ``arm``: how many times less time ``arm`` spends short of the target.

    The interval is an expanded percentile bootstrap on seeds, pairs kept together. When only ``base`` is censored
    the ratio is smaller than that of the mean times, so it understates a speed-up. If no run of either arm arrives it knows
    nothing: 1 with limits 0 and infinity.

    Shape: ``base`` and ``arm`` are S durations each, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`restricted_mean`; arms of different length; an arm that is there at time 0 at every seed.
    """

    def ratio(*rows: np.ndarray) -> np.ndarray:
        return _restricted_means(rows[0], rows[1], horizon) / _restricted_means(rows[2], rows[3], horizon)

    pair = _pair(base, arm, horizon, unit)
    if not _any_arrived(pair, horizon):
        return Interval(1.0, 0.0, np.inf, level, len(base))
    return bootstrap_interval(pair, ratio, rng, level=level, resamples=resamples)


def restricted_mean_difference(
    *,
    arm: Sequence[Duration],
    base: Sequence[Duration],
    horizon: float,
    rng: np.random.Generator,
    unit: Unit = "steps",
    level: float = 0.95,
    resamples: int = 10_000,
) -> Interval:
    """Restricted mean of ``arm`` minus that of ``base``, in ``unit``: below 0 when ``arm`` is sooner.

    The interval is an expanded percentile bootstrap on seeds, pairs kept together. If no run of either arm arrives it knows
    nothing: 0 with limits at plus and minus the horizon.

    Shape: ``arm`` and ``base`` are S durations each, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`restricted_mean`, or arms of different length.
    """

    def difference(*rows: np.ndarray) -> np.ndarray:
        return _restricted_means(rows[0], rows[1], horizon) - _restricted_means(rows[2], rows[3], horizon)

    pair = _pair(arm, base, horizon, unit)
    if not _any_arrived(pair, horizon):
        return Interval(0.0, -float(horizon), float(horizon), level, len(arm))
    return bootstrap_interval(pair, difference, rng, level=level, resamples=resamples)


def speedup_lower_bound(
    *, base: Sequence[Duration], arm: Sequence[Duration], unit: Unit = "steps", level: float = 0.95
) -> Interval:
    """The least that the median speed-up can be when some runs of the baseline, and none of ``arm``, never arrived.

    A pair whose baseline was watched for C steps in vain has a speed-up of more than ``C / arm``. The median of these bounds and
    of the known ratios is a lower bound of the median ratio, and so is its sign-test limit; above there is none. A mean of
    them would not be an estimate of anything. A baseline that diverged counts for no more than the time it lasted, unless
    :func:`to_horizon` has said that it will never arrive.

    Shape: ``base`` and ``arm`` are S durations each, in the same order of seeds.

    Returns:
        The bound, its lower confidence limit (0 below 6 seeds, where 95 % cannot be had) and infinity.

    Raises:
        ValueError: arms of different length, no censored baseline, or an ``arm`` that is censored or there at time 0.

    Example:
        >>> never, soon = Duration(900, 9.0, False), Duration(100, 1.0, True)
        >>> f"{speedup_lower_bound(base=[never] * 6, arm=[soon] * 6)}"
        '9 [9, inf]'
    """
    base_S, base_there_S = _columns(base, unit)
    arm_S, arm_there_S = _columns(arm, unit)
    if base_S.shape != arm_S.shape:
        raise ValueError(f"pairs need as many runs in both arms, got {len(base_S)} and {len(arm_S)}")
    if (arm_S == 0).any():
        raise ValueError("an arm that is there at time 0 has no speed-up")
    if base_there_S.all() or not arm_there_S.all():
        raise ValueError("a lower bound is for a censored baseline and an arm that always arrives")
    bounds_S = np.sort(base_S / arm_S)
    rank = int(stats.binom.ppf((1 - level) / 2, len(bounds_S), 0.5))
    low = float(bounds_S[rank - 1]) if rank else 0.0
    return Interval(float(np.median(bounds_S)), low, np.inf, level, len(bounds_S))


def median_time(durations: Sequence[Duration], unit: Unit = "steps") -> float | None:
    """The time by which half of the runs are at the target by the Kaplan-Meier curve; None when fewer than half get there.

    Raises:
        ValueError: as :func:`survival_curve`.

    Example:
        >>> median_time([Duration(10, 0.0, True), Duration(20, 0.0, True), Duration(50, 0.0, False)])
        20.0
    """
    curve = survival_curve(durations, unit)
    halves = [time for time, share in zip(curve.times, curve.shares, strict=True) if share <= 0.5 + 1e-12]
    return halves[0] if halves else None


def share_reached(durations: Sequence[Duration], level: float = 0.95) -> Interval:
    """The share of seeds at which the target was reached, with a Clopper-Pearson interval for that chance.

    Raises:
        ValueError: no runs.

    Source: Clopper & Pearson 1934.

    Example:
        >>> f"{share_reached([Duration(10, 0.0, True)] * 7 + [Duration(50, 0.0, False)])}"
        '0.875 [0.473, 0.997]'
    """
    if not durations:
        raise ValueError("there are no runs")
    result = stats.binomtest(sum(duration.observed for duration in durations), len(durations))
    limits = result.proportion_ci(confidence_level=level, method="exact")
    return Interval(result.statistic, float(limits.low), float(limits.high), level, len(durations))


def log_rank_p_value(first: Sequence[Duration], second: Sequence[Duration], unit: Unit = "steps") -> float:
    """Two-sided p of the log-rank test that both arms have one survival curve; ignores the pairing, so it goes with the picture.

    1 where no run's time tells the arms apart, as when none arrives.

    Raises:
        ValueError: as :func:`survival_curve`.

    Source: Mantel 1966; ``scipy.stats.logrank``.
    """
    columns = [_columns(durations, unit) for durations in (first, second)]
    data = [stats.CensoredData(uncensored=time[there], right=time[~there]) for time, there in columns]
    if not any(there.any() for _, there in columns):
        return 1.0
    with np.errstate(all="ignore"):
        p = float(stats.logrank(*data).pvalue)
    return 1.0 if np.isnan(p) else p


def _columns(durations: Sequence[Duration], unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    if not durations:
        raise ValueError("there are no runs")
    time_S = np.array([getattr(duration, unit) for duration in durations], float)
    if not np.isfinite(time_S).all() or (time_S < 0).any():
        raise ValueError(f"times must be finite and at least 0, got {time_S.tolist()}")
    return time_S, np.array([duration.observed for duration in durations], bool)


def _watched(durations: Sequence[Duration], horizon: float, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
    time_S, observed_S = _columns(durations, unit)
    if not (np.isfinite(horizon) and horizon > 0):
        raise ValueError(f"a horizon must be positive and finite, got {horizon}")
    last = time_S.max()
    if last < horizon and not observed_S[time_S == last].all():
        raise ValueError(
            f"the curve is unknown beyond {last:g}, where the last run was censored; the horizon is {horizon:g} "
            "(to_horizon is for runs that will never arrive)"
        )
    return time_S, observed_S


def _pair(
    first: Sequence[Duration], second: Sequence[Duration], horizon: float, unit: Unit
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if len(first) != len(second):
        raise ValueError(f"pairs need as many runs in both arms, got {len(first)} and {len(second)}")
    return *_watched(first, horizon, unit), *_watched(second, horizon, unit)


def _any_arrived(pair: tuple[np.ndarray, ...], horizon: float) -> bool:
    return any((there_S & (time_S <= horizon)).any() for time_S, there_S in (pair[:2], pair[2:]))


def _kaplan_meier(time_RS: np.ndarray, observed_RS: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted times and the share still on the way after each; at equal times arrivals come before censorings."""
    order_RS = np.lexsort((observed_RS == 0, time_RS), axis=-1)
    time_RS, observed_RS = (np.take_along_axis(values, order_RS, -1) for values in (time_RS, observed_RS))
    at_risk_S = np.arange(time_RS.shape[-1], 0, -1)
    return time_RS, np.cumprod(1 - (observed_RS != 0) / at_risk_S, axis=-1)


def _restricted_means(time_RS: np.ndarray, observed_RS: np.ndarray, horizon: float) -> np.ndarray:
    # A resample can lose the runs watched longest; its curve then keeps its last height up to the horizon (Gill's convention).
    time_RS, share_RS = _kaplan_meier(time_RS, observed_RS)
    start = np.zeros((*time_RS.shape[:-1], 1))
    edges = np.minimum(np.concatenate((start, time_RS, start + horizon), axis=-1), horizon)
    return (np.diff(edges, axis=-1) * np.concatenate((start + 1, share_RS), axis=-1)).sum(-1)
