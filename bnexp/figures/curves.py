"""Over the steps of training: accuracy of several arms, and what one unit receives (Fig. 1 of Ioffe & Szegedy 2015).

Legend: S seeds, T observations, U units, Q the three percentiles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.figures.style import COLORS, LINE_STYLES
from bnexp.records.reader import RunRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: First step and lowest accuracy on the axes of :func:`draw_arms`; below, nets have hardly begun to learn.
FIRST_STEP, LOWEST = 10, 0.7

PERCENTILES = ("15 %", "50 %", "85 %")


def draw_arms(arms: Mapping[str, Sequence[RunRecord]], ax: Axes) -> Axes:
    """Validation accuracy of several arms on a logarithmic step axis: mean and range of the seeds.

    Args:
        arms: label to its runs; runs that diverged are left out of the mean and counted in the label.
        ax: where to draw.

    Raises:
        ValueError: the runs of an arm were not evaluated at the same steps.
    """
    last, lowest = FIRST_STEP + 1, LOWEST
    for (label, records), norm in zip(arms.items(), ("none", "batch", "batch_same_lr"), strict=False):
        curves = [record.curve("val/accuracy") for record in records if record.status == "finished"]
        if not curves:
            continue
        steps = curves[0].steps
        if any(curve.steps != steps for curve in curves):
            raise ValueError("the runs of an arm were not evaluated at the same steps")
        values_ST = np.array([curve.values for curve in curves], float)
        lost = f", {len(records) - len(curves)} diverged" if len(curves) < len(records) else ""
        ax.fill_between(steps, values_ST.min(axis=0), values_ST.max(axis=0), color=COLORS[norm], alpha=0.2, linewidth=0)
        ax.plot(steps, values_ST.mean(axis=0), color=COLORS[norm], linestyle=LINE_STYLES[norm], linewidth=1.4,
                label=f"{label} (n={len(curves)}{lost})")  # fmt: skip
        last, lowest = max(last, steps[-1]), min(lowest, values_ST[:, -1].min() - 0.1)
    ax.set_xscale("log")
    ax.set(
        xlabel="training steps (log scale)", ylabel="validation accuracy", xlim=(FIRST_STEP, last), ylim=(lowest, 1.0)
    )
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)  # above, where no curve is
    return ax


def median_unit(quantiles_TUQ: np.ndarray) -> int:
    """The unit whose median wanders most typically: the lower median of the units' total variation of q50.

    A rule instead of an eye: nobody can be accused of having picked it.
    """
    variation_U = np.abs(np.diff(quantiles_TUQ[:, :, 1].astype(np.float64), axis=0)).sum(axis=0)
    order = np.argsort(variation_U, kind="stable")
    return int(order[(len(order) - 1) // 2])


def draw_tracks(steps_T: np.ndarray, quantiles_TUQ: np.ndarray, ax: Axes, *, unit: int, color: str) -> Axes:
    """One unit's 15th, 50th and 85th percentile on a logarithmic step axis, named at their ends.

    Behind them, in grey, the middle half of all units' medians.
    """
    low, high = np.quantile(quantiles_TUQ[:, :, 1], [0.25, 0.75], axis=1)
    ax.fill_between(steps_T, low, high, color="#999999", alpha=0.25, linewidth=0)
    for index, (style, width) in enumerate([(":", 1.2), ("-", 1.6), (":", 1.2)]):
        ax.plot(steps_T, quantiles_TUQ[:, unit, index], color=color, linestyle=style, linewidth=width)
        ax.annotate(PERCENTILES[index], (steps_T[-1], quantiles_TUQ[-1, unit, index]), xytext=(3, 0), textcoords="offset points",
                    color=color, fontsize=7, va="center", annotation_clip=False)  # fmt: skip
    ax.set_xscale("symlog", linthresh=1)
    ax.set(xlabel="training steps (log scale)", xlim=(0, steps_T[-1]))
    return ax
