"""Every seed as a point: pairs joined by a line, single values in a row, errors of an identity sorted by size.

Legend: S seeds, K cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.figures.style import COLORS, plain_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Below the resolution of float64, where an error of exactly 0 is drawn on a logarithmic axis.
FLOOR = 1e-17

#: More would make a page heavy without showing more.
MOST_POINTS = 400

#: Seeds stand beside each other, first on the left, so that equal ones do not hide each other.
SPREAD = 0.12


def draw_pairs(
    base_S: Sequence[float],
    arm_S: Sequence[float],
    ax: Axes,
    *,
    observed_base: Sequence[bool],
    observed_arm: Sequence[bool],
    log: bool,
    ylabel: str,
) -> Axes:
    """One line a seed from the side compared with to the side the claim is about; hollow points were cut off (censored)."""
    shift_S = np.linspace(-SPREAD, SPREAD, len(arm_S))
    for shift, base, arm in zip(shift_S, base_S, arm_S, strict=True):
        ax.plot([shift, 1 + shift], [base, arm], color="#9aa5b1", linewidth=0.9, zorder=1)
    sides = ((0, base_S, observed_base, COLORS["none"], "s"), (1, arm_S, observed_arm, COLORS["batch"], "o"))
    for place, values, observed, color, marker in sides:
        for shift, value, there in zip(shift_S, values, observed, strict=True):
            face = color if there else "white"
            ax.plot([place + shift], [value], marker, color=color, markerfacecolor=face, markersize=5.5, zorder=2)
    ax.set(xticks=[0, 1], xlim=(-0.4, 1.4), ylabel=ylabel)
    ax.set_xticklabels([f"base\n(n={len(base_S)})", f"arm\n(n={len(arm_S)})"])
    if log:
        plain_log_axis(ax, (*base_S, *arm_S))
    return ax


def draw_values(values_S: Sequence[float], ax: Axes, *, ylabel: str) -> Axes:
    """One point a seed in the order of seeds, the mean as a line."""
    ax.plot(range(len(values_S)), values_S, "o", color=COLORS["batch"], markersize=5.5)
    ax.axhline(float(np.mean(values_S)), color="#555555", linewidth=1, linestyle="--")
    ax.annotate("mean", (0.99, float(np.mean(values_S))), xycoords=("axes fraction", "data"), xytext=(0, 3),
                textcoords="offset points", ha="right", fontsize=8, color="#555555")  # fmt: skip
    ax.set(xlabel=f"seed (n={len(values_S)})", ylabel=ylabel)
    ax.set_xticks(range(len(values_S)) if len(values_S) <= 16 else range(0, len(values_S), 5))
    return ax


def draw_errors(errors_K: Sequence[float], tolerance: float, ax: Axes) -> Axes:
    """Errors, smallest first, on a logarithmic axis with the tolerance.

    An error of 0 lies on the floor of the axis. Of many cases an even selection is drawn, always with the smallest and the largest;
    errors that are not finite cannot be drawn and are counted in the label.
    """
    sizes_K = np.abs(np.asarray(errors_K, float))
    shown_K = np.sort(np.maximum(sizes_K[np.isfinite(sizes_K)], FLOOR))
    places = np.unique(np.linspace(0, len(shown_K) - 1, min(len(shown_K), MOST_POINTS)).astype(int))
    ax.plot(places + 1, shown_K[places], ".", color=COLORS["batch"], markersize=4)
    lost = f", {len(sizes_K) - len(shown_K)} not finite" if len(shown_K) < len(sizes_K) else ""
    ax.set(xlabel=f"case, smallest error first (n={len(sizes_K)}{lost})", ylabel="error", yscale="log")
    if tolerance > 0:
        ax.axhline(tolerance, color=COLORS["none"], linewidth=1.2, linestyle="--")
        ax.annotate(f"tolerance {tolerance:g}", (0.01, tolerance), xycoords=("axes fraction", "data"), xytext=(0, 3),
                    textcoords="offset points", fontsize=8, color=COLORS["none"])  # fmt: skip
    ax.set_ylim(FLOOR / 3, 3 * max(3 * tolerance, float(shown_K.max(initial=FLOOR)), 3 * FLOOR))
    return ax
