"""What little tuning can expect of each arm: the best of 1, 2, 3, ... random draws from the runs that tuned it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bnexp.figures.tuning import LOOKS
from bnexp.stats.random_search import expected_best

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
