"""Numbers of a claim as people say them; every claim's sentence is made of these."""

from __future__ import annotations

import re

from bnexp.claims.base import Claim
from bnexp.claims.runs import Runs
from bnexp.stats.intervals import Interval


def level_words(error: float) -> str:
    """A validation error as the accuracy it leaves.

    Example:
        >>> level_words(0.07)
        '93 % accuracy'
    """
    return f"{100 * (1 - error):.3g} % accuracy"


def times_words(ratio: Interval, more: str = "sooner", less: str = "later", same: str = "no sooner") -> str:
    """A ratio in words; one whose interval holds 1 is no difference.

    Example:
        >>> times_words(Interval(3.1, 2.5, 3.8, 0.95, 8)), times_words(Interval(1.1, 0.9, 1.3, 0.95, 8))
        ('3.1 times sooner', 'no sooner')
        >>> times_words(Interval(0.5, 0.4, 0.6, 0.95, 8), "less", "more")
        '2.0 times more'
    """
    if ratio.covers(1):
        return same
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
