"""One number for many runs of several tasks: the interquartile mean.

Legend: S seeds, K tasks, R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.interval import Interval


def interquartile_mean(scores_SK: ArrayLike) -> float:
    """The mean of the middle half of all runs of all tasks.

    Shape: ``[S, K]``, or ``[S]`` for one task.

    Raises:
        ValueError: no runs, or a score is not finite.

    Source: Agarwal et al. 2021, section 4; equals ``rliable.metrics.aggregate_iqm``.

    Example:
        >>> interquartile_mean([0, 1, 3, 100])
        2.0
    """
    return float(stats.trim_mean(_scores(scores_SK), 0.25, axis=None))


def interquartile_mean_interval(
    scores_SK: ArrayLike, rng: np.random.Generator, level: float = 0.95, resamples: int = 10_000
) -> Interval:
    """The interquartile mean with a stratified percentile bootstrap: the runs of each task are resampled on their own.

    The interval is about other seeds of the same tasks, not about other tasks. It is the plain percentile one, as rliable's, so
    that both agree; with one task and fewer than about 20 seeds it is too narrow.

    Shape: ``[S, K]``, or ``[S]`` for one task; S >= 2.

    Raises:
        ValueError: fewer than two seeds, or a score is not finite.

    Source: Agarwal et al. 2021, section 4; ``rliable.library.StratifiedBootstrap``.
    """
    scores_SK = _scores(scores_SK)
    scores_SK = scores_SK.reshape(len(scores_SK), -1)
    num_seeds, num_tasks = scores_SK.shape
    if num_seeds < 2:
        raise ValueError(f"a bootstrap needs 2 or more seeds, got {num_seeds}")
    seed_RSK = rng.integers(0, num_seeds, (resamples, num_seeds, num_tasks))
    drawn_RN = scores_SK[seed_RSK, np.arange(num_tasks)].reshape(resamples, -1)
    means_R = stats.trim_mean(drawn_RN, 0.25, axis=-1)
    low, high = np.quantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(interquartile_mean(scores_SK), float(low), float(high), level, num_seeds)


def _scores(scores_SK: ArrayLike) -> np.ndarray:
    scores_SK = np.asarray(scores_SK, float)
    if scores_SK.ndim not in (1, 2) or scores_SK.size == 0 or not np.isfinite(scores_SK).all():
        raise ValueError(f"an interquartile mean needs finite scores [S] or [S, K], got shape {scores_SK.shape}")
    return scores_SK
