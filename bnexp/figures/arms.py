"""Arms side by side, a point a seed; and series over depth, batch size or rate with their range over seeds and what theory says.

Legend: S seeds, X places on the horizontal axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.figures.style import SERIES, legend_above

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Seeds of an arm stand beside each other, the first on the left.
SPREAD = 0.22


def draw_arms_by_seed(by_label: Mapping[str, np.ndarray], ax: Axes, *, xlabel: str) -> Axes:
    """One row an arm: every seed as a small point, their mean as a bar with its value.

    Args:
        by_label: label to numbers ``[S]``, the first arm on top.
        ax: where to draw.
        xlabel: what the numbers are, with their unit.
    """
    rows = np.arange(len(by_label))[::-1]
    for row, (color, marker, _), values_S in zip(rows, _looks(len(by_label)), by_label.values(), strict=True):
        places = row + np.linspace(SPREAD, -SPREAD, len(values_S))
        ax.plot(values_S, places, marker, color=color, markersize=4, alpha=0.65, linewidth=0)
        ax.vlines(values_S.mean(), row - 0.34, row + 0.34, color=color, linewidth=2)
        ax.annotate(f"{values_S.mean():.4g}", (values_S.mean(), row + 0.34), ha="center", va="bottom", fontsize=8, color=color)
    ax.set_yticks(rows, list(by_label))
    ax.set(xlabel=xlabel, ylim=(-0.6, len(by_label) - 0.25))
    ax.grid(visible=False, axis="y")
    return ax


def draw_series(
    x_X: Sequence[float] | np.ndarray,
    series: Mapping[str, np.ndarray],
    ax: Axes,
    *,
    xlabel: str = "",
    ylabel: str = "",
    theory: Mapping[str, np.ndarray] | None = None,
) -> Axes:
    """A line a series: median over seeds, band from the lowest seed to the highest; theory dashed in grey. Names at the right end.

    Args:
        x_X: places, ``[X]``.
        series: label to ``[S, X]``; NaN is left out.
        ax: where to draw; set its scales before or after.
        xlabel, ylabel: axes in words, with units.
        theory: label to ``[X]``.
    """
    x = np.asarray(x_X, float)
    for (color, marker, style), (label, values_SX) in zip(_looks(len(series)), series.items(), strict=True):
        values_SX = np.atleast_2d(values_SX)
        kept = np.isfinite(values_SX).any(axis=0)
        if not kept.any():
            continue
        shown = values_SX[:, kept]
        ax.fill_between(x[kept], np.nanmin(shown, axis=0), np.nanmax(shown, axis=0), color=color, alpha=0.15, linewidth=0)
        every = max(1, int(kept.sum()) // 12)
        ax.plot(x[kept], np.nanmedian(shown, axis=0), color=color, linestyle=style, marker=marker, markersize=4,
                markevery=every, linewidth=1.4, label=label)  # fmt: skip
    for label, values_X in (theory or {}).items():
        ax.plot(x, values_X, color="#555555", linestyle=(0, (4, 2)), linewidth=1, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2, fontsize=8)  # above, where no curve is
    return ax


def draw_panels(
    figure: Figure,
    panels: Mapping[str, tuple[Sequence[float] | np.ndarray, Mapping[str, np.ndarray]]],
    *,
    xlabel: str,
    ylabel: str,
    columns: int = 2,
) -> Iterator[Axes]:
    """A panel a title, side by side on one vertical axis: its places and series, as :func:`draw_series` takes them.

    Hands out every panel once it is drawn, and ends with one legend above all: it has to be gone through to its end.
    """
    drawn = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for ax, (title, (x_X, series)) in zip(drawn, panels.items(), strict=True):
        draw_series(x_X, series, ax, xlabel=xlabel)
        ax.set_title(title)
        yield ax
    drawn[0].set_ylabel(ylabel)
    legend_above(figure, columns)


def _looks(count: int) -> list[tuple[str, str, str]]:
    """Colour, marker and line style of so many series, so that none depends on colour alone."""
    return [SERIES[index % len(SERIES)] for index in range(count)]
