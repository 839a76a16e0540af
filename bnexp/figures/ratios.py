"""How many times sooner several arms are, net by net, each with its interval; 1 is the arm that they are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bnexp.figures.style import SERIES
from bnexp.stats.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ticks between 1/16 and 1,024 that people can read; those in sight are shown.
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 100, 200, 500, 1000)


def draw_ratios(nets: Mapping[str, Mapping[str, Interval | None]], ax: Axes, *, xlabel: str, compared_with: str) -> Axes:
    """One group of rows a net, one row an arm: the estimate as a point, its interval as a bar, the value beside it.

    Args:
        nets: net to arm to ratio; None where nothing can be said. The same arms in every net, in one order.
        ax: where to draw.
        xlabel: what the ratio is.
        compared_with: what has ratio 1.
    """
    arms = list(dict.fromkeys(arm for ratios in nets.values() for arm in ratios))
    height, named = len(arms) + 1, set[str]()
    found = [one for ratios in nets.values() for one in ratios.values() if one]
    for group, ratios in enumerate(nets.values()):
        for row, (arm, ratio) in enumerate(ratios.items()):
            place = -(group * height + row)
            color, marker, _ = SERIES[arms.index(arm) % len(SERIES)]
            if ratio is None:
                ax.annotate("reaches too few levels", (1, place), fontsize=7.5, color="#555555", va="center", ha="left",
                            xytext=(4, 0), textcoords="offset points")  # fmt: skip
                continue
            ax.plot([ratio.low, ratio.high], [place, place], color=color, linewidth=2)
            ax.plot([ratio.estimate], [place], marker, color=color, markersize=6, label=None if arm in named else arm)
            named.add(arm)
            value = f"{ratio.estimate:.1f}" if 1 <= ratio.estimate < 10 else f"{ratio.estimate:.2g}"
            ax.annotate(value, (ratio.high, place), xytext=(4, 0), textcoords="offset points", fontsize=8, color=color, va="center")
    ax.axvline(1, color="#333333", linewidth=0.9)
    ax.annotate(compared_with, (1, 0.8), xytext=(4, 0), textcoords="offset points", fontsize=8, color="#333333", va="bottom")
    ax.set_yticks([-(group * height + (len(arms) - 1) / 2) for group in range(len(nets))], list(nets))
    ax.set(xlabel=xlabel, xscale="log", ylim=(-(len(nets) * height) + 1.4, 1.6))
    ends = np.array([(one.low, one.high) for one in found]) if found else np.array([[1.0, 2.0]])
    ax.set_xlim(min(0.85, 0.85 * ends.min()), max(1.3, 1.3 * ends.max()))
    shown = [tick for tick in TICKS if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
    ax.set_xticks(shown, [f"{tick:g}" for tick in shown])
    ax.minorticks_off()
    ax.grid(visible=False, axis="y")
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2, fontsize=8)
    return ax
