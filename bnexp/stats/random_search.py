"""What little tuning can expect: the best of a few random draws from everything that a full tuning tried.

Legend: N runs tried.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def expected_best(score_N: ArrayLike, num_draws: int) -> float:
    """Expected maximum of ``num_draws`` independent draws, each run as likely as any other, drawn again or not.

    The sum over scores v of v * (P(V <= v)^k - P(V < v)^k); exact for the list of runs at hand, no simulation.

    Shape: ``[N]``, N >= 1.

    Raises:
        ValueError: no scores, one that is not finite, or fewer than one draw.

    Source: Dodge et al. 2019, "Show Your Work: Improved Reporting of Experimental Results", section 3, the expected validation
    performance.
    Deviation: theirs is an estimate from a random sample of a continuous range; here the list that was tuned over is the whole
    range.

    Example:
        >>> [expected_best([0.0, 1.0], num_draws) for num_draws in (1, 2, 3)]
        [0.5, 0.75, 0.875]
    """
    sorted_N = np.sort(np.asarray(score_N, float))
    if sorted_N.ndim != 1 or not len(sorted_N) or not np.isfinite(sorted_N).all() or num_draws < 1:
        raise ValueError(f"the best of {num_draws} draws needs a row of finite scores, got shape {sorted_N.shape}")
    at_most = np.arange(len(sorted_N) + 1) / len(sorted_N)
    return float(np.diff(at_most**num_draws) @ sorted_N)


def draws_needed(score_N: ArrayLike, short_of_best: float) -> int:
    """The fewest draws whose expected best comes within ``short_of_best`` of the best score.

    Shape: ``[N]``, N >= 1.

    Raises:
        ValueError: as :func:`expected_best`, or a ``short_of_best`` that is not positive: no number of draws is sure of the best.

    Example:
        >>> draws_needed([0.0, 1.0], short_of_best=0.2)
        3
    """
    if not short_of_best > 0:
        raise ValueError(f"short_of_best must be positive, got {short_of_best:g}")
    enough, num_draws = float(np.max(np.asarray(score_N, float))) - short_of_best, 1
    while expected_best(score_N, num_draws) < enough:
        num_draws += 1
    return num_draws
