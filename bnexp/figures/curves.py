"""Validation accuracy against steps: the mean over seeds with the range of the seeds as a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.figures.style import COLORS, LINE_STYLES
from bnexp.records.curves import Curve
from bnexp.records.reader import RunRecord

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


def draw_arms(arms: Mapping[str, Sequence[RunRecord]], ax: Axes, *, target: float | None = None) -> Axes:
    """Validation accuracy of several arms on a logarithmic step axis, with a target as a line.

    Args:
        arms: norm's name to its runs; runs that diverged are left out of the mean and counted in the label.
        ax: where to draw.
        target: an accuracy in [0, 1].
    """
    for name, records in arms.items():
        whole = [record for record in records if record.status == "finished"]
        lost = f", {len(records) - len(whole)} diverged" if len(whole) < len(records) else ""
        if whole:
            curves = [record.curve("val/accuracy") for record in whole]
            style = {"color": COLORS.get(name, "#333333"), "linestyle": LINE_STYLES.get(name, ":")}
            draw_curves(curves, ax, label=f"norm={name}{lost}", **style)
    if target is not None:
        ax.axhline(target, color="#333333", linewidth=0.8)
        ax.annotate(f"target {target:.3f}", (1.2, target), fontsize=8, va="bottom")
    ax.set_xscale("symlog", linthresh=10)
    ax.set(xlabel="training steps (log scale from 10)", ylabel="validation accuracy", ylim=(None, 1.0))
    ax.legend(loc="lower right")
    return ax
