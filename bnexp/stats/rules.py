"""The rules that reach verdicts: what would support a claim and what would contradict it, fixed before its runs.

Each rule is one class that computes its evidence from a sample, judges it, says in words what it asks and what came out, and gives
a picture its marks. Nothing elsewhere asks which rule it has, so a further rule is one further class here.

Every rule is three-way: supported and contradicted can never both hold, and what is neither is inconclusive. The rule decides which
statistics are computed, so that no analysis can choose its own. Importing this file loads no scipy: claims declare their rules, and
listing claims has to be quick.

Source: Lakens 2017 for smallest effects of interest and equivalence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from bnexp.stats.drawn import (
    by_bootstrap_and_t,
    decide_at_95,
    interval_sentence,
    needs_words,
    on_scale,
    p_of,
    redrawn_effects,
)
from bnexp.stats.intervals import (
    LEVELS,
    Interval,
    TwoLevels,
    intervals_by_bootstrap,
    intervals_by_t,
    number_words,
)
from bnexp.stats.sample import Sample, Scale
from bnexp.stats.verdict import (
    NO_GATES,
    Gates,
    Marks,
    Outcome,
    ResultWords,
    Rule,
    RuleWords,
    Verdict,
    counted,
    decide,
    failed_gate,
)

#: Below six seeds a two-sided sign test cannot reach 0.05.
MIN_SEEDS = 6


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
        drawn: what the numbers of a sample are of, where they are not of seeds: repetitions of a timing, say.

    Raises:
        ValueError: a ``smallest`` that is not on the claimed side of ``null``, or a ratio that is not positive.
    """

    null: float
    smallest: float
    scale: Scale = "difference"
    direction: Literal[1, -1] = 1
    min_seeds: int = MIN_SEEDS
    drawn: str = "seed"

    def __post_init__(self) -> None:
        if self.direction not in (1, -1) or not (self.smallest - self.null) * self.direction > 0:
            raise ValueError(
                f"smallest ({self.smallest:g}) must lie on the claimed side ({self.direction:+d}) of null ({self.null:g})"
            )
        if self.scale == "ratio" and min(self.null, self.smallest) <= 0:
            raise ValueError(f"ratios are positive, got null {self.null:g} and smallest {self.smallest:g}")

    def evidence(self, sample: Sample, rng: np.random.Generator) -> list[Interval]:
        """95 % intervals by bootstrap and by t."""
        return by_bootstrap_and_t(sample, self.scale, rng)

    def decide(self, *evidence: Interval, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on 95 % intervals of one effect (bootstrap and t, say), the primary one first.

        Raises:
            ValueError: no interval, or one at another level.
        """
        return decide_at_95(self._judge_one, evidence, gates, self.min_seeds, self.drawn)

    def _judge_one(self, interval: Interval) -> Verdict:
        sign, beyond, short = self.direction, *(("above", "below") if self.direction > 0 else ("below", "above"))
        low, high = sorted((sign * interval.low, sign * interval.high))
        null, smallest, effect = sign * self.null, sign * self.smallest, interval_sentence(interval, self.scale)
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

    def in_words(self) -> RuleWords:
        side, least, short = ("above", "at least", "below") if self.direction > 0 else ("below", "at most", "above")
        return RuleWords(
            f"The whole 95 % interval of the {self.scale} lies {side} {self.null:g} (no effect), and the estimate is {least} "
            f"{self.smallest:g} (the smallest that matters).",
            f"The whole 95 % interval lies {short} {self.smallest:g}: any effect is too small to matter, or, if it lies {short} "
            f"{self.null:g}, goes the other way.",
            needs_words(self.min_seeds, self.drawn),
        )

    def marks(self) -> Marks:
        beyond = (self.smallest, math.inf) if self.direction > 0 else (-math.inf, self.smallest)
        values = (
            (self.null, f"no effect ({self.null:g})"),
            (self.smallest, f"smallest that matters ({self.smallest:g})"),
        )
        return Marks(values, beyond, self.scale == "ratio")

    def p_value(self, sample: Sample, verdict: Verdict, rng: np.random.Generator) -> float | None:
        """Of no effect, or of the smallest that matters where the verdict is that the effect is too small."""
        ruled_out = self.smallest if verdict.word == "too small" else self.null
        return p_of(ruled_out, sample, self.scale, verdict, rng)

    def redraw(self, sample: Sample, rng: np.random.Generator) -> list[Outcome]:
        """Judged by the t-interval alone, which agrees with the bootstrap wherever a verdict stands."""
        return [self._judge_one(on_scale(effect, self.scale)).outcome for effect in redrawn_effects(sample, self.scale, rng)]


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

    @property
    def low(self) -> float:
        """The lower end of the margin."""
        return 1 / self.margin if self.scale == "ratio" else -self.margin

    def evidence(self, sample: Sample, rng: np.random.Generator) -> list[TwoLevels]:
        """90 and 95 % intervals by bootstrap and by t."""
        return [
            TwoLevels(*intervals_by_bootstrap(sample, self.scale, rng, LEVELS)),
            TwoLevels(*intervals_by_t(sample, self.scale, rng, LEVELS)),
        ]

    def decide(self, *evidence: TwoLevels, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on one effect with its 90 and 95 % intervals (by bootstrap and by t, say), the primary one first.

        Raises:
            ValueError: no evidence.
        """
        return decide(self._judge_one, evidence, lambda levels: levels.wide, gates, self.min_seeds)

    def _judge_one(self, levels: TwoLevels) -> Verdict:
        margin = f"({self.low:.3g}, {self.margin:.3g})"
        if self.low < levels.narrow.low and levels.narrow.high < self.margin:
            reason = f"{interval_sentence(levels.narrow, self.scale)}, inside the margin {margin}."
            return Verdict("SUPPORTED", reason, levels.wide, "as claimed")
        effect = interval_sentence(levels.wide, self.scale)
        if levels.wide.low > self.margin or levels.wide.high < self.low:
            reason = f"{effect}, wholly outside the margin {margin}."
            return Verdict("CONTRADICTED", reason, levels.wide, "different")
        reason = f"{effect}, which reaches both inside and outside the margin {margin}."
        return Verdict("INCONCLUSIVE", reason, levels.wide, "too noisy")

    def in_words(self) -> RuleWords:
        return RuleWords(
            f"The whole 90 % interval of the {self.scale} lies between {self.low:.3g} and {self.margin:.3g} "
            "(two one-sided tests at 5 %).",
            f"The whole 95 % interval lies outside {self.low:.3g} to {self.margin:.3g}. Finding no difference is not evidence of "
            "sameness.",
            needs_words(self.min_seeds),
        )

    def marks(self) -> Marks:
        ends = (self.low, self.margin)
        return Marks(tuple((end, f"margin ({end:.3g})") for end in ends), ends, self.scale == "ratio")

    def p_value(self, sample: Sample, verdict: Verdict, rng: np.random.Generator) -> float | None:
        """Of the margin: the larger of two one-sided tests, or two-sided of the nearer end where the verdict is a difference."""
        found = [p_of(end, sample, self.scale, verdict, rng) or 0.0 for end in (self.low, self.margin)]
        return max(found) / 2 if verdict.outcome == "SUPPORTED" else max(found)

    def redraw(self, sample: Sample, rng: np.random.Generator) -> list[Outcome]:
        """Judged by the t-intervals alone."""
        effects = redrawn_effects(sample, self.scale, rng)
        pairs = (TwoLevels(*(on_scale(effect, self.scale, level) for level in LEVELS)) for effect in effects)
        return [self._judge_one(pair).outcome for pair in pairs]


@dataclass(frozen=True)
class Scaling(Rule):
    """A claim that something grows like a power.

    SUPPORTED: the 95 % interval of the fitted exponent meets ``predicted ± within`` and excludes ``rival``. CONTRADICTED: it
    misses ``predicted ± within``.

    Attributes:
        predicted: the claimed exponent.
        rival: the exponent of the explanation it is to be distinguished from.
        within: how far from ``predicted`` still counts as it (finite widths and depths are not the limit of theory).
        min_seeds: fewer leave the claim undecided.

    Raises:
        ValueError: a negative ``within``, or a ``rival`` that is within it.
    """

    prefix: ClassVar[str] = "exponent "

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

    def evidence(self, sample: Sample, rng: np.random.Generator) -> list[Interval]:
        """95 % intervals of the exponent, by bootstrap and by t."""
        return by_bootstrap_and_t(sample, "difference", rng)

    def decide(self, *evidence: Interval, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on 95 % intervals of the exponent (bootstrap and t, say), the primary one first.

        Raises:
            ValueError: no interval, or one at another level.
        """
        return decide_at_95(self._judge_one, evidence, gates, self.min_seeds)

    def _judge_one(self, interval: Interval) -> Verdict:
        effect, claimed = interval_sentence(interval, "exponent"), f"{self.predicted:.4g} ± {self.within:g}"
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

    def in_words(self) -> RuleWords:
        claimed = f"{self.predicted:.3g} ± {self.within:.3g}"
        return RuleWords(
            f"The 95 % interval of the exponent meets {claimed}, as predicted, and leaves out the rival's {self.rival:.3g}.",
            f"The 95 % interval of the exponent lies wholly outside {claimed}.",
            needs_words(self.min_seeds),
        )

    def marks(self) -> Marks:
        values = ((self.predicted, f"predicted ({self.predicted:.3g})"), (self.rival, f"rival ({self.rival:.3g})"))
        return Marks(values, (self.predicted - self.within, self.predicted + self.within), log=False)

    def p_value(self, sample: Sample, verdict: Verdict, rng: np.random.Generator) -> float | None:
        """Of the rival's exponent, or of the nearest claimed one where the verdict is against the claim."""
        if verdict.outcome == "SUPPORTED":
            return p_of(self.rival, sample, "difference", verdict, rng)
        ends = (self.predicted - self.within, self.predicted + self.within)
        return max(p_of(end, sample, "difference", verdict, rng) or 0.0 for end in ends)

    def redraw(self, sample: Sample, rng: np.random.Generator) -> list[Outcome]:
        """Judged by the t-interval alone."""
        return [self._judge_one(on_scale(effect, "difference")).outcome for effect in redrawn_effects(sample, "difference", rng)]


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

    per_case: ClassVar[bool] = True

    tolerance: float
    min_cases: int = 100

    def __post_init__(self) -> None:
        if not self.tolerance >= 0 or self.min_cases < 1:
            raise ValueError(f"got tolerance {self.tolerance:g} and min_cases {self.min_cases}; at least 0 and 1")

    def evidence(self, sample: Sample, rng: np.random.Generator) -> list[tuple[float, ...]]:  # noqa: ARG002
        """The errors as they are: nothing is estimated."""
        return [sample.arm[0].values[0]]

    def decide(self, *evidence: ArrayLike, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on the errors, one per case; several arrays are several identities of one claim, which must all hold.

        Raises:
            ValueError: no errors.
        """
        flat = [np.abs(np.asarray(errors, float)).ravel() for errors in evidence]
        if not flat or any(errors.size == 0 for errors in flat):
            raise ValueError("there are no errors to judge")
        largest, num_cases = float(max(errors.max() for errors in flat)), min(errors.size for errors in flat)
        failure = failed_gate(gates, None)
        if failure:
            return failure
        if not math.isfinite(largest):
            return Verdict("INCONCLUSIVE", "An error is not a finite number.", None, "not finite")
        found = f"The largest error in {num_cases} cases is {largest:.2g}"
        if largest > self.tolerance:
            return Verdict("CONTRADICTED", f"{found}, above {self.tolerance:g}.", None, "counterexample")
        if num_cases < self.min_cases:
            reason = f"{found}, within {self.tolerance:g}, but {self.min_cases} cases are needed."
            return Verdict("INCONCLUSIVE", reason, None, "not powered")
        return Verdict("SUPPORTED", f"{found}, within {self.tolerance:g}.", None, "as claimed")

    def in_words(self) -> RuleWords:
        return RuleWords(
            f"No error exceeds {self.tolerance:g}, which is rounding, in at least {self.min_cases:,} cases.",
            f"One error exceeds {self.tolerance:g}; a single counterexample is enough.",
            "Nothing is estimated, so there is no interval.",
        )

    def marks(self) -> Marks:
        return Marks(((self.tolerance, f"tolerance {self.tolerance:g}"),), (0.0, self.tolerance), log=True)

    def result_in_words(self, sample: Sample, verdict: Verdict, unit: str = "") -> ResultWords:  # noqa: ARG002
        largest = number_words(float(np.abs(sample.seeds_of(sample.arm)).max()))
        return ResultWords(f"largest error {largest}", counted(sample.num_seeds, "case"))
