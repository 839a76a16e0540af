"""How soon, and how many times sooner, arms reach each level: the curve that a single target hides.

Legend: S seeds, L levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.figures.style import COLORS, plain_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("", "validation error", "o", COLORS["batch"]), ("loss ", "training loss", "^", COLORS["none"]))


def draw_levels(data: Mapping[str, Any], ax: Axes) -> Axes:
    """Ratio of steps with its 95 % interval at every level that counts, from the easiest to the hardest.

    Args:
        data: ``levels`` with ``ratios`` (None where a level does not count), and ``loss levels`` with ``loss ratios``.
        ax: where to draw.
    """
    from matplotlib.ticker import FixedLocator

    for shift, (prefix, words, marker, color) in enumerate(SERIES):
        counts = [(i, one) for i, one in enumerate(data[f"{prefix}ratios"]) if one]
        if not counts:
            continue
        places = [index + 0.16 * shift - 0.08 for index, _ in counts]
        ax.vlines(places, [one.low for _, one in counts], [one.high for _, one in counts], color=color, linewidth=1.4)
        ax.plot(places, [one.estimate for _, one in counts], marker, color=color, markersize=5, label=words)
    ax.axhline(1, color="#333333", linewidth=0.9)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_locator(FixedLocator([step * 2.0**power for power in range(-6, 9) for step in (1, 1.5)]))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    levels, losses = data["levels"], data["loss levels"]
    shown = range(0, len(levels), 3)
    ax.set_xticks(list(shown), [f"{100 * (1 - levels[i]):.1f} %\n{losses[i]:.2g}" for i in shown])
    ax.set(xlabel="validation accuracy / training loss reached", ylabel="times sooner", xlim=(-0.5, len(levels) - 0.5))
    if ax.get_legend_handles_labels()[0]:  # at a smoke budget no level counts
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2)
    return ax


def draw_times(
    arms: Mapping[str, np.ndarray], looks: Mapping[str, Mapping[str, Any]], levels: Sequence[float], ax: Axes
) -> Axes:
    """Steps to every level of validation error: a line through the geometric mean over the seeds, a bar from fastest to slowest.

    Args:
        arms: label to steps ``[S, L]``; NaN at a level that is not reached. Arms that reach none are named below the axis.
        looks: label to matplotlib's settings of its line.
        levels: validation errors, easiest first, ``[L]``.
        ax: where to draw; the legend is the caller's.
    """
    shown = [steps_SL[:, ~np.isnan(steps_SL).any(axis=0)].ravel() for steps_SL in arms.values()]
    for index, (label, steps_SL) in enumerate(arms.items()):
        at = np.flatnonzero(~np.isnan(steps_SL).any(axis=0))
        reached_SL, look = steps_SL[:, at], looks[label]
        places = at + 0.1 * (index - (len(arms) - 1) / 2)
        if len(at):
            ax.vlines(places, reached_SL.min(0), reached_SL.max(0), color=look["color"], linewidth=1.1, alpha=0.6)
        ax.plot(places, np.exp(np.log(reached_SL).mean(0)), markersize=5, linewidth=1.5, label=label, **look)
    if any(len(values) for values in shown):
        plain_log_axis(ax, np.concatenate(shown).tolist())
    missing = [f"{label}: reaches none" for label, values in zip(arms, shown, strict=True) if not len(values)]
    marks = range(0, len(levels), 3)
    ax.set_xticks(list(marks), [f"{100 * (1 - levels[i]):.1f} %" for i in marks])
    ax.set(xlabel="\n".join(["validation accuracy reached", *missing]), xlim=(-0.5, len(levels) - 0.5))
    return ax
