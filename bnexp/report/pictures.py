"""The pictures of a claim: its own, and for each endpoint the interval and every seed. One that fails costs no other."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims import fig1_speed, fig1_stability
from bnexp.claims.base import Claim, Endpoint, Evidence
from bnexp.claims.judge import Judged, in_one_line
from bnexp.claims.words import about
from bnexp.figures.style import fit_titles, own_look, save_as
from bnexp.report.interval import interval_svg
from bnexp.report.seeds import errors_svg, pairs_svg, values_svg
from bnexp.report.svg import lighter
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Verdict, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

#: Around a figure, in inches; and from which width on it is wide.
PADDING, WIDE_FROM = 0.05, 6.25

#: A cloud of more points is drawn as pixels, which takes a fifth of the bytes.
MANY_POINTS = 150

SMALL, OWN, WIDE = (4.2, 3.0), (5.2, 3.3), (10.5, 3.4)


@dataclass(frozen=True)
class Part:
    """A part of a figure of several claims.

    Attributes:
        claim: whose evidence is drawn.
        draw: draws it; it leaves the size alone.
        share: of the width.
    """

    claim: str
    draw: Callable[[Evidence, FigureBase], None]
    share: float


#: Figures of several claims side by side: the paper's Fig. 1 is its curves and its tracks.
TOGETHER = {
    "fig1": (
        Part("fig1_speed", fig1_speed.draw_curves, 1.25),
        Part("fig1_stability", fig1_stability.draw_units, 2.0),
    )
}


@dataclass(frozen=True)
class Picture:
    """A figure with the words under it.

    Attributes:
        caption: the words.
        label: what a screen reader says of it.
        drawing: SVG, an element of the page; empty where the figure could not be drawn.
        wide: whether it is wider than a phone can show legibly.
        failure: why it could not be drawn, in one line.
    """

    caption: str
    label: str
    drawing: str = ""
    wide: bool = False
    failure: str = ""


def picture(
    draw: Callable[[Figure], object], caption: str, label: str = "", size: tuple[float, float] = SMALL
) -> Picture:
    """A figure as an element of the page, with words as words.

    Args:
        draw: draws on an empty figure; whatever it raises is told in the picture's place.
        caption: the words under it.
        label: what a screen reader says, where that is not the caption's first sentence.
        size: width and height in inches, which ``draw`` may change.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    from bnexp.figures.powers import in_letters

    first, stream = caption.partition(". ")[0], io.StringIO()
    try:
        with own_look({"svg.fonttype": "none"}):
            figure = Figure(figsize=size, dpi=144)
            draw(figure)
            for line in (line for axes in figure.axes for line in axes.lines):
                line.set_rasterized(line.get_linestyle() == "None" and np.size(line.get_xdata()) > MANY_POINTS)
            in_letters(figure)
            fit_titles(figure)
            # print_svg draws once; savefig draws twice, so that it knows what sticks out
            FigureCanvasSVG(figure).print_svg(stream, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
            edges = figure.get_tightbbox().padded(PADDING)
            height = figure.get_figheight()
    except Exception as error:  # a bug in one figure must not cost the others, or the page
        return Picture(caption, label or first, failure=in_one_line(error))
    box = (72 * edges.x0, 72 * (height - edges.y1), 72 * edges.width, 72 * edges.height)
    return Picture(caption, label or first, lighter(stream.getvalue(), label or first, box), wide=edges.width > WIDE_FROM)


def own_picture(judged: Judged, evidence: Evidence) -> Picture:
    """What the claim draws of its evidence; the caption is the first paragraph of its ``draw``."""
    caption = (inspect.getdoc(judged.claim.draw) or judged.claim.formula).split("\n\n")[0].replace("\n", " ")

    def draw(figure: Figure) -> None:
        from matplotlib.text import Text

        judged.claim.draw(evidence, figure)
        if judged.claim.variant:
            for text in figure.findobj(Text):
                text.set_text(about(judged.claim, text.get_text()))

    return picture(draw, about(judged.claim, caption), size=OWN)


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn: its size in inches, which ``draw`` may change, and what draws it on an empty figure."""

    size: tuple[float, float]
    draw: Callable[[Figure], None]

    def save(self, file: Path, formats: Sequence[str] = ("svg", "png")) -> list[Path]:
        """Draw it into ``file`` with each ending; whatever drawing raises is the caller's."""
        from matplotlib.figure import Figure

        with own_look():
            figure = Figure(figsize=self.size)
            self.draw(figure)
            fit_titles(figure)
            return save_as(figure, file, formats)


def drawings(evidence: Mapping[str, tuple[Claim, Evidence]]) -> dict[str, Drawing]:
    """Name to drawing: every claim's own, and those of ``TOGETHER`` whose parts are all there.

    Args:
        evidence: a claim's name to the claim and what its analysis made of the records.
    """
    found = {name: Drawing(OWN, partial(claim.draw, one)) for name, (claim, one) in evidence.items()}
    return found | {
        name: Drawing(WIDE, partial(_draw_together, parts, {claim: one for claim, (_, one) in evidence.items()}))
        for name, parts in TOGETHER.items()
        if {part.claim for part in parts} <= evidence.keys()
    }


def save_figures(judged: Sequence[Judged], folder: Path) -> dict[str, str]:
    """Write every claim's own figure (of variants none), and those of ``TOGETHER``, as SVG and PNG.

    Returns:
        The figure's name to its PNG file, or to why it could not be drawn.
    """
    known = {one.claim.id: (one.claim, one.evidence) for one in judged if one.evidence and not one.claim.variant}
    told = {}
    for name, drawing in drawings(known).items():
        try:
            told[name] = str(drawing.save(folder / name)[-1])
        except Exception as error:  # a bug in one figure must not cost the others, or the page
            told[name] = in_one_line(error)
    return told


def _draw_together(parts: Sequence[Part], evidence: Mapping[str, Evidence], figure: Figure) -> None:
    panels = figure.subfigures(1, len(parts), squeeze=False, width_ratios=[part.share for part in parts])
    for part, panel in zip(parts, panels[0], strict=True):
        part.draw(evidence[part.claim], panel)


def endpoint_pictures(endpoint: Endpoint, sample: Sample, verdict: Verdict | None, measured: str = "") -> list[Picture]:
    """The interval against what decides, and every seed: both sides where ``measured`` says what they are, else its effect."""
    marks, effect = endpoint.rule.marks(), verdict.effect if verdict else None
    pictures = []
    if effect is not None:
        caption = (
            f"The estimate (dot) with its {100 * effect.level:.0f} % interval over "
            f"{counted(effect.num_seeds, endpoint.rule.drawn)} (bar). "
            "Shaded: where the estimate has to be for support."
        )
        label = f"Effect {effect.in_words()}"
        words = effect_in_words(endpoint, sample, log=marks.log)
        seeds_S: Sequence[float] = ()
        if not measured:
            caption = f"{caption[:-1]}, a ring a {endpoint.rule.drawn}."
            effects_S = sample.effects("ratio" if marks.log and sample.base else "difference")
            seeds_S = np.exp(effects_S).tolist() if marks.log and sample.base else effects_S.tolist()

        repeats = [one.effect for one in verdict.repeats if one.effect] if verdict else []
        if repeats:
            caption += f" Thin bars: {counted(len(repeats), 'whole repetition')} with other seeds."
        pictures.append(Picture(caption, label, drawing=interval_svg(effect, marks, words, label, seeds_S, repeats)))
    if measured or effect is None:
        pictures.append(_seeds_picture(endpoint, sample, measured))
    return pictures


def effect_in_words(endpoint: Endpoint, sample: Sample, *, log: bool) -> str:
    """What stands at the axis of an effect."""
    if log and sample.base:
        return "ratio (1: no difference)"
    kind = "difference" if sample.base or sample.summed else "effect"
    if not endpoint.unit:
        return kind if kind == "difference" else fill(endpoint.estimand, 45, max_lines=2)
    return f"share {endpoint.unit}" if endpoint.unit.startswith("of ") else f"{kind} in {endpoint.unit}"


def _seeds_picture(endpoint: Endpoint, sample: Sample, measured: str) -> Picture:
    marks, drawn = endpoint.rule.marks(), endpoint.rule.drawn
    if endpoint.rule.per_case:
        errors = sample.arm[0].values[0]
        label = f"The errors of {len(errors):,} cases in order of size"
        return Picture(f"{label}; an error of exactly 0 lies at 1e-17.", label, errors_svg(errors, marks.values[0][0], label))
    arm_S = sample.seeds_of(sample.arm, log=marks.log and bool(sample.base))
    if not sample.base or sample.summed:
        effects_S = sample.effects("ratio" if marks.log else "difference")
        shown_S = np.exp(effects_S) if marks.log else effects_S
        label, words = f"Every {drawn}'s effect", effect_in_words(endpoint, sample, log=marks.log)
        return Picture(f"{label}; the line is their mean.", label, values_svg(shown_S.tolist(), words, label))
    base_S = sample.seeds_of(sample.base, log=marks.log)
    caption = (
        f"Every {drawn}: a line joins what is compared with to what the claim is about, at one of them; judged "
        f"is the {'ratio' if marks.log else 'difference'} of the two."
    )
    label = f"Every {drawn}, both sides"
    return Picture(caption, label, pairs_svg(base_S.tolist(), arm_S.tolist(), measured, label, log=marks.log))
