"""An endpoint's effect with its interval as a drawing inside the page: several hundred of them, in the page's own colours.

matplotlib would take a twentieth of a second and three kilobytes for each; here it is a few hundred bytes of SVG whose classes
the page's style sheet knows, so that it is dark in the dark as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from bnexp.figures.endpoints import drawable, limits, plain_ticks
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Marks

#: Of the drawing in CSS pixels: its width, the margin left and right, and the lines on which things stand.
WIDTH, MARGIN = 400, 6
BAR, SEEDS, AXIS, TICKS, WORDS = 66, 86, 104, 119, 136

#: The lowest line of a repetition, and how far above it the next one lies.
REPEATS, APART = 56, 4

#: Height of a line of words.
LINE = 15


def interval_svg(
    effect: Interval, marks: Marks, words: str, label: str, seeds_S: Sequence[float] = (), repeats: Sequence[Interval] = ()
) -> str:
    """The interval as a bar with its estimate as a dot; an arrow where it has no end; the supporting zone shaded.

    Args:
        effect: with its interval.
        marks: what decides.
        words: what stands at the axis, in lines.
        label: what a screen reader says.
        seeds_S: what each seed says, as small rings under the bar.
        repeats: the same effect in whole repetitions, as thin bars above it.
    """
    seen = [value for value in seeds_S if drawable(value, marks.log)]
    bars = [end for one in (effect, *repeats) for end in (one.low, one.high, one.estimate)]
    ends = [value for value in (*bars, *seen) if drawable(value, marks.log)]
    left, right = limits([*ends, *(value for value, _ in marks.values)], marks.log)

    x = scale(left, right, marks.log, MARGIN, WIDTH - MARGIN)

    def at(value: float) -> str:
        return f"{x(value):.0f}"

    zone = [at(min(max(end, left), right)) for end in marks.zone]
    low, high = (end if drawable(end, marks.log) else edge for end, edge in ((effect.low, left), (effect.high, right)))
    parts = [
        f'<path class="zone" d="M{zone[0]} 2V{AXIS}H{zone[1]}V2z"/>',
        f'<path class="mark" d="{"".join(f"M{at(value)} 2V{AXIS}" for value, _ in marks.values)}"/>',
        f'<path class="bar" d="M{at(low)} {BAR}H{at(high)}"/>',
        f'<path class="end" d="{_end(effect.low, at(low), 6, marks.log)}{_end(effect.high, at(high), -6, marks.log)}"/>',
    ]
    if repeats:
        drawn = [
            f"M{at(min(max(one.low, left), right))} {REPEATS - APART * index}H{at(min(max(one.high, left), right))}"
            for index, one in enumerate(repeats)
        ]
        parts.append(f'<path class="repeats" d="{"".join(drawn)}"/>')
    if drawable(effect.estimate, marks.log):
        parts.append(f'<circle cx="{at(effect.estimate)}" cy="{BAR}" r="5"/>')
    if seen:
        first, *others = map(at, seen)
        parts.append(f'<path class="seeds" d="M{first} {SEEDS}{"".join(f"H{place}" for place in others)}"/>')
    ticks = plain_ticks(left, right, marks.log)
    parts.append(f'<path class="axis" d="M0 {AXIS}H{WIDTH}{"".join(f"M{at(tick)} {AXIS}v4" for tick, _ in ticks)}"/>')
    parts += [_text(at(tick), TICKS, word) for tick, word in ticks]
    lines = words.split("\n")
    parts += [_text(str(WIDTH // 2), WORDS + LINE * index, line) for index, line in enumerate(lines)]
    for index, (value, word) in enumerate(marks.values):
        side, shift = ("right", 4) if x(value) < WIDTH / 2 else ("left", -4)
        parts.append(_text(f"{x(value) + shift:.0f}", 13 + LINE * index, word, f' class="{side}"'))
    height = WORDS + LINE * (len(lines) - 1) + 5
    return f'<svg class="interval" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def scale(low: float, high: float, log: bool, start: float, end: float) -> Callable[[float], float]:
    """Where values stand: ``low`` at ``start``, ``high`` at ``end``."""
    first, last = (math.log(one) if log else one for one in (low, high))
    return lambda value: start + (end - start) * ((math.log(value) if log else value) - first) / (last - first)


def _end(end: float, at: str, inwards: int, log: bool) -> str:
    """A short line across the bar, or an arrow's head where there is no end."""
    return f"M{at} {BAR - 6}v12" if drawable(end, log) else f"M{at} {BAR}l{inwards}-6v12z"


def _text(x: str, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}"{more}>{escape(words, quote=False)}</text>'
