"""Every seed of an endpoint as a drawing inside the page, in the page's own colours: both sides, effects, or errors of cases.

As for intervals (:mod:`bnexp.report.interval`): matplotlib would take a tenth of a second and two kilobytes for each.

Legend: S seeds, K cases, P points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from bnexp.figures.endpoints import drawable, limits, plain_ticks
from bnexp.figures.powers import RAISED
from bnexp.report.interval import LINE, scale

#: Of the drawing in CSS pixels: width, upper and lower end of the axis, room at the right.
WIDTH, TOP, BOTTOM, RIGHT = 360, 8, 210, 8

#: Width of a letter at most, on average.
LETTER = 7

#: Below the resolution of float64, where an error of exactly 0 is drawn on a logarithmic axis.
FLOOR = 1e-17

#: More would make a page heavy without showing more.
MOST_POINTS = 40

#: Seeds stand beside each other, first on the left, so that equal ones do not hide each other: by so much of the width.
SPREAD = 0.067

#: Where both sides stand, as shares of the width, with room for the words under the right one.
AT = (0.2, 0.72)

Tick = tuple[float, str]


def pairs_svg(base_S: Sequence[float], arm_S: Sequence[float], words: str, label: str, *, log: bool) -> str:
    """One line a seed from the side compared with to the side the claim is about.

    Args:
        base_S, arm_S: both sides; what is not finite has no place.
        words: what stands at the axis, in lines.
        label: what a screen reader says.
        log: ratios are judged; the axis is logarithmic where no value forbids it.
    """
    log = log and min(*base_S, *arm_S) > 0
    axis = _Axis.of([*base_S, *arm_S], words, log=log)
    base_P = _places(axis, base_S, [axis.across(AT[0] + shift) for shift in _shifts(len(base_S))], log)
    arm_P = _places(axis, arm_S, [axis.across(AT[1] + shift) for shift in _shifts(len(arm_S))], log)
    lines = "".join(f"M{left}L{right}" for left, right in zip(base_P, arm_P, strict=False) if left and right)
    parts = [f'<path class="pair" d="{lines}"/>', _points(base_P, "base"), _points(arm_P, "arm")]
    for middle, what, count in ((AT[0], "compared with", len(base_S)), (AT[1], "what the claim is about", len(arm_S))):
        parts += [_text(axis.across(middle), BOTTOM + 16, what), _text(axis.across(middle), BOTTOM + 16 + LINE, f"(n={count})")]
    return axis.drawn(parts, label)


def values_svg(values_S: Sequence[float], words: str, label: str) -> str:
    """One point a seed in the order of seeds, the mean as a line; see :func:`pairs_svg`."""
    axis = _Axis.of(values_S, words, log=False)
    count, mean = len(values_S), float(np.mean(values_S))
    columns = [axis.across((place + 0.5) / count) for place in range(count)]
    parts = [_points(_places(axis, values_S, columns, log=False), "arm")]
    if drawable(mean, log=False):
        at = round(axis.y(mean))
        parts += [f'<path class="mean" d="M{axis.left} {at}H{WIDTH - RIGHT}"/>', _text(WIDTH - RIGHT, at - 4, "mean", "left")]
    shown = range(count) if count <= 12 else range(0, count, 5)
    parts += [_text(columns[place], BOTTOM + 15, str(place)) for place in shown]
    return axis.drawn([*parts, _text(axis.across(0.5), BOTTOM + 32, f"seed (n={count})")], label)


def errors_svg(errors_K: Sequence[float], tolerance: float, label: str) -> str:
    """Errors, smallest first, on a logarithmic axis with the tolerance.

    An error of 0 lies on the floor of the axis. Of many cases an even selection is drawn, always with the smallest and the largest;
    errors that are not finite cannot be drawn and are counted in the words.

    Args:
        errors_K: of either sign.
        tolerance: 0 for none.
        label: see :func:`pairs_svg`.
    """
    sizes_K = np.abs(np.asarray(errors_K, float))
    shown_K = np.sort(np.maximum(sizes_K[np.isfinite(sizes_K)], FLOOR))
    low, high = FLOOR / 3, 3 * max(3 * tolerance, float(shown_K.max(initial=FLOOR)), 3 * FLOOR)
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks = [(10.0**power, f"10{str(power).translate(RAISED)}") for power in powers[:: math.ceil(len(powers) / 6)]]
    axis = _Axis(low, high, True, ticks, "error")
    places = np.unique(np.linspace(0, len(shown_K) - 1, min(len(shown_K), MOST_POINTS)).astype(int))
    columns = [axis.across((place + 0.5) / len(shown_K)) for place in places]
    parts = [_points(_places(axis, shown_K[places].tolist(), columns, log=True), "arm small")]
    if tolerance > 0:
        at = round(axis.y(tolerance))
        parts += [f'<path class="tolerance" d="M{axis.left} {at}H{WIDTH - RIGHT}"/>']
        parts += [_text(axis.left + 4, at - 4, f"tolerance {tolerance:g}", "right")]
    lost = f", {len(sizes_K) - len(shown_K)} not finite" if len(shown_K) < len(sizes_K) else ""
    words = f"case, smallest error first (n={len(sizes_K)}{lost})"
    return axis.drawn([*parts, _text(axis.across(0.5), BOTTOM + 18, words)], label)


class _Axis:
    """The axis at the left with its gridlines, ticks and words."""

    def __init__(self, low: float, high: float, log: bool, ticks: Sequence[Tick], words: str) -> None:
        self.lines, self.ticks = words.split("\n"), ticks
        self.left = LINE * len(self.lines) + 10 + LETTER * max((len(word) for _, word in ticks), default=0)
        self.y: Callable[[float], float] = scale(low, high, log, BOTTOM, TOP)

    @classmethod
    def of(cls, values: Sequence[float], words: str, *, log: bool) -> _Axis:
        """With room for all values that have a place."""
        low, high = limits([value for value in values if drawable(value, log)] or [1.0], log)
        ticks = [(tick, f"{tick:,.6g}" if log else word) for tick, word in plain_ticks(low, high, log)]
        return cls(low, high, log, ticks, words)

    def across(self, share: float) -> int:
        """Of the width between axis and right end."""
        return round(self.left + share * (WIDTH - RIGHT - self.left))

    def drawn(self, parts: Sequence[str], label: str) -> str:
        """With what stands in it."""
        heights = [round(self.y(tick)) for tick, _ in self.ticks]
        grid = "".join(f"M{self.left} {at}H{WIDTH - RIGHT}" for at in heights)
        ticks = "".join(f"M{self.left} {at}h-4" for at in heights)
        told = [_text(self.left - 7, at + 4, word, "left") for at, (_, word) in zip(heights, self.ticks, strict=True)]
        told += [
            f'<text transform="translate({11 + LINE * index} {(TOP + BOTTOM) // 2})rotate(-90)">{escape(line, quote=False)}</text>'
            for index, line in enumerate(self.lines)
        ]
        frame = f'<path class="axis" d="M{self.left} {TOP}V{BOTTOM}H{WIDTH - RIGHT}{ticks}"/>'
        head = f'class="every" viewBox="0 0 {WIDTH} {BOTTOM + 38}" role="img" aria-label="{escape(label)}"'
        return f'<svg {head}><path class="grid" d="{grid}"/>{"".join(parts)}{frame}{"".join(told)}</svg>'


def _shifts(count: int) -> Sequence[float]:
    return np.linspace(-SPREAD, SPREAD, count).tolist() if count > 1 else [0.0]


def _places(axis: _Axis, values_P: Sequence[float], columns_P: Sequence[int], log: bool) -> list[str]:
    """Of each point where it stands; empty where it has no place."""
    return [
        f"{column} {axis.y(value):.0f}" if drawable(value, log) else ""
        for value, column in zip(values_P, columns_P, strict=True)
    ]


def _points(places: Sequence[str], kind: str) -> str:
    known = [place for place in places if place]
    return f'<path class="{kind}" d="M{"L".join(known)}"/>' if known else ""


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x}" y="{y}">{escape(words, quote=False)}</text>'
