"""Exponents of power laws, one per seed, for claims of the form "grows like".

Legend: S seeds, P points of the law.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def log_log_slopes(x_P: ArrayLike, y_SP: ArrayLike) -> np.ndarray:
    """Least-squares slope of log y on log x at each seed: the exponent of ``y ~ x ** slope``.

    The slopes are the per-seed values to give to a rule or to :func:`bnexp.stats.intervals.intervals_by_t`; the scatter of
    points around one seed's line is not an uncertainty over seeds.

    Shape: ``[P]`` and ``[S, P]``, all positive, two or more different x; returns ``[S]``.

    Raises:
        ValueError: shapes that do not fit, values that are not positive and finite, or x that does not vary.

    Example:
        >>> log_log_slopes([1.0, 2.0, 4.0], [[3.0, 12.0, 48.0], [5.0, 5.0, 5.0]]).round(9).tolist()
        [2.0, 0.0]
    """
    x_P, y_SP = np.asarray(x_P, float), np.asarray(y_SP, float)
    if x_P.ndim != 1 or y_SP.ndim != 2 or y_SP.shape[1:] != x_P.shape or y_SP.size == 0:
        raise ValueError(f"slopes need x [P] and y [S, P], got shapes {x_P.shape} and {y_SP.shape}")
    if not all(np.isfinite(values).all() and (values > 0).all() for values in (x_P, y_SP)):
        raise ValueError("logarithms need positive, finite values")
    if np.ptp(x_P) == 0:
        raise ValueError("a slope needs two or more different x")
    centred_P = np.log(x_P) - np.log(x_P).mean()
    return np.log(y_SP) @ centred_P / (centred_P @ centred_P)
