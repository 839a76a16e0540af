"""How arms were tuned: every value tried with every seed and the choice, and what little tuning can expect.

Legend: V values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from bnexp.figures.style import COLORS
from bnexp.stats.random_search import expected_best

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

#: Characters under an axis of ordinary width before labels would touch.
LONG_LABELS = 40


def draw_tuning(
    arms: Mapping[str, Mapping[float, Sequence[float]]], chosen: Mapping[str, float | None], ax: Axes, *, key: str
) -> Axes:
    """Final validation accuracy against the tuned value.

    Args:
        arms: arm to value to the accuracy of each tuning seed, in [0, 1].
        chosen: arm to the value it chose; marked by a ring, wider for each arm so that equal choices all show.
        ax: where to draw.
        key: what was tuned.
    """
    for index, (arm, tried) in enumerate(arms.items()):
        color, line, marker = LOOKS[index % len(LOOKS)]
        means_V = [fmean(values) for values in tried.values()]
        ax.plot(list(tried), means_V, color=color, linestyle=line, linewidth=1.4, label=arm)
        for value, scores in tried.items():
            ax.plot([value] * len(scores), scores, marker, color=color, markersize=4, alpha=0.85)
        choice = chosen.get(arm)
        if choice is not None and choice in tried:
            ax.plot(
                [choice], [fmean(tried[choice])], "o", color=color, markersize=12 + 3 * index, fillstyle="none", mew=1.4
            )
    ax.set(xlabel=key, ylabel="final validation accuracy")
    values = sorted({value for tried in arms.values() for value in tried})
    if values[0] > 0:
        ax.set_xscale("log")
        labels = [f"{value:.3g}" for value in values]
        ax.set_xticks(values, labels, rotation=45 if len("  ".join(labels)) > LONG_LABELS else 0)
        ax.minorticks_off()
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)  # above, where no curve is
    return ax


def draw_expected_best(arms: Mapping[str, Sequence[float]], ax: Axes, *, most_draws: int) -> Axes:
    """Expected best final validation accuracy against the number of draws, up to a whole list's worth of them.

    Args:
        arms: arm to the accuracy of each of its tuning runs, in [0, 1].
        ax: where to draw.
        most_draws: how far to the right.
    """
    draws = range(1, most_draws + 1)
    for index, (arm, scores) in enumerate(arms.items()):
        color, line, marker = LOOKS[index % len(LOOKS)]
        curve = [expected_best(scores, num_draws) for num_draws in draws]
        ax.plot(draws, curve, color=color, linestyle=line, marker=marker, markersize=4, linewidth=1.4, label=arm)
    ax.set(xlabel="random draws", ylabel="expected best accuracy")
    ax.set_xticks(draws)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)  # above, where no curve is
    return ax
