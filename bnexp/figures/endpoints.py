"""One endpoint's effect with its interval on a line, and the ticks of an axis in words.

Legend: S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, ZONE = "#1d2733", "#5b6673", "#dbe7f3"


def draw_interval(effect: Interval, marks: Marks, ax: Axes, seeds_S: Sequence[float] = ()) -> Axes:
    """The interval as a bar with its estimate as a dot; an arrow where it has no end; the supporting zone shaded.

    Args:
        effect: with its interval.
        marks: what decides.
        ax: where to draw.
        seeds_S: what each seed says, as small rings under the bar.
    """
    seen = [value for value in seeds_S if drawable(value, marks.log)]
    ends = [value for value in (effect.low, effect.high, effect.estimate, *seen) if drawable(value, marks.log)]
    left, right = limits([*ends, *(value for value, _ in marks.values)], marks.log)
    ax.axvspan(max(marks.zone[0], left), min(marks.zone[1], right), color=ZONE, linewidth=0)
    _draw_marks(marks, ax, left, right)
    low, high = (end if drawable(end, marks.log) else edge for end, edge in ((effect.low, left), (effect.high, right)))
    ax.plot([low, high], [0, 0], color=INK, linewidth=2.4, solid_capstyle="butt")
    for end, edge, marker in ((effect.low, left, "<"), (effect.high, right, ">")):
        open_ended = not drawable(end, marks.log)
        ax.plot(
            [edge if open_ended else end], [0], marker if open_ended else "|", color=INK, markersize=9, clip_on=False
        )
    if drawable(effect.estimate, marks.log):
        ax.plot([effect.estimate], [0], "o", color=INK, markersize=8)
    if seen:
        ax.plot(seen, [-0.5] * len(seen), "o", color=QUIET, markersize=4, fillstyle="none", markeredgewidth=0.9)
    ax.set(ylim=(-0.9, 2.1), yticks=[], xscale="log" if marks.log else "linear", xlim=(left, right))
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    if marks.log:
        ticks = plain_ticks(left, right, log=True)
        ax.set_xticks([tick for tick, _ in ticks], [word for _, word in ticks])
        ax.minorticks_off()
    return ax


def _draw_marks(marks: Marks, ax: Axes, left: float, right: float) -> None:
    """Dotted lines with their words, one above the other however near they are, each on the side with more room."""
    middle = math.sqrt(left * right) if marks.log else (left + right) / 2
    for index, (value, word) in enumerate(marks.values):
        ax.axvline(value, color=QUIET, linewidth=1, linestyle=":")
        side, shift = ("left", 3) if value < middle else ("right", -3)
        ax.annotate(word, (value, 0.98 - 0.17 * index), xycoords=("data", "axes fraction"), xytext=(shift, 0),
                    textcoords="offset points", color=QUIET, fontsize=8.5, ha=side, va="top")  # fmt: skip


def drawable(value: float, log: bool) -> bool:
    """Whether a value has a place on an axis."""
    return math.isfinite(value) and not (log and value <= 0)


def limits(values: Sequence[float], log: bool) -> tuple[float, float]:
    """From the least to the greatest value, with a tenth of the way added on both sides."""
    low, high = (math.log(end) if log else end for end in (min(values), max(values)))
    width = (high - low) or 1.0
    left, right = low - 0.1 * width, high + 0.1 * width
    return (math.exp(left), math.exp(right)) if log else (left, right)


def plain_ticks(left: float, right: float, log: bool) -> list[tuple[float, str]]:
    """Ticks with their words; ratios as people say them: 1.2, 2, 10; not as powers."""
    from matplotlib.ticker import MaxNLocator

    linear = [float(tick) for tick in MaxNLocator(5).tick_values(left, right) if left <= tick <= right]
    if not log:
        return [(tick, word) for tick, word in zip(linear, _tick_words(linear), strict=True)]
    powers = range(math.floor(math.log10(left)), math.ceil(math.log10(right)) + 1)
    for steps in ((1, 1.2, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        ticks = [step * 10.0**power for power in powers for step in steps if left <= step * 10.0**power <= right]
        if len(ticks) <= 7:
            break
    return [(tick, f"{tick:.4g}") for tick in (ticks if len(ticks) >= 4 else linear)]


def _tick_words(ticks: Sequence[float]) -> list[str]:
    """Evenly spaced values, with as many digits in each as the most exact one needs.

    Example:
        >>> _tick_words([-0.5, 0.0, 0.5]), _tick_words([0.0, 2e-5])
        (['-0.5', '0.0', '0.5'], ['0', '2e-05'])
    """
    largest = max(map(abs, ticks), default=0.0)
    near = 1e-6 * largest
    digits = next((digits for digits in range(5) if all(abs(round(tick, digits) - tick) <= near for tick in ticks)), None)
    return [f"{tick:.3g}" if digits is None else f"{tick:,.{digits}f}" for tick in ticks]
