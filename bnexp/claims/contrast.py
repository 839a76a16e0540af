"""What claims share that are judged by one number of each run: contrasts of arms by seed, arms side by side, ends of sentences.

Legend: S reported seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bnexp.claims.runs import Runs, test_points
from bnexp.claims.speed import Arm
from bnexp.records.reader import RunRecord
from bnexp.stats.sample import Sample, Side
from bnexp.stats.verdict import Verdict

#: One number of one run, finite for every run; more is better where an arm is tuned on it.
Read = Callable[[RunRecord], float]


def contrast(runs: Runs, arm: Arm, base: Arm, read: Read = test_points) -> Sample:
    """``arm`` against ``base``, paired by seed, each at the tuned values that count; by default of test accuracy in points."""
    return Sample((_side(runs, arm, read),), (_side(runs, base, read),))


def interaction(runs: Runs, gain: tuple[Arm, Arm], other: tuple[Arm, Arm], read: Read = test_points) -> Sample:
    """How much more the first arm of ``gain`` is above its second one than in ``other``: (a - b) - (c - d)."""
    (a, b), (c, d) = gain, other
    sides = [_side(runs, arm, read) for arm in (a, d, b, c)]
    return Sample(tuple(sides[:2]), tuple(sides[2:]), summed=True)


def by_seed(runs: Runs, arm: Arm, read: Read = test_points) -> np.ndarray:
    """The number of an arm at each seed, averaged over the tuned values that count. Shape ``[S]``."""
    side = _side(runs, arm, read)
    return Sample((side,)).seeds_of((side,))


def side_by_side(runs: Runs, arms: Mapping[str, Arm], read: Read = test_points) -> dict[str, np.ndarray]:
    """Label to the number of its arm at each seed, ``[S]``: what ``figures/arms.py`` draws."""
    return {label: by_seed(runs, arm, read) for label, arm in arms.items()}


def means_words(by_label: Mapping[str, np.ndarray], unit: str = " %", digits: int = 1) -> dict[str, str]:
    """Arms with their mean over the seeds and its range, for ``Evidence.numbers``.

    Example:
        >>> means_words({"with BN": np.array([96.0, 97.0])})
        {'with BN': '96.5 % (96.0 to 97.0)'}
    """
    return {
        label: f"{values.mean():.{digits}f}{unit} ({values.min():.{digits}f} to {values.max():.{digits}f})"
        for label, values in by_label.items()
    }


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


def _side(runs: Runs, arm: Arm, read: Read) -> Side:
    return runs.side(read, arm.name, arm.regime, arm.grid)
