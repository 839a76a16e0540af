"""The argument as pictures: who says what with the verdict on each line, and a dispute's predictions beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnexp.figures.endpoints import QUIET, draw_interval
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Marks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Outcome to colour and pattern; the page's own colours.
LOOKS = {"SUPPORTED": ("#17508a", "-"), "CONTRADICTED": ("#a63f00", "--"), "INCONCLUSIVE": ("#6b7480", ":")}


@dataclass(frozen=True)
class Measured:
    """One verdict of a dispute.

    Attributes:
        title: what was asked.
        axis: what the effect is.
        effect: None for a claim of algebra.
        marks: what decides.
        supported, contradicted: the side that predicts the shaded zone, and the one that predicts the rest; may be empty.
        told: sign and whom the verdict fits.
        outcome: for its colour.
    """

    title: str
    axis: str
    effect: Interval | None
    marks: Marks
    supported: str
    contradicted: str
    told: str
    outcome: str


@dataclass(frozen=True)
class SourceRow:
    """One claim of the map: who says it, who disputes it, what came out."""

    claim: str
    says: tuple[str, ...]
    disputes: tuple[str, ...]
    outcome: str


def draw_dispute(measured: Sequence[Measured], figure: Figure) -> None:
    """A row for each verdict: the interval, the zones with the sides that predict them, and whom it fits."""
    rows = figure.subplots(len(measured), 2, squeeze=False, width_ratios=(3.2, 1.1))
    for one, (left, right) in zip(measured, rows, strict=True):
        color, _ = LOOKS[one.outcome]
        left.set_title(one.title, fontsize=9)
        right.axis("off")
        right.text(0, 0.42, one.told, color=color, fontsize=10, fontweight="bold", va="center", wrap=True)
        if one.effect is None:
            left.axis("off")
            left.text(0, 0.5, "an identity: it holds to rounding or it does not", color=QUIET, va="center")
            continue
        draw_interval(one.effect, one.marks, left)
        for text in list(left.texts):
            text.remove()
        left.set_ylim(-0.9, 1.3)
        left.set_xlabel(one.axis, fontsize=8)
        _name_zones(one, left)


def _name_zones(one: Measured, ax: Axes) -> None:
    low, high = ax.get_xlim()
    zone = max(one.marks.zone[0], low), min(one.marks.zone[1], high)
    places = ax.transData.transform([(zone[0], 0), (zone[1], 0), (low, 0), (high, 0)])[:, 0]
    start, end = ((place - places[2]) / (places[3] - places[2]) for place in places[:2])
    outside = start / 2 if start >= 1 - end else (1 + end) / 2
    for side, place, color in ((one.supported, (start + end) / 2, "#2b4a6b"), (one.contradicted, outside, QUIET)):
        # Near an end of the axis a name starts or ends there, so that it does not reach into what stands beside.
        align, at = ("left", 0.01) if place < 0.2 else ("right", 0.99) if place > 0.8 else ("center", place)
        text = ax.text(at, 0.97, side, transform=ax.transAxes, ha=align, va="top", fontsize=8, color=color)
        text.set_bbox({"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5})


def draw_sources(rows: Sequence[SourceRow], signs: Mapping[str, str], figure: Figure) -> None:
    """Claims in the middle, who says them on the left, who disputes them on the right, lines in the look of the verdict."""
    ax = figure.subplots()
    ax.axis("off")
    height = len(rows)
    ends = {"left": _places([row.says for row in rows]), "right": _places([row.disputes for row in rows])}
    for index, row in enumerate(rows):
        y = height - index
        color, style = LOOKS[row.outcome]
        ax.text(
            0,
            y,
            f"{signs[row.outcome]} {row.claim}",
            ha="center",
            va="center",
            fontsize=8.5,
            color=color,
            fontweight="bold",
        )
        for names, side, x in ((row.says, "left", -1), (row.disputes, "right", 1)):
            for name in names:
                ax.plot(
                    [0.42 * x, 0.95 * x],
                    [y, height * (1 - ends[side][name])],
                    color=color,
                    linestyle=style,
                    linewidth=1,
                    alpha=0.8,
                )
    for side, x, align in (("left", -1, "right"), ("right", 1, "left")):
        for name, place in ends[side].items():
            ax.text(0.97 * x, height * (1 - place), name, ha=align, va="center", fontsize=8.5)
    ax.text(-1, height + 1.2, "who says it", ha="right", fontsize=9, color=QUIET)
    ax.text(0, height + 1.2, "claim and verdict", ha="center", fontsize=9, color=QUIET)
    ax.text(1, height + 1.2, "who disputes it", ha="left", fontsize=9, color=QUIET)
    ax.set(xlim=(-1.75, 1.75), ylim=(0, height + 1.8))


def _places(names_by_row: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Names spread evenly over the height, as shares of it from the top, in the order of the rows they belong to."""
    rows: dict[str, list[int]] = {}
    for index, names in enumerate(names_by_row):
        for name in names:
            rows.setdefault(name, []).append(index)
    order = sorted(rows, key=lambda name: sum(rows[name]) / len(rows[name]))
    return {name: (index + 0.5) / len(order) for index, name in enumerate(order)}
