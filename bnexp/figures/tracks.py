"""The 15/50/85 percentile tracks of a unit's input: Fig. 1b,c of Ioffe & Szegedy 2015.

Legend: T observations, U units, Q the three percentiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def median_unit(quantiles_TUQ: np.ndarray) -> int:
    """The unit whose median wanders most typically: the lower median of the units' total variation of q50.

    A rule instead of an eye: nobody can be accused of having picked it.
    """
    variation_U = np.abs(np.diff(quantiles_TUQ[:, :, 1].astype(np.float64), axis=0)).sum(axis=0)
    order = np.argsort(variation_U, kind="stable")
    return int(order[(len(order) - 1) // 2])


def draw_tracks(steps_T: np.ndarray, quantiles_TUQ: np.ndarray, ax: Axes, *, unit: int, color: str) -> Axes:
    """One unit's 15th, 50th and 85th percentile as lines; behind them the middle half of all units' medians."""
    low, high = np.quantile(quantiles_TUQ[:, :, 1], [0.25, 0.75], axis=1)
    ax.fill_between(steps_T, low, high, color="#999999", alpha=0.25, linewidth=0)
    for index, (style, width) in enumerate([(":", 1.2), ("-", 1.6), (":", 1.2)]):
        ax.plot(steps_T, quantiles_TUQ[:, unit, index], color=color, linestyle=style, linewidth=width)
    return ax
