"""Paired comparisons of two arms run at the same seeds.

Legend: S seeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate with a two-sided interval for the mean effect over seeds.

    The uncertainty is that of drawing other seeds (initial weights, batch order) on the same data and split; not that of other
    data, models or settings.
    """

    estimate: float
    low: float
    high: float
    level: float
    num_seeds: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".3g"
        return f"{self.estimate:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"


def difference_interval(arm_S: ArrayLike, base_S: ArrayLike, level: float = 0.95) -> Interval:
    """Mean of ``arm - base`` with a Student-t interval over seeds.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: lengths differ, fewer than two seeds, or a value is not finite.
    """
    differences_S = _paired(arm_S, base_S)
    return _t_interval(differences_S, level)


def ratio_interval(base_S: ArrayLike, arm_S: ArrayLike, level: float = 0.95) -> Interval:
    """Geometric mean of ``base / arm`` with a Student-t interval on the log-ratios: how many times fewer steps ``arm`` needs.

    Shape: both ``[S]``, positive, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`difference_interval`, or a value is not positive.
    """
    base_S, arm_S = np.asarray(base_S, float), np.asarray(arm_S, float)
    if (base_S <= 0).any() or (arm_S <= 0).any():
        raise ValueError("ratios need positive values")
    log = _t_interval(_paired(np.log(base_S), np.log(arm_S)), level)
    estimate, low, high = (float(np.exp(value)) for value in (log.estimate, log.low, log.high))
    return Interval(estimate, low, high, level, log.num_seeds)


def bootstrap_ratio_interval(
    base_S: ArrayLike, arm_S: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 10_000
) -> Interval:
    """The same geometric mean ratio with a percentile bootstrap that resamples seeds, pairs kept together."""
    logs_S = _paired(np.log(np.asarray(base_S, float)), np.log(np.asarray(arm_S, float)))
    if np.ptp(logs_S) == 0:
        low = high = float(logs_S[0])
    else:
        settings = {"n_resamples": resamples, "confidence_level": level, "method": "percentile", "rng": rng}
        found = stats.bootstrap((logs_S,), np.mean, **settings)
        low, high = found.confidence_interval
    return Interval(float(np.exp(logs_S.mean())), float(np.exp(low)), float(np.exp(high)), level, len(logs_S))


def _paired(first_S: ArrayLike, second_S: ArrayLike) -> np.ndarray:
    first_S, second_S = np.asarray(first_S, float), np.asarray(second_S, float)
    if first_S.shape != second_S.shape or first_S.ndim != 1 or len(first_S) < 2:
        raise ValueError(
            f"pairs need two rows of the same 2 or more seeds, got shapes {first_S.shape} and {second_S.shape}"
        )
    differences_S = first_S - second_S
    if not np.isfinite(differences_S).all():
        raise ValueError("paired values must be finite; censored or diverged runs need a survival method")
    return differences_S


def _t_interval(values_S: np.ndarray, level: float) -> Interval:
    mean, error = float(values_S.mean()), float(values_S.std(ddof=1) / np.sqrt(len(values_S)))
    reach = float(stats.t.ppf((1 + level) / 2, len(values_S) - 1)) * error
    return Interval(mean, mean - reach, mean + reach, level, len(values_S))
