"""How effects, numbers of seeds, costs and verdicts are said, the same everywhere."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bnexp.claims.base import Sample
from bnexp.stats.interval import Interval
from bnexp.stats.outcome import Rule, Verdict
from bnexp.stats.verdict import Exact, Scaling

NOT_RUN = "NOT RUN"
NOT_JUDGED = "NOT JUDGED"

#: What stands in an outcome's place where nothing is said.
UNTOLD = (NOT_RUN, NOT_JUDGED)

#: Outcome to the sign that stands beside its word, so that no verdict is told by colour alone.
SIGNS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", NOT_RUN: "–", NOT_JUDGED: "!"}

#: What the outcomes mean, for whoever sees them first.
MEANINGS = {
    "SUPPORTED": "the evidence shows the effect, and it is large enough to matter (or, for a claim that two things are the "
    "same, shows that they differ by less than matters)",
    "CONTRADICTED": "the evidence rules the claimed effect out: it is too small to matter, or goes the other way",
    "INCONCLUSIVE": "the evidence allows both answers, there were too few seeds, or a check that had to hold first did not",
    NOT_RUN: "runs are missing, so nothing is said",
    NOT_JUDGED: "all runs are there, but their analysis broke down, so nothing is said",
}


@dataclass(frozen=True)
class Told:
    """An endpoint's result in words.

    Attributes:
        effect: the estimate with its interval.
        count: how many seeds or cases are behind it.
    """

    effect: str
    count: str


def told(rule: Rule, sample: Sample, verdict: Verdict) -> Told:
    """An endpoint's result in words."""
    if isinstance(rule, Exact) or verdict.effect is None:
        return Told(f"largest error {_number(max(map(abs, sample.arm)))}", counted(len(sample.arm), "case"))
    prefix = "exponent " if isinstance(rule, Scaling) else ""
    suffix = " ×" if getattr(rule, "scale", None) == "ratio" else ""
    return Told(interval_words(verdict.effect, prefix, suffix), counted(verdict.effect.num_seeds, "seed"))


def interval_words(effect: Interval, prefix: str = "", suffix: str = "") -> str:
    """An interval in words; one without an upper end is a lower bound.

    Example:
        >>> interval_words(Interval(2.0, 1.5, 2.71828, level=0.95, num_seeds=8), suffix=" ×")
        '2.0 × [1.5, 2.7]'
        >>> interval_words(Interval(9.0, 8.0, math.inf, level=0.95, num_seeds=8), suffix=" ×")
        'at least 9.0 × [8.0, no upper limit]'
    """
    if math.isinf(effect.high) and (effect.low == 0 or math.isinf(effect.low)):
        return "unknown"
    bound = "at least " if math.isinf(effect.high) else ""
    estimate, low, high = (_as_precise(value, effect) for value in (effect.estimate, effect.low, effect.high))
    return f"{bound}{prefix}{estimate}{suffix} [{low}, {high}]"


def cost_words(seconds: float) -> str:
    """Computing time as people say it.

    Example:
        >>> [cost_words(seconds) for seconds in (0.2, 42, 185, 7500)]
        ['under 1 s', '42 s', '3 min', '2.1 h']
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "seed"), counted(1200, "run")
        ('1 seed', '1,200 runs')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def p_words(p: float) -> str:
    """A p value; the smallest are not worth their digits.

    Example:
        >>> p_words(0.0412), p_words(1e-9)
        ('0.041', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _as_precise(value: float, effect: Interval) -> str:
    """A value with two digits of the interval's width: what lies below says nothing."""
    if math.isinf(value):
        return "no upper limit" if value > 0 else "no lower limit"
    width = (effect.high if math.isfinite(effect.high) else effect.estimate) - effect.low
    if not math.isfinite(width) or width <= 1e-6 * max(1.0, abs(effect.estimate)):
        return _number(value)
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0 makes a plain zero of a negative one


def _number(value: float) -> str:
    """Three significant digits with trailing zeros kept; powers only where they are shorter, e.g. ``3.1e-16``."""
    if value == 0:
        return "0"
    if abs(value) < 1e-4:
        return f"{value:.1e}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")
