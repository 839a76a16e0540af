"""The pictures of a claim: its own, and for each endpoint the interval, every seed and survival."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnexp.claims.base import Endpoint, Evidence
from bnexp.claims.judge import Judged
from bnexp.figures.intervals import draw_interval
from bnexp.figures.seeds import draw_errors, draw_pairs, draw_values
from bnexp.figures.survival import draw_survival
from bnexp.report.svg import inline_svg
from bnexp.report.words import p_words
from bnexp.stats.survival import Times, log_rank_p_value, share_reached
from bnexp.stats.verdict import Sample, Verdict, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A figure with the words under it."""

    svg: str
    caption: str


def own_picture(judged: Judged, evidence: Evidence) -> Picture:
    """What the claim draws of its evidence; the caption is the first paragraph of its ``draw``."""
    caption = (inspect.getdoc(judged.claim.draw) or judged.claim.formula).split("\n\n")[0].replace("\n", " ")
    svg = inline_svg(lambda figure: judged.claim.draw(evidence, figure), name=f"{judged.claim.id}-own", label=caption)
    return Picture(svg, caption)


def endpoint_pictures(name: str, endpoint: Endpoint, sample: Sample, verdict: Verdict | None) -> list[Picture]:
    """The interval against what decides, every seed, and for durations the share of runs still on the way.

    Args:
        name: unique on the page.
        endpoint: what was asked.
        sample: what the rule judged.
        verdict: what it said.
    """
    marks, effect = endpoint.rule.marks(), verdict.effect if verdict else None
    pictures = []
    if effect is not None:
        caption = (
            f"The estimate (dot) with its {100 * effect.level:.0f} % interval over {counted(effect.num_seeds, 'seed')} (bar). "
            "Shaded: where the estimate has to be for support."
        )
        label = f"Effect {effect.in_words()}"
        svg = small_svg(
            lambda figure: draw_interval(effect, marks, figure.subplots()), f"{name}-interval", label, (4.2, 1.7)
        )
        pictures.append(Picture(svg, caption))
    pictures.append(_seeds_picture(name, endpoint, sample))
    if sample.times:
        pictures.append(_survival_picture(name, *sample.times))
    return pictures


def _seeds_picture(name: str, endpoint: Endpoint, sample: Sample) -> Picture:
    marks = endpoint.rule.marks()
    unit = "steps to the target" if sample.times else "value"
    if endpoint.rule.per_case:
        caption = f"The errors of {len(sample.arm):,} cases in order of size; an error of exactly 0 lies at 1e-17."
        svg = small_svg(
            lambda figure: draw_errors(sample.arm, marks.values[0][0], figure.subplots()), f"{name}-cases", caption
        )
        return Picture(svg, caption)
    if sample.base is None:
        caption = "Every seed's effect; the line is their mean."
        svg = small_svg(
            lambda figure: draw_values(sample.arm, figure.subplots(), ylabel="effect"), f"{name}-seeds", caption
        )
        return Picture(svg, caption)
    base, always = sample.base, (True,) * len(sample.arm)
    caption = "Every seed: a line joins what is compared with (base) to what the claim is about (arm) at one seed."
    if sample.censored:
        caption += " Hollow points never arrived; they lie at the last step they were watched."
    svg = small_svg(
        lambda figure: draw_pairs(
            base, sample.arm, figure.subplots(), observed_base=sample.observed_base or always,
            observed_arm=sample.observed_arm or always, log=marks.log, ylabel=unit,
        ),
        f"{name}-seeds", caption, (3.8, 3.0),
    )  # fmt: skip
    return Picture(svg, caption)


def _survival_picture(name: str, base: Times, arm: Times) -> Picture:
    horizon = max(*base.steps, *arm.steps)
    watched = (base.seen_at(horizon), arm.seen_at(horizon))
    reached = ", ".join(
        f"{side} {sum(runs.observed)} of {len(runs.steps)} (95 % interval of the chance "
        f"{share_reached(runs).low:.2f} to {share_reached(runs).high:.2f})"
        for side, runs in zip(("base", "arm"), watched, strict=True)
    )
    caption = (
        f"Kaplan-Meier: the share of runs not at the target yet. Reached it: {reached}. "
        f"Log-rank p {p_words(log_rank_p_value(*watched))}, which ignores the pairing; the verdict does not."
    )
    svg = small_svg(lambda figure: draw_survival(base, arm, figure.subplots()), f"{name}-survival", caption, (4.2, 3.2))
    return Picture(svg, caption)


def small_svg(draw: Callable[[Figure], object], name: str, label: str, size: tuple[float, float] = (4.2, 3.0)) -> str:
    """A figure that stands beside others; the arguments of :func:`bnexp.report.svg.inline_svg`."""
    return inline_svg(draw, name=name, label=label, size=size)
