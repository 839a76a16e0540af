"""Kaplan-Meier curves: which share of the runs is not at the target yet, after each number of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bnexp.figures.style import COLORS
from bnexp.stats.survival import Times, survival_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_survival(base: Times, arm: Times, ax: Axes) -> Axes:
    """Both sides as falling staircases, followed up to the longest time at which any run was watched; ticks mark runs cut off.

    A run that diverged counts as on the way to the end: nothing is gained by diverging early.
    """
    horizon = max(*base.steps, *arm.steps)
    for name, runs, color, line in (("base", base, COLORS["none"], "--"), ("arm", arm, COLORS["batch"], "-")):
        watched = runs.seen_at(horizon)
        curve = survival_curve(watched)
        times, shares = [*curve.times, max(curve.last, curve.times[-1])], [*curve.shares, curve.shares[-1]]
        lost = watched.observed.count(False)
        label = f"{name} (n={len(runs.steps)}" + (f", {lost} never there)" if lost else ")")
        ax.step(times, shares, where="post", color=color, linestyle=line, linewidth=1.6, label=label)
        if lost:
            ax.plot([horizon], [shares[-1]], "|", color=color, markersize=11, mew=1.6, clip_on=False)
    ax.set(
        xlabel="training steps",
        ylabel="share of runs not at the target",
        ylim=(-0.03, 1.05),
        xlim=(0, 1.03 * max(horizon, 1)),
    )
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)  # above, where no curve is
    return ax
