"""How arms were tuned: every value tried with every seed and the choice, and what little tuning can expect.

Legend: V values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING

from bnexp.figures.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Arms differ by colour, line and marker; more than these start again.
LOOKS = (
    (COLORS["none"], "--", "s"),
    (COLORS["batch"], "-", "o"),
    ("#009E73", "-.", "^"),
    ("#CC79A7", ":", "D"),
    ("#555555", (0, (5, 1)), "v"),
)

#: Characters along an axis of ordinary size before labels would touch or leave it.
LONG_LABELS = 40


def draw_tuning(
    arms: Mapping[str, Mapping[float, Sequence[float]]],
    chosen: Mapping[str, Sequence[float]],
    ax: Axes,
    *,
    key: str,
    quantity: str,
) -> Axes:
    """The judged quantity against the tuned value.

    Args:
        arms: arm to value to the score of each tuning seed, higher is better.
        chosen: arm to the values it chose; marked by rings, wider for each arm so that equal choices all show.
        ax: where to draw.
        key: what was tuned.
        quantity: what was scored.
    """
    for index, (arm, tried) in enumerate(arms.items()):
        color, line, marker = LOOKS[index % len(LOOKS)]
        means_V = [fmean(values) for values in tried.values()]
        ax.plot(list(tried), means_V, color=color, linestyle=line, linewidth=1.4, label=arm)
        for value, scores in tried.items():
            ax.plot([value] * len(scores), scores, marker, color=color, markersize=4, alpha=0.85)
        rings = [value for value in chosen.get(arm, ()) if value in tried]
        means = [fmean(tried[value]) for value in rings]
        ax.plot(rings, means, "o", color=color, markersize=12 + 3 * index, fillstyle="none", mew=1.4)
    ax.set(xlabel=key, ylabel=fill(quantity, LONG_LABELS))
    values = sorted({value for tried in arms.values() for value in tried})
    if values[0] > 0:
        ax.set_xscale("log")
        labels = [f"{value:.3g}" for value in values]
        ax.set_xticks(values, labels, rotation=45 if len("  ".join(labels)) > LONG_LABELS else 0)
        ax.minorticks_off()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)  # above, where no curve is
    return ax
