"""How often one arm beats another: ranks and signs, which take infinite times as they are.

Legend: S seeds; N, M runs of either arm; K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.interval import Interval


def probability_of_improvement(arm_NK: ArrayLike, base_MK: ArrayLike, *, lower_is_better: bool) -> float:
    """The chance that a run of ``arm`` beats an unrelated run of ``base``, ties counted half, averaged over tasks.

    Mann-Whitney's U over N M. A point estimate to compare with other tools: runs at shared seeds have the paired form.

    Shape: ``[N, K]`` and ``[M, K]``, or ``[N]`` and ``[M]`` for one task. Infinite values (never arrived) are allowed.

    Raises:
        ValueError: an empty or NaN input, or different numbers of tasks.

    Source: Agarwal et al. 2021, section 4; equals ``rliable.metrics.probability_of_improvement``.

    Example:
        >>> probability_of_improvement([10, 20], [15, np.inf], lower_is_better=True)
        0.75
    """
    arm_NK, base_MK = (_scores(values, lower_is_better) for values in (arm_NK, base_MK))
    if arm_NK.shape[1:] != base_MK.shape[1:]:
        raise ValueError(f"arms need the same tasks, got shapes {arm_NK.shape} and {base_MK.shape}")
    return float(_points(arm_NK[:, None], base_MK[None]).mean())


def paired_probability_of_improvement(
    arm_S: ArrayLike, base_S: ArrayLike, *, lower_is_better: bool, level: float = 0.95
) -> Interval:
    """The chance that ``arm`` beats ``base`` at one seed, ties counted half, with an interval for that chance.

    Clopper-Pearson: a bootstrap of eight wins out of eight would claim certainty. Ties count as losses in the lower limit and as
    wins in the upper one, which makes it wider than need be, never narrower.

    Shape: both ``[S]``, in the same order of seeds. Infinite values (never arrived) are allowed.

    Raises:
        ValueError: arms of different length, no seeds, or NaN.

    Source: Clopper & Pearson 1934.

    Example:
        >>> f"{paired_probability_of_improvement([1] * 8, [2] * 8, lower_is_better=True)}"
        '1 [0.631, 1]'
    """
    signs = sign_test(arm_S, base_S, lower_is_better=lower_is_better)
    total = signs.wins + signs.losses + signs.ties
    low = stats.binomtest(signs.wins, total).proportion_ci(level, method="exact").low
    high = stats.binomtest(signs.wins + signs.ties, total).proportion_ci(level, method="exact").high
    return Interval((signs.wins + signs.ties / 2) / total, float(low), float(high), level, total)


@dataclass(frozen=True)
class Signs:
    """At how many seeds one arm beat the other.

    Attributes:
        wins: seeds at which the arm was better.
        losses: seeds at which the base was better.
        ties: seeds at which both did the same, neither arriving included; left out of the test.
        p: two-sided p of the sign test; 1 when every seed is a tie.
    """

    wins: int
    losses: int
    ties: int
    p: float


def sign_test(arm_S: ArrayLike, base_S: ArrayLike, *, lower_is_better: bool) -> Signs:
    """Wins, losses and ties over seeds, with the two-sided sign test of as many wins as losses.

    Five seeds reach at best p = 0.0625, six 0.031.

    Shape: both ``[S]``, in the same order of seeds. Infinite values (never arrived) are allowed.

    Raises:
        ValueError: arms of different length, no seeds, or NaN.

    Source: Dixon & Mood 1946; ``scipy.stats.binomtest``.

    Example:
        >>> sign_test([1, 2, np.inf], [2, 2, np.inf], lower_is_better=True)
        Signs(wins=1, losses=0, ties=2, p=1.0)
    """
    arm_S, base_S = (_scores(values, lower_is_better) for values in (arm_S, base_S))
    if arm_S.shape != base_S.shape or arm_S.ndim != 1:
        raise ValueError(f"pairs need two rows of the same seeds, got shapes {arm_S.shape} and {base_S.shape}")
    wins, losses = int((arm_S > base_S).sum()), int((arm_S < base_S).sum())
    p = float(stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0
    return Signs(wins, losses, len(arm_S) - wins - losses, p)


def _scores(values: ArrayLike, lower_is_better: bool) -> np.ndarray:
    scores = np.asarray(values, float)
    if scores.size == 0 or scores.ndim == 0 or np.isnan(scores).any():
        raise ValueError("a comparison needs one or more values of each arm, none of them NaN")
    return -scores if lower_is_better else scores


def _points(arm: np.ndarray, base: np.ndarray) -> np.ndarray:
    return (arm > base) + 0.5 * (arm == base)
