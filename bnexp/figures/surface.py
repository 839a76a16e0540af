"""An effect over two settings at once: rows by columns, a colour and a number in every cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Beyond so many doublings a colour does not change.
SPAN = 3.0


def draw_surface(data: Mapping[str, Any], ax: Axes) -> Axes:
    """Ratios by learning rate and initial scale, with the small rates in a bracket.

    Args:
        data: ``scales``, ``rates``, ``log_ratio`` by scale and rate (NaN: neither learns) and ``small``, the largest small rate.
        ax: where to draw.
    """
    from matplotlib import colormaps

    ratio_PQ = np.asarray(data["log_ratio"])
    colours = colormaps["PuOr"].with_extremes(bad="#d8d8d8")
    ax.imshow(np.ma.masked_invalid(ratio_PQ / np.log(2)), cmap=colours, vmin=-SPAN, vmax=SPAN, aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(ratio_PQ):
        if np.isfinite(value):
            dark = abs(value) / np.log(2) > 0.6 * SPAN
            times = np.exp(value)
            text = f"{times:.0f}" if times >= 9.95 else f"{times:.1f}" if times >= 0.995 else f"{times:.2f}"
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "#222222")
    ax.set_xticks(range(len(data["rates"])), [f"$2^{{{round(np.log2(rate))}}}$" for rate in data["rates"]])
    ax.set_yticks(range(len(data["scales"])), data["scales"])
    ax.set(xlabel="learning rate", ylabel="scale of initial weights")
    ax.grid(visible=False)
    last = sum(rate <= data["small"] for rate in data["rates"]) - 1
    top = len(data["scales"]) - 0.5
    ax.plot([-0.45, -0.45, last + 0.45, last + 0.45], [top + 0.02, top + 0.18, top + 0.18, top + 0.02], color="#333333",
            linewidth=1, clip_on=False)  # fmt: skip
    ax.annotate("small rates: where the paper most likely was", (last / 2, top + 0.2), ha="center", va="bottom", fontsize=8,
                annotation_clip=False)  # fmt: skip
    ax.annotate("times sooner; grey: neither learns", (len(data["rates"]) - 0.5, top + 0.2), ha="right", va="bottom", fontsize=8,
                annotation_clip=False)  # fmt: skip
    return ax
