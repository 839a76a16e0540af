"""The rules that reach verdicts: what would support a claim and what would contradict it, fixed before its runs.

Every rule is three-way: supported and contradicted can never both hold, and what is neither is inconclusive. Importing it loads no
scipy: claims declare their rules, and listing claims has to be quick.

Source: Lakens 2017 for smallest effects of interest and equivalence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bnexp.stats.interval import Interval, Scale, TwoLevels
from bnexp.stats.outcome import MIN_SEEDS, NO_GATES, Gates, Rule, Verdict, decide, failed_gate


@dataclass(frozen=True)
class Difference(Rule):
    """A claim that an effect exists and is large enough to matter.

    SUPPORTED: the 95 % interval excludes ``null`` on the claimed side and the estimate reaches ``smallest``. CONTRADICTED: the
    interval excludes ``smallest`` and everything beyond it.

    Attributes:
        null: the effect that means none: 0 for a difference, 1 for a ratio.
        smallest: the smallest effect of interest, on the claimed side of ``null``.
        scale: whether effects are differences or ratios.
        direction: +1 when the claim is of effects above ``null``, -1 when below.
        min_seeds: fewer leave the claim undecided.

    Raises:
        ValueError: a ``smallest`` that is not on the claimed side of ``null``, or a ratio that is not positive.
    """

    null: float
    smallest: float
    scale: Scale = "difference"
    direction: Literal[1, -1] = 1
    min_seeds: int = MIN_SEEDS

    def __post_init__(self) -> None:
        if self.direction not in (1, -1) or not (self.smallest - self.null) * self.direction > 0:
            raise ValueError(
                f"smallest ({self.smallest:g}) must lie on the claimed side ({self.direction:+d}) of null ({self.null:g})"
            )
        if self.scale == "ratio" and min(self.null, self.smallest) <= 0:
            raise ValueError(f"ratios are positive, got null {self.null:g} and smallest {self.smallest:g}")

    def judge(self, *intervals: Interval, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on 95 % intervals of one effect (bootstrap and t, say), the primary one first.

        Raises:
            ValueError: no interval, or one at another level.
        """
        _require_level(intervals, 0.95)
        return decide(self._judge_one, intervals, intervals, gates, self.min_seeds)

    def _judge_one(self, interval: Interval) -> Verdict:
        sign, beyond, short = self.direction, *(("above", "below") if self.direction > 0 else ("below", "above"))
        low, high = sorted((sign * interval.low, sign * interval.high))
        null, smallest, effect = sign * self.null, sign * self.smallest, _told(interval, self.scale)
        if high < null:
            reason = f"{effect}, wholly {short} {self.null:g}: the opposite of the claim."
            return Verdict("CONTRADICTED", reason, interval, "reversed")
        if high < smallest:
            reason = f"{effect}, wholly {short} {self.smallest:g}, the smallest effect of interest."
            return Verdict("CONTRADICTED", reason, interval, "too small")
        if low <= null:
            reason = f"{effect}, which allows both no effect ({self.null:g}) and one of interest ({self.smallest:g})."
            return Verdict("INCONCLUSIVE", reason, interval, "too noisy")
        if sign * interval.estimate < smallest:
            reason = f"{effect}, {beyond} {self.null:g}, but the estimate falls short of {self.smallest:g}."
            return Verdict("INCONCLUSIVE", reason, interval, "maybe too small")
        reason = f"{effect}, wholly {beyond} {self.null:g}, and the estimate reaches {self.smallest:g}."
        return Verdict("SUPPORTED", reason, interval, "as claimed")


