"""Validation accuracy against steps: the mean over seeds with the range of the seeds as a band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.records.curves import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curves(curves: Sequence[Curve], ax: Axes, *, color: str, linestyle: str, label: str) -> Axes:
    """One arm: runs at several seeds on the same evaluation grid.

    Raises:
        ValueError: the grids differ, as after a run that diverged.
    """
    steps = curves[0].steps
    if any(curve.steps != steps for curve in curves):
        raise ValueError("the runs of an arm were not evaluated at the same steps")
    values_ST = np.array([curve.values for curve in curves], float)
    ax.fill_between(steps, values_ST.min(axis=0), values_ST.max(axis=0), color=color, alpha=0.2, linewidth=0)
    ax.plot(
        steps,
        values_ST.mean(axis=0),
        color=color,
        linestyle=linestyle,
        linewidth=1.4,
        label=f"{label} (n={len(curves)})",
    )
    return ax
