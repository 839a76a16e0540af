"""A rule in plain words, read off its dataclass: what supports a claim, what contradicts it, and what a picture of it marks."""

from __future__ import annotations

from dataclasses import dataclass

from bnexp.figures.endpoints import Scale
from bnexp.stats.outcome import Rule
from bnexp.stats.verdict import Difference, Equivalence, Exact, Scaling


@dataclass(frozen=True)
class InWords:
    """A rule in words.

    Attributes:
        supports, contradicts: complete sentences; whatever is neither leaves the claim inconclusive.
        needs: what must hold before either can be said.
    """

    supports: str
    contradicts: str
    needs: str


def in_words(rule: Rule) -> InWords:
    """What was fixed before the runs."""
    for kind, tell in _TELLERS.items():
        if isinstance(rule, kind):
            return tell(rule)
    raise TypeError(f"no words for a rule of type {type(rule).__name__}")


def scale_of(rule: Rule) -> Scale | None:
    """The values an interval is drawn against; None for a rule without intervals."""
    if isinstance(rule, Difference):
        beyond = (rule.smallest, float("inf")) if rule.direction > 0 else (float("-inf"), rule.smallest)
        marks = (
            (rule.null, f"no effect ({rule.null:g})"),
            (rule.smallest, f"smallest that matters ({rule.smallest:g})"),
        )
        return Scale(marks, beyond, rule.scale == "ratio")
    if isinstance(rule, Equivalence):
        low, high = _margin(rule)
        return Scale(((low, f"margin ({low:.3g})"), (high, f"margin ({high:.3g})")), (low, high), rule.scale == "ratio")
    if isinstance(rule, Scaling):
        marks = ((rule.predicted, f"predicted ({rule.predicted:.3g})"), (rule.rival, f"rival ({rule.rival:.3g})"))
        return Scale(marks, (rule.predicted - rule.within, rule.predicted + rule.within), False)
    return None


def _difference(rule: Difference) -> InWords:
    side, least, short = ("above", "at least", "below") if rule.direction > 0 else ("below", "at most", "above")
    effect = "ratio" if rule.scale == "ratio" else "difference"
    return InWords(
        f"The whole 95 % interval of the {effect} lies {side} {rule.null:g} (no effect), and the estimate is {least} "
        f"{rule.smallest:g} (the smallest that matters).",
        f"The whole 95 % interval lies {short} {rule.smallest:g}: any effect is too small to matter, or, if it lies {short} "
        f"{rule.null:g}, goes the other way.",
        _needs(rule.min_seeds, _CUT_OFF if rule.scale == "ratio" else ""),
    )


def _equivalence(rule: Equivalence) -> InWords:
    low, high = _margin(rule)
    return InWords(
        f"The whole 90 % interval of the {rule.scale} lies between {low:.3g} and {high:.3g} (two one-sided tests at 5 %).",
        f"The whole 95 % interval lies outside {low:.3g} to {high:.3g}. Finding no difference is not evidence of sameness.",
        _needs(rule.min_seeds),
    )


def _scaling(rule: Scaling) -> InWords:
    claimed = f"{rule.predicted:.3g} ± {rule.within:.3g}"
    return InWords(
        f"The 95 % interval of the exponent meets {claimed}, as predicted, and leaves out the rival's {rule.rival:.3g}.",
        f"The 95 % interval of the exponent lies wholly outside {claimed}.",
        _needs(rule.min_seeds),
    )


def _exact(rule: Exact) -> InWords:
    return InWords(
        f"No error exceeds {rule.tolerance:g}, which is rounding, in at least {rule.min_cases:,} cases.",
        f"One error exceeds {rule.tolerance:g}; a single counterexample is enough.",
        "Nothing is estimated, so there is no interval.",
    )


_CUT_OFF = " Where runs never reached the target, survival statistics take their place."

_TELLERS = {Difference: _difference, Equivalence: _equivalence, Scaling: _scaling, Exact: _exact}


def _margin(rule: Equivalence) -> tuple[float, float]:
    return (1 / rule.margin if rule.scale == "ratio" else -rule.margin), rule.margin


def _needs(min_seeds: int, cut_off: str = "") -> str:
    return (
        f"At least {min_seeds} seeds, every gate passed, and the same answer from a bootstrap over seeds as from a t-interval."
        + cut_off
    )