@dataclass(frozen=True)
class Equivalence(Rule):
    """A claim that two arms do the same within a margin; no difference found is not evidence of none.

    SUPPORTED: the 90 % interval lies inside the margin. CONTRADICTED: the 95 % interval lies wholly outside it.

    Attributes:
        margin: differences inside (-margin, margin), or ratios inside (1/margin, margin), count as the same.
        scale: whether effects are differences or ratios.
        min_seeds: fewer leave the claim undecided.

    Raises:
        ValueError: a margin that is not positive, or for ratios not above 1.
    """

    margin: float
    scale: Scale = "difference"
    min_seeds: int = MIN_SEEDS

    def __post_init__(self) -> None:
        least = 1 if self.scale == "ratio" else 0
        if not self.margin > least:
            raise ValueError(f"the margin of a {self.scale} must be above {least}, got {self.margin:g}")

    def judge(self, *evidence: TwoLevels, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on one effect with its 90 and 95 % intervals (by bootstrap and by t, say), the primary one first.

        Raises:
            ValueError: no evidence.
        """
        return decide(self._judge_one, evidence, [levels.wide for levels in evidence], gates, self.min_seeds)

    def _judge_one(self, levels: TwoLevels) -> Verdict:
        low = 1 / self.margin if self.scale == "ratio" else -self.margin
        margin = f"({low:.3g}, {self.margin:.3g})"
        if low < levels.narrow.low and levels.narrow.high < self.margin:
            reason = f"{_told(levels.narrow, self.scale)}, inside the margin {margin}."
            return Verdict("SUPPORTED", reason, levels.wide, "as claimed")
        effect = _told(levels.wide, self.scale)
        if levels.wide.low > self.margin or levels.wide.high < low:
            reason = f"{effect}, wholly outside the margin {margin}."
            return Verdict("CONTRADICTED", reason, levels.wide, "different")
        reason = f"{effect}, which reaches both inside and outside the margin {margin}."
        return Verdict("INCONCLUSIVE", reason, levels.wide, "too noisy")


@dataclass(frozen=True)
class Scaling(Rule):
    """A claim that something grows like a power.

    SUPPORTED: the 95 % interval of the fitted exponent meets ``predicted ± within`` and excludes ``rival``. CONTRADICTED: it
    misses ``predicted ± within``.

    Attributes:
        predicted: the claimed exponent.
        rival: the exponent of the explanation to be told from it.
        within: how far from ``predicted`` still counts as it (finite widths and depths are not the limit of theory).
        min_seeds: fewer leave the claim undecided.

    Raises:
        ValueError: a negative ``within``, or a ``rival`` that is within it.
    """

    predicted: float
    rival: float
    within: float
    min_seeds: int = MIN_SEEDS

    def __post_init__(self) -> None:
        if not 0 <= self.within < abs(self.rival - self.predicted):
            raise ValueError(
                f"within ({self.within:g}) must be at least 0 and leave the rival ({self.rival:g}) "
                f"outside {self.predicted:g} ± within"
            )

    def judge(self, *intervals: Interval, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on 95 % intervals of the exponent (bootstrap and t, say), the primary one first.

        Raises:
            ValueError: no interval, or one at another level.
        """
        _require_level(intervals, 0.95)
        return decide(self._judge_one, intervals, intervals, gates, self.min_seeds)

    def _judge_one(self, interval: Interval) -> Verdict:
        effect, claimed = _told(interval, "exponent"), f"{self.predicted:.4g} ± {self.within:g}"
        meets = interval.low <= self.predicted + self.within and interval.high >= self.predicted - self.within
        if meets and interval.covers(self.rival):
            reason = f"{effect}, which allows both the predicted {claimed} and the rival's {self.rival:.4g}."
            return Verdict("INCONCLUSIVE", reason, interval, "too noisy")
        if meets:
            reason = f"{effect}, which agrees with the predicted {claimed} and not with the rival's {self.rival:.4g}."
            return Verdict("SUPPORTED", reason, interval, "as claimed")
        if interval.covers(self.rival):
            reason = f"{effect}, which agrees with the rival's {self.rival:.4g} and not with the predicted {claimed}."
            return Verdict("CONTRADICTED", reason, interval, "rival fits")
        reason = f"{effect}, which agrees neither with the predicted {claimed} nor with the rival's {self.rival:.4g}."
        return Verdict("CONTRADICTED", reason, interval, "neither fits")


@dataclass(frozen=True)
class Exact(Rule):
    """A claim of algebra: an identity that holds to rounding in every case tried; no seeds needed.

    SUPPORTED: no error exceeds ``tolerance``. CONTRADICTED: one does, however few the cases.

    Attributes:
        tolerance: largest error that counts as rounding.
        min_cases: fewer cases (random shapes) without a counterexample leave the claim undecided.

    Raises:
        ValueError: a negative tolerance, or fewer than one case asked for.
    """

    tolerance: float
    min_cases: int = 100

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or self.min_cases < 1:
            raise ValueError(f"got tolerance {self.tolerance:g} and min_cases {self.min_cases}; at least 0 and 1")

    def judge(self, *errors: ArrayLike, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on the errors, one a case; several arrays are several identities of one claim, which must all hold.

        Raises:
            ValueError: no errors.
        """
        flat = [np.abs(np.asarray(array, float)).ravel() for array in errors]
        if not flat or any(array.size == 0 for array in flat):
            raise ValueError("there are no errors to judge")
        largest, num_cases = float(max(array.max() for array in flat)), min(array.size for array in flat)
        failure = failed_gate(gates, None)
        if failure:
            return failure
        if not math.isfinite(largest):
            return Verdict("INCONCLUSIVE", "An error is not a finite number.", None, "not finite")
        told = f"The largest error in {num_cases} cases is {largest:.2g}"
        if largest > self.tolerance:
            return Verdict("CONTRADICTED", f"{told}, above {self.tolerance:g}.", None, "counterexample")
        if num_cases < self.min_cases:
            reason = f"{told}, within {self.tolerance:g}, but {self.min_cases} cases are needed."
            return Verdict("INCONCLUSIVE", reason, None, "not powered")
        return Verdict("SUPPORTED", f"{told}, within {self.tolerance:g}.", None, "as claimed")


def _require_level(intervals: Sequence[Interval], level: float) -> None:
    for interval in intervals:
        if interval.level != level:
            raise ValueError(f"this rule needs {level:.0%} intervals, got one of {interval.level:.0%}")


def _told(interval: Interval, quantity: str) -> str:
    limit = f"{interval.level:.0%} lower limit {interval.low:.3g}"
    if math.isinf(interval.high):
        return (
            f"The {quantity} is at least {interval.estimate:.3g} ({limit})"
            if interval.low
            else f"The {quantity} is unknown"
        )
    limits = f"[{interval.low:.3g}, {interval.high:.3g}]"
    return f"The {quantity} is {interval.estimate:.3g} ({interval.level:.0%} interval {limits})"
