"""Paired comparisons of two arms run at the same seeds.

Legend: S seeds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.bootstrap import Method, bootstrap_interval
from bnexp.stats.interval import Interval


def mean_interval(values_S: ArrayLike, level: float = 0.95) -> Interval:
    """Mean over seeds of a value each seed has one of (a fitted slope, say), with a Student-t interval.

    Shape: ``[S]``, S >= 2.

    Raises:
        ValueError: fewer than two seeds, or a value is not finite.

    Example:
        >>> f"{mean_interval([1.0, 2.0, 3.0]):.2f}"
        '2.00 [-0.48, 4.48]'
    """
    values_S = np.asarray(values_S, float)
    if values_S.ndim != 1 or len(values_S) < 2 or not np.isfinite(values_S).all():
        raise ValueError(f"a mean with an interval needs 2 or more finite values, got {values_S.tolist()}")
    mean, error = float(values_S.mean()), float(values_S.std(ddof=1) / np.sqrt(len(values_S)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values_S) - 1)) * error
    return Interval(mean, mean - reach, mean + reach, level, len(values_S))


def difference_interval(arm_S: ArrayLike, base_S: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of ``arm - base`` with a Student-t interval over seeds.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: lengths differ, fewer than two seeds, or a value is not finite.
    """
    return mean_interval(_differences(arm_S, base_S), level)


def ratio_interval(base_S: ArrayLike, arm_S: ArrayLike, level: float = 0.95) -> Interval:
    """Geometric mean of ``base / arm`` with a Student-t interval on the log-ratios: how many times fewer steps ``arm`` needs.

    Shape: both ``[S]``, positive, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`difference_interval`, or a value is not positive.
    """
    return mean_interval(_log_ratios(base_S, arm_S), level).mapped(math.exp)


def bootstrap_difference_interval(
    arm_S: ArrayLike,
    base_S: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
    method: Method = "percentile",
    expand: bool = True,
) -> Interval:
    """Mean of ``arm - base`` with a bootstrap that resamples seeds, pairs kept together.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`difference_interval` and :func:`bnexp.stats.bootstrap.bootstrap_intervals`.
    """
    settings = {"level": level, "resamples": resamples, "method": method, "expand": expand}
    return bootstrap_interval((_differences(arm_S, base_S),), mean_over_seeds, rng, **settings)  # type: ignore[arg-type]


def bootstrap_ratio_interval(
    base_S: ArrayLike,
    arm_S: ArrayLike,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 10_000,
    method: Method = "percentile",
    expand: bool = True,
) -> Interval:
    """The geometric mean of ``base / arm`` with a bootstrap of the log-ratios that resamples seeds, pairs kept together.

    Shape: both ``[S]``, positive, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`ratio_interval` and :func:`bnexp.stats.bootstrap.bootstrap_intervals`.
    """
    settings = {"level": level, "resamples": resamples, "method": method, "expand": expand}
    logs_S = _log_ratios(base_S, arm_S)
    return bootstrap_interval((logs_S,), mean_over_seeds, rng, **settings).mapped(math.exp)  # type: ignore[arg-type]


def difference_p_value(arm_S: ArrayLike, base_S: ArrayLike) -> float:
    """Two-sided p of the paired t-test of no mean difference; below 0.05 exactly when the 95 % t-interval excludes 0.

    Shape: both ``[S]``, in the same order of seeds, S >= 2. For ratios hand in logarithms. Arms that are equal at every seed
    have p = 1, a difference that never varies has p = 0.

    Raises:
        ValueError: as :func:`difference_interval`.

    Example:
        >>> round(difference_p_value([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), 4)
        0.0742
    """
    differences_S = _differences(arm_S, base_S)
    mean, spread = differences_S.mean(), differences_S.std(ddof=1)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stats.t.sf(abs(mean) / spread * np.sqrt(len(differences_S)), len(differences_S) - 1))


def mean_over_seeds(values_RS: np.ndarray) -> np.ndarray:
    """The mean along the last axis, as a statistic to bootstrap."""
    return values_RS.mean(-1)


def _log_ratios(base_S: ArrayLike, arm_S: ArrayLike) -> np.ndarray:
    base_S, arm_S = np.asarray(base_S, float), np.asarray(arm_S, float)
    if (base_S <= 0).any() or (arm_S <= 0).any():
        raise ValueError("ratios need positive values")
    return _differences(np.log(base_S), np.log(arm_S))


def _differences(first_S: ArrayLike, second_S: ArrayLike) -> np.ndarray:
    first_S, second_S = np.asarray(first_S, float), np.asarray(second_S, float)
    if first_S.shape != second_S.shape or first_S.ndim != 1 or len(first_S) < 2:
        raise ValueError(
            f"pairs need two rows of the same 2 or more seeds, got shapes {first_S.shape} and {second_S.shape}"
        )
    if not (np.isfinite(first_S).all() and np.isfinite(second_S).all()):
        raise ValueError("paired values must be finite; censored or diverged runs need a survival method")
    return first_S - second_S
