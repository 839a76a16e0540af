"""Paired bootstrap on seeds, for any statistic of per-seed rows.

Legend: S seeds, K rows (one quantity per seed each), R resamples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bnexp.stats.interval import Interval

Method = Literal["percentile", "BCa"]
#: Called as ``statistic(row_RS, ...)``, one argument a row; reduces the last axis and keeps the others.
Statistic = Callable[..., Any]

#: Beyond this the interval is the whole range of the resampled statistic (n = 2 to 4 when expanded).
_HIGHEST_LEVEL = 1 - 1e-12


def bootstrap_interval(
    rows_KS: Sequence[ArrayLike],
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    method: Method = "percentile",
    expand: bool = True,
    resamples: int = 10_000,
) -> Interval:
    """:func:`bootstrap_intervals` at one level.

    Example:
        >>> rows = [3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 2.0, 3.0]
        >>> ratio_of_means = lambda base_RS, arm_RS: base_RS.mean(-1) / arm_RS.mean(-1)
        >>> bootstrap_interval(rows, ratio_of_means, np.random.default_rng(0)).estimate
        2.25
    """
    settings = {"levels": (level,), "method": method, "expand": expand, "resamples": resamples}
    return bootstrap_intervals(rows_KS, statistic, rng, **settings)[0]  # type: ignore[arg-type]


def bootstrap_intervals(
    rows_KS: Sequence[ArrayLike],
    statistic: Statistic,
    rng: np.random.Generator,
    *,
    levels: Sequence[float] = (0.95,),
    method: Method = "percentile",
    expand: bool = True,
    resamples: int = 10_000,
) -> tuple[Interval, ...]:
    """Intervals for ``statistic`` over seeds, one a level, all from the same resamples and therefore nested.

    A resample draws S seeds with replacement and takes every row's value of each, so pairs stay together. The interval is about the
    value the statistic would have over the population of seeds. With ``expand`` the tails are widened so that for a mean of
    symmetric values it matches the t-interval; without, it covers about 89 % at S = 8 where it says 95 (``tests/stats``).

    Shape: each row ``[S]``, finite, S >= 2, all in the same order of seeds.

    Raises:
        ValueError: rows of different or too small length, values or statistics that are not finite, or a BCa interval that does
            not exist for these values (take ``method="percentile"``). Rows that never vary give an interval of width 0.

    Source: Efron & Tibshirani 1993, chapters 13 (percentile) and 14 (BCa); Hesterberg 2015 (arXiv 1411.5279), expanded
    percentiles, as ``ExpandProbs`` of the R package ``resample``, which expands both kinds by default.
    """
    checked_KS = _rows(rows_KS)
    num_seeds = checked_KS.shape[1]
    nominal = [min(expanded_level(level, num_seeds) if expand else level, _HIGHEST_LEVEL) for level in levels]
    first = _scipy(checked_KS, statistic, rng, method, confidence_level=nominal[0], n_resamples=resamples)
    drawn_R = first.bootstrap_distribution
    with np.errstate(all="ignore"):
        estimate = float(statistic(*checked_KS))
    if not (np.isfinite(estimate) and np.isfinite(drawn_R).all()):
        raise ValueError("the statistic is not finite for these seeds or for some resample of them")
    if np.ptp(drawn_R) == 0:
        return tuple(Interval(estimate, estimate, estimate, level, num_seeds) for level in levels)
    again = {"n_resamples": 0, "bootstrap_result": first}
    others = [_scipy(checked_KS, statistic, rng, method, confidence_level=level, **again) for level in nominal[1:]]
    limits = [result.confidence_interval for result in (first, *others)]
    if not np.isfinite(limits).all():
        raise ValueError(f'these {num_seeds} seeds have no {method} interval; use method="percentile"')
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
    reach = np.sqrt(num_seeds / (num_seeds - 1)) * stats.t.ppf((1 + level) / 2, num_seeds - 1)
    return float(1 - 2 * stats.norm.sf(reach))


def _rows(rows_KS: Sequence[ArrayLike]) -> np.ndarray:
    rows = [np.asarray(row, float) for row in rows_KS]
    shapes = {row.shape for row in rows}
    if len(shapes) != 1 or rows[0].ndim != 1 or len(rows[0]) < 2:
        got = ", ".join(map(str, sorted(shapes))) or "none"
        raise ValueError(f"a bootstrap needs rows over the same 2 or more seeds, got shapes {got}")
    stacked_KS = np.stack(rows)
    if not np.isfinite(stacked_KS).all():
        raise ValueError("bootstrapped values must be finite; censored or diverged runs need a survival method")
    return stacked_KS


def _scipy(rows_KS: np.ndarray, statistic: Statistic, rng: np.random.Generator, method: Method, **settings: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # told by the caller: an error or width 0
        return stats.bootstrap(
            tuple(rows_KS),
            lambda *drawn_RS, **_: statistic(*drawn_RS),
            paired=True,
            vectorized=True,
            method=method,
            rng=rng,
            **settings,
        )
