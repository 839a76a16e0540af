"""Numbers and verdicts of a claim as people say them; every claim's sentence is made of these.

Legend: S seeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim
from bnexp.claims.runs import Runs
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Verdict


def level_words(error: float) -> str:
    """A validation error as the accuracy it leaves.

    Example:
        >>> level_words(0.07)
        '93 % accuracy'
    """
    return f"{100 * (1 - error):.3g} % accuracy"


def times_words(ratio: Interval, more: str = "sooner", less: str = "later", same: str = "") -> str:
    """A ratio in words; one whose interval holds 1 is none that was found, which is not the same as no difference.

    Example:
        >>> times_words(Interval(3.1, 2.5, 3.8, 0.95, 8)), times_words(Interval(1.1, 0.9, 1.3, 0.95, 8))
        ('3.1 times sooner', 'neither clearly sooner nor later')
        >>> times_words(Interval(0.5, 0.4, 0.6, 0.95, 8), "less", "more")
        '2.0 times more'
    """
    if ratio.covers(1):
        return same or f"neither clearly {more} nor {less}"
    times = max(ratio.estimate, 1 / ratio.estimate)
    return f"{times:.{1 if times < 10 else 0}f} times {more if ratio.estimate > 1 else less}"


def layer_words(overrides: str) -> str:
    """The layer that a claim's control or subject names.

    Example:
        >>> layer_words("norm=batch"), layer_words("norm=ghost norm.ghost_size=16"), layer_words("norm=none")
        ('BN', 'norm=ghost norm.ghost_size=16', 'no norm')
    """
    return {"norm=batch": "BN", "norm=none": "no norm"}.get(overrides, overrides)


def about(claim: Claim, text: str) -> str:
    """A sentence or a label of a claim about BN, as it reads for a variant with another subject: that stands for the word BN."""
    return text if claim.subject in ("", "norm=batch") else re.sub(r"\bBN\b", layer_words(claim.subject), text)


def rates_words(runs: Runs, arm: str, regime: str = "own", grid: int = 0) -> str:
    """An arm's chosen values, e.g. ``2 or 4``."""
    return " or ".join(f"{value:g}" for value in runs.chosen(arm, regime, grid)) or "untuned"


def points_more(effect: Interval, more: str = "more", less: str = "less") -> str:
    """A difference in points of accuracy; one whose interval holds 0 is none that was found.

    Example:
        >>> points_more(Interval(0.94, 0.5, 1.4, 0.95, 8)), points_more(Interval(-0.94, -1.4, -0.5, 0.95, 8))
        ('0.9 points more', '0.9 points less')
        >>> points_more(Interval(0.3, -0.1, 0.7, 0.95, 8))
        'neither clearly more nor less'
    """
    if effect.covers(0):
        return f"neither clearly {more} nor {less}"
    return f"{abs(effect.estimate):.1f} points {more if effect.estimate > 0 else less}"


def range_words(levels: np.ndarray) -> str:
    """Validation errors, easiest first, as the accuracies they leave.

    Example:
        >>> range_words(np.array([0.15, 0.1, 0.07]))
        'from 85 % to 93 % accuracy'
    """
    return f"from {100 * (1 - levels[0]):.3g} % to {level_words(levels[-1])}"


def estimate_words(verdict: Verdict, shift: float = 0.0, digits: int = 3) -> str:
    """An estimate and its interval, e.g. ``1.483 [1.478, 1.489]``; ``shift`` is what had been taken off."""
    effect = verdict.effect
    if effect is None:
        return "not known"
    low, estimate, high = (
        f"{round(value + shift, digits) + 0.0:.{digits}f}"  # + 0.0 makes a plain zero of a negative one
        for value in (effect.low, effect.estimate, effect.high)
    )
    return f"{estimate} [{low}, {high}]"


def mean_words(values_S: np.ndarray, unit: str = " %", digits: int = 1) -> str:
    """A mean over seeds with its range.

    Example:
        >>> mean_words(np.array([96.0, 97.0]))
        '96.5 % (96.0 to 97.0)'
    """
    return f"{values_S.mean():.{digits}f}{unit} ({values_S.min():.{digits}f} to {values_S.max():.{digits}f})"


def means_words(by_label: Mapping[str, np.ndarray], unit: str = " %", digits: int = 1, *, of: str = "") -> dict[str, str]:
    """Label to :func:`mean_words`, for ``Evidence.numbers``; ``of`` says of what, in front of every label.

    Example:
        >>> means_words({"with BN": np.array([96.0, 97.0])}, of="test accuracy")
        {'test accuracy, with BN': '96.5 % (96.0 to 97.0)'}
    """
    return {f"{of}, {label}" if of else label: mean_words(values, unit, digits) for label, values in by_label.items()}


def sooner_words(place: str, ratios: Mapping[str, Interval | None]) -> dict[str, str]:
    """How many times sooner arms are at a place, as far as anything can be said, for ``Evidence.numbers``."""
    return {f"{place}: times sooner, {label}": f"{found:.2f}" for label, found in ratios.items() if found}


def ending(verdict: Verdict, yes: str, *, too_small: str, reversed_: str = "", open_: str = "which leaves it open") -> str:
    """How a sentence ends, whatever came out: ``yes`` where the claim is supported.

    Args:
        verdict: of the endpoint that the sentence is about.
        yes: e.g. ``"so it does"``.
        too_small: the claim is contradicted by an effect too small to matter, or by arms that differ.
        reversed_: it is contradicted by the opposite effect; ``too_small`` where this is empty.
        open_: neither; a failed gate and too few seeds say so themselves.
    """
    if verdict.outcome == "SUPPORTED":
        return yes
    if verdict.outcome == "CONTRADICTED":
        return reversed_ if reversed_ and verdict.word == "reversed" else too_small
    if verdict.word in ("gate failed", "not powered", "out of reach"):
        return f"but nothing follows: {verdict.reason[0].lower()}{verdict.reason[1:].rstrip('.')}"
    return open_


def by_outcome(verdict: Verdict, supported: str, contradicted: str, open_: str) -> str:
    """A part of a sentence that says no more than the outcome; :func:`ending` says why, too."""
    return {"SUPPORTED": supported, "CONTRADICTED": contradicted, "INCONCLUSIVE": open_}[verdict.outcome]


def open_whether(what: str, verdict: Verdict) -> str:
    """The sentence of a claim whose verdict is open, which says why."""
    return f"It is open whether {what}: {verdict.reason[0].lower()}{verdict.reason[1:]}"
