"""How many times sooner an arm reaches each level: the curve that a single target hides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bnexp.figures.style import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SERIES = (("", "validation error", "o", COLORS["batch"]), ("loss ", "training loss", "^", COLORS["none"]))


def draw_levels(data: Mapping[str, Any], ax: Axes) -> Axes:
    """Ratio of steps with its 95 % interval at every level that counts, from the easiest to the hardest.

    Args:
        data: ``levels`` with ``ratios`` (None where a level does not count), and ``loss levels`` with ``loss ratios``.
        ax: where to draw.
    """
    for shift, (prefix, words, marker, color) in enumerate(SERIES):
        counts = [(i, one) for i, one in enumerate(data[f"{prefix}ratios"]) if one]
        if not counts:
            continue
        places = [index + 0.16 * shift - 0.08 for index, _ in counts]
        ax.vlines(places, [one.low for _, one in counts], [one.high for _, one in counts], color=color, linewidth=1.4)
        ax.plot(places, [one.estimate for _, one in counts], marker, color=color, markersize=5, label=words)
    ax.axhline(1, color="#333333", linewidth=0.9)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    levels, losses = data["levels"], data["loss levels"]
    shown = range(0, len(levels), 3)
    ax.set_xticks(list(shown), [f"{100 * (1 - levels[i]):.1f} %\n{losses[i]:.2g}" for i in shown])
    ax.set(xlabel="validation accuracy / training loss reached", ylabel="times sooner", xlim=(-0.5, len(levels) - 0.5))
    if ax.get_legend_handles_labels()[0]:  # at a smoke budget no level counts
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2)
    return ax
