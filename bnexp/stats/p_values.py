"""p values of secondary endpoints: the paired t-test of no effect, and Holm's correction for their number.

Legend: S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.intervals import Scale, effects_of_pairs


def paired_p_value(base_S: ArrayLike, arm_S: ArrayLike, scale: Scale = "difference") -> float:
    """Two-sided p of the paired t-test of no effect; below 0.05 exactly when the 95 % t-interval excludes none.

    Shape: both ``[S]``, in the same order of seeds, S >= 2. Arms that are equal at every seed have p = 1, an effect that never
    varies has p = 0.

    Raises:
        ValueError: as :func:`bnexp.stats.intervals.effects_of_pairs`.

    Example:
        >>> round(paired_p_value([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]), 4)
        0.0742
    """
    effects_S = effects_of_pairs(base_S, arm_S, scale)
    if np.ptp(effects_S) == 0:
        return 1.0 if effects_S[0] == 0 else 0.0
    return float(stats.ttest_1samp(effects_S, 0).pvalue)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Each endpoint's p adjusted so that the chance of any false one among them is at most the level it is compared with.

    Args:
        p_values: endpoint to its p, in [0, 1]; the primary endpoint of a claim is not among them.

    Returns:
        Endpoint to adjusted p, in the order given.

    Raises:
        ValueError: a p outside [0, 1], or NaN.

    Source: Holm 1979 (Scandinavian Journal of Statistics 6), the sequentially rejective procedure.

    Example:
        >>> holm({"late": 0.04, "spread": 0.01, "own rate": 0.03})
        {'late': 0.06, 'spread': 0.03, 'own rate': 0.06}
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p of {name} must be between 0 and 1, got {p}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for index, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - index) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
