"""Evidence that two arms do the same within a margin: two one-sided tests.

Legend: S seeds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.bootstrap import Method, bootstrap_intervals
from bnexp.stats.interval import LEVELS, Scale, TwoLevels
from bnexp.stats.paired import difference_interval, mean_over_seeds, ratio_interval


def levels_by_t(*, arm_S: ArrayLike, base_S: ArrayLike, scale: Scale) -> TwoLevels:
    """Mean of ``arm - base``, or geometric mean of ``base / arm``, with Student-t intervals over seeds.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`bnexp.stats.paired.difference_interval` and :func:`bnexp.stats.paired.ratio_interval`.
    """
    if scale == "ratio":
        return TwoLevels(*(ratio_interval(base_S, arm_S, level) for level in LEVELS))
    return TwoLevels(*(difference_interval(arm_S, base_S, level) for level in LEVELS))


def levels_by_bootstrap(
    *, arm_S: ArrayLike, base_S: ArrayLike, scale: Scale, rng: np.random.Generator, method: Method = "percentile"
) -> TwoLevels:
    """The effects of :func:`levels_by_t` with expanded bootstrap intervals on seeds, both from the same resamples.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`levels_by_t` and :func:`bnexp.stats.bootstrap.bootstrap_intervals`.
    """
    levels_by_t(arm_S=arm_S, base_S=base_S, scale=scale)  # refuses what cannot be paired
    arm_S, base_S = np.asarray(arm_S, float), np.asarray(base_S, float)
    effects_S = np.log(base_S) - np.log(arm_S) if scale == "ratio" else arm_S - base_S
    found = bootstrap_intervals((effects_S,), mean_over_seeds, rng, levels=LEVELS, method=method)
    return TwoLevels(*(interval.mapped(math.exp) if scale == "ratio" else interval for interval in found))


def equivalence_p_value(arm_S: ArrayLike, base_S: ArrayLike, margin: float) -> float:
    """The larger p of two one-sided paired t-tests that the mean of ``arm - base`` is inside ``±margin``.

    Below 0.05 exactly when the 90 % t-interval lies inside the margin. For ratios hand in logarithms and the margin's logarithm.

    Shape: both ``[S]``, in the same order of seeds, S >= 2.

    Raises:
        ValueError: as :func:`bnexp.stats.paired.difference_interval`, or a margin that is not positive.

    Source: Schuirmann 1987.
    """
    if not margin > 0:
        raise ValueError(f"a margin must be positive, got {margin}")
    mean = difference_interval(arm_S, base_S).estimate
    differences_S = np.asarray(arm_S, float) - np.asarray(base_S, float)
    error, slack = differences_S.std(ddof=1) / np.sqrt(len(differences_S)), margin - abs(mean)
    if error == 0:
        return 0.0 if slack > 0 else 1.0
    return float(stats.t.sf(slack / error, len(differences_S) - 1))
