"""Accuracy against the number of shifted examples behind recomputed statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: By how many examples the training statistics count for.
SHADES = ("#56B4E9", "#3b93cc", "#0072B2", "#00456b")


def draw_sizes(axes: Axes, curves: Mapping[str, Any], lines: Sequence[tuple[str, float, str, str]]) -> None:
    """A curve for each weight of the training statistics, and levels to compare them with.

    Args:
        axes: where.
        curves: ``sizes`` n, ``priors`` N and ``points[prior][size]`` in percent; empty where there are none.
        lines: words, percent, colour and line style of each level.
    """
    for index, prior in enumerate(curves.get("priors", ())):
        words = "N = 0: shifted only" if prior == 0 else f"N = {prior}"
        color, marker = SHADES[index % len(SHADES)], "vsD^"[index % 4]
        axes.plot(curves["sizes"], curves["points"][index], color=color, marker=marker, markersize=4.5, label=words)
    for words, points, color, style in lines:
        axes.axhline(points, color=color, linestyle=style, linewidth=1, label=words)
    axes.set_xscale("log", base=2)
    if curves:
        axes.set_xticks(curves["sizes"], [str(size) for size in curves["sizes"]])
    axes.minorticks_off()
    axes.set(ylim=(0, 101), xlabel="n shifted examples without labels", title="Mean of the five shifts")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8)
