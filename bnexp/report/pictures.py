"""The pictures of a claim: its own, and for each endpoint the interval, every seed and survival. One that fails costs no other."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from bnexp.claims.base import Endpoint, Evidence, Sample
from bnexp.claims.judge import durations
from bnexp.claims.judged import Judged
from bnexp.figures.endpoints import draw_errors, draw_interval, draw_pairs, draw_survival, draw_values
from bnexp.figures.style import SETTINGS, save
from bnexp.report.rules import scale_of
from bnexp.report.words import counted, interval_words, p_words
from bnexp.stats.outcome import Verdict
from bnexp.stats.survival import log_rank_p_value, share_reached, to_horizon
from bnexp.stats.verdict import Exact

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of matplotlib (1/72 inch) to CSS pixels (1/96 inch).
PIXELS_PER_POINT = 96 / 72

SMALL, OWN = (4.2, 3.0), (5.2, 3.3)

#: Figures made of several claims' own, side by side: name to claims with their shares of the width.
TOGETHER = {"fig1": {"fig1_speed": 1.25, "fig1_stability": 2.0}}


@dataclass(frozen=True)
class Picture:
    """A figure with the words under it.

    Attributes:
        caption: the words.
        label: what a screen reader says of it.
        address: a data address for ``<img src='...'>``, with no single quote in it; empty where the figure could not be drawn.
        size: width and height in CSS pixels.
        failure: why it could not be drawn, in one line.
    """

    caption: str
    label: str
    address: str = ""
    size: tuple[int, int] = (0, 0)
    failure: str = ""


def picture(
    draw: Callable[[Figure], object], caption: str, label: str = "", size: tuple[float, float] = SMALL
) -> Picture:
    """A figure as a picture of its own inside the page, with text as outlines so that it looks the same everywhere.

    Args:
        draw: draws on an empty figure; whatever it raises is told in the picture's place.
        caption: the words under it.
        label: what a screen reader says, where that is not the caption.
        size: width and height in inches, which ``draw`` may change.
    """
    import matplotlib
    from matplotlib.figure import Figure

    stream = io.StringIO()
    try:
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=size)
            draw(figure)
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            figure.savefig(stream, format="svg", metadata=nothing, bbox_inches="tight", pad_inches=0.05)
    except Exception as error:
        return Picture(caption, label or caption, failure=_why(error))
    svg = stream.getvalue()
    svg = " ".join(svg[svg.index("<svg") :].split())
    _, _, width, height = svg.split('viewBox="')[1].split('"')[0].split(" ")
    pixels = round(float(width) * PIXELS_PER_POINT), round(float(height) * PIXELS_PER_POINT)
    address = "data:image/svg+xml," + quote(svg, safe=' !"$()*+,-./:;<=>?@[]_')
    return Picture(caption, label or caption, address, pixels)


def own_picture(judged: Judged, evidence: Evidence) -> Picture:
    """What the claim draws of its evidence; the caption is the first paragraph of its ``draw``."""
    caption = (inspect.getdoc(judged.claim.draw) or judged.claim.formula).split("\n\n")[0].replace("\n", " ")
    return picture(lambda figure: judged.claim.draw(evidence, figure), caption, size=OWN)


def save_figures(judged: Sequence[Judged], folder: Path) -> dict[str, str]:
    """Write every claim's own figure, and those of ``TOGETHER``, as SVG and PNG.

    Returns:
        The figure's name to its PNG file, or to why it could not be drawn.
    """
    import matplotlib
    from matplotlib.figure import Figure

    known = {one.claim.id: (one.claim.draw, one.evidence) for one in judged if one.evidence}
    figures = {name: {name: 1.0} for name in known} | {
        n: parts for n, parts in TOGETHER.items() if parts.keys() <= known.keys()
    }
    told = {}
    for name, parts in figures.items():
        try:
            with matplotlib.rc_context(SETTINGS):
                figure = Figure(figsize=OWN if len(parts) == 1 else (10.5, 3.4))
                panels: Any = (
                    [figure] if len(parts) == 1 else figure.subfigures(1, len(parts), width_ratios=[*parts.values()])
                )
                for panel, (draw, evidence) in zip(panels, map(known.__getitem__, parts), strict=True):
                    draw(evidence, panel)
                told[name] = str(save(figure, folder / name))
        except Exception as error:
            told[name] = _why(error)
    return told


def _why(error: Exception) -> str:
    """A bug in one figure must not cost the others, or the page: it is told in the figure's place."""
    return f"{type(error).__name__}: {error}"


def endpoint_pictures(endpoint: Endpoint, sample: Sample, verdict: Verdict | None) -> list[Picture]:
    """The interval against what decides, every seed, and for durations the share of runs still on the way."""
    scale, effect = scale_of(endpoint.rule), verdict.effect if verdict else None
    pictures = []
    if scale is not None and effect is not None:
        caption = (
            f"The estimate (dot) with its {100 * effect.level:.0f} % interval over {counted(effect.num_seeds, 'seed')} (bar). "
            "Shaded: where the estimate has to be for support."
        )
        label = f"Effect {interval_words(effect)}"
        pictures.append(
            picture(lambda figure: draw_interval(effect, scale, figure.subplots()), caption, label, (4.2, 1.7))
        )
    pictures.append(_seeds_picture(endpoint, sample))
    if sample.observed_base is not None and sample.base is not None:
        pictures.append(_survival_picture(sample))
    return pictures


def _seeds_picture(endpoint: Endpoint, sample: Sample) -> Picture:
    rule = endpoint.rule
    unit = "steps to the target" if sample.observed_base is not None else "value"
    if isinstance(rule, Exact):
        caption = f"The errors of {len(sample.arm):,} cases in order of size; an error of exactly 0 lies at 1e-17."
        return picture(lambda figure: draw_errors(sample.arm, rule.tolerance, figure.subplots()), caption)
    if sample.base is None:
        caption = "Every seed's effect; the line is their mean."
        return picture(lambda figure: draw_values(sample.arm, figure.subplots(), ylabel="effect"), caption)
    base, always = sample.base, (True,) * len(sample.arm)
    caption = "Every seed: a line joins what is compared with (base) to what the claim is about (arm) at one seed."
    if sample.censored:
        caption += " Hollow points never arrived; they lie at the last step they were watched."
    return picture(
        lambda figure: draw_pairs(
            base, sample.arm, figure.subplots(), observed_base=sample.observed_base or always,
            observed_arm=sample.observed_arm or always, log=getattr(rule, "scale", "") == "ratio", ylabel=unit,
        ),
        caption, size=(3.8, 3.0),
    )  # fmt: skip


def _survival_picture(sample: Sample) -> Picture:
    base, arm = durations(sample)
    horizon = max(one.steps for one in (*base, *arm))
    watched = (to_horizon(base, horizon), to_horizon(arm, horizon))
    reached = ", ".join(
        f"{side} {sum(one.observed for one in runs)} of {len(runs)} (95 % interval of the chance "
        f"{share_reached(runs).low:.2f} to {share_reached(runs).high:.2f})"
        for side, runs in zip(("base", "arm"), watched, strict=True)
    )
    caption = (
        f"Kaplan-Meier: the share of runs not at the target yet. Reached it: {reached}. "
        f"Log-rank p {p_words(log_rank_p_value(*watched))}, which ignores the pairing; the verdict does not."
    )
    return picture(lambda figure: draw_survival(base, arm, figure.subplots()), caption, size=(4.2, 3.2))
