"""What every rule has in common: it is given a sample and gates, and answers with a verdict and with words.

A claim with too few seeds, with a failed gate, or whose intervals lead to different verdicts is inconclusive whatever its rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from bnexp.records.curves import Duration
from bnexp.stats.intervals import Interval
from bnexp.stats.survival import Times

Outcome = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]
Word = Literal[
    "as claimed",  # SUPPORTED
    "reversed",  # CONTRADICTED: an effect, the other way round
    "too small",  # CONTRADICTED: no effect that matters
    "different",  # CONTRADICTED: not equivalent
    "rival fits",  # CONTRADICTED: the rival's exponent, not the predicted one
    "neither fits",  # CONTRADICTED: neither the predicted exponent nor the rival's
    "counterexample",  # CONTRADICTED: an identity that fails
    "not powered",  # INCONCLUSIVE: too few seeds or cases to tell
    "gate failed",  # INCONCLUSIVE: the manipulation did not take place
    "intervals disagree",  # INCONCLUSIVE: the verdict depends on the kind of interval
    "too noisy",  # INCONCLUSIVE: the interval allows both answers
    "maybe too small",  # INCONCLUSIVE: an effect, but perhaps below what matters
    "not finite",  # INCONCLUSIVE: an error could not be computed
]
#: What had to hold, in words, to whether it did.
Gates = Mapping[str, bool]
T = TypeVar("T")

NO_GATES: Gates = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a rule judges: one number per seed for each side, or one per seed where the effect is a single number, or one per case.

    Attributes:
        arm: the side the claim is about, ``[S]``.
        base: the side the claim compares with, ``[S]``; None where the effect is ``arm`` itself.
        observed_base, observed_arm: False where a duration is censored; None where the numbers are no durations.
    """

    arm: tuple[float, ...]
    base: tuple[float, ...] | None = None
    observed_base: tuple[bool, ...] | None = None
    observed_arm: tuple[bool, ...] | None = None

    @classmethod
    def of(cls, arm: ArrayLike, base: ArrayLike | None = None) -> Sample:
        """From arrays or lists; of more than one axis, as errors of many cases and parts, every entry counts."""
        sides = [None if side is None else tuple(np.ravel(np.asarray(side, float)).tolist()) for side in (arm, base)]
        return cls(arm=sides[0] or (), base=sides[1])

    @classmethod
    def durations(cls, base: Sequence[Duration], arm: Sequence[Duration]) -> Sample:
        """Steps to a target of both arms, in the same order of seeds, with what was censored.

        A run that was there before its first step, or diverged in it, counts as one step: a ratio cannot have a zero.
        """
        return cls(
            arm=tuple(float(max(d.steps, 1)) for d in arm),
            base=tuple(float(max(d.steps, 1)) for d in base),
            observed_base=tuple(d.observed for d in base),
            observed_arm=tuple(d.observed for d in arm),
        )

    @property
    def times(self) -> tuple[Times, Times] | None:
        """Both sides as durations, ``base`` first; None where the numbers are no durations."""
        if self.base is None or self.observed_base is None or self.observed_arm is None:
            return None
        return Times(self.base, self.observed_base), Times(self.arm, self.observed_arm)

    @property
    def censored(self) -> bool:
        """Whether any duration is censored."""
        return not all((*(self.observed_base or ()), *(self.observed_arm or ())))

    @property
    def compared_with(self) -> tuple[float, ...]:
        """``base``; an effect that is one number per seed is compared with 0."""
        return self.base if self.base is not None else (0.0,) * len(self.arm)


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim, and why.

    Attributes:
        outcome: one of three.
        reason: one plain sentence.
        effect: the primary interval; None for an exact claim.
        word: the kind of outcome, to be read where there is no room for the reason.
    """

    outcome: Outcome
    reason: str
    effect: Interval | None
    word: Word


def decide(
    judge_one: Callable[[T], Verdict],
    evidence: Sequence[T],
    effect_of: Callable[[T], Interval],
    gates: Gates,
    min_seeds: int,
) -> Verdict:
    """The verdict of a rule on several intervals of one effect.

    Power comes first, so that a smoke run can say nothing else; then the gates; then the intervals, which have to agree.

    Args:
        judge_one: the rule for one piece of evidence.
        evidence: what ``judge_one`` takes, the primary one first.
        effect_of: the interval of a piece of evidence, for its number of seeds and to be shown.
        gates: what had to hold, in words, to whether it did.
        min_seeds: fewer seeds are not powered.

    Raises:
        ValueError: no evidence.
    """
    if not evidence:
        raise ValueError("there is no evidence to judge")
    effects = [effect_of(one) for one in evidence]
    effect, num_seeds = effects[0], min(interval.num_seeds for interval in effects)
    if num_seeds < min_seeds:
        reason = f"{num_seeds} seeds cannot decide it; {min_seeds} are needed."
        return Verdict("INCONCLUSIVE", reason, effect, "not powered")
    failure = failed_gate(gates, effect)
    if failure:
        return failure
    for interval in effects:
        if not interval.holds_its_estimate():
            reason = f"The interval does not hold its own estimate: {interval:.3g}."
            return Verdict("INCONCLUSIVE", reason, effect, "intervals disagree")
    return _shared([judge_one(one) for one in evidence])


def _shared(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that several intervals of one effect share; INCONCLUSIVE when they lead to different ones.

    The first is shown, unless a wider one has a milder word (``too small`` rather than ``reversed``).
    """
    first = verdicts[0]
    if len({verdict.outcome for verdict in verdicts}) > 1:
        each = ", ".join(f"{verdict.outcome} by {verdict.effect:.3g}" for verdict in verdicts)
        reason = f"The verdict depends on the kind of interval: {each}."
        return Verdict("INCONCLUSIVE", reason, first.effect, "intervals disagree")
    if len({verdict.word for verdict in verdicts}) > 1:
        return max(verdicts, key=lambda verdict: verdict.effect.high - verdict.effect.low if verdict.effect else 0.0)
    return first


def failed_gate(gates: Gates, effect: Interval | None) -> Verdict | None:
    """The verdict that names the gates that failed; None when all held."""
    failed = [name for name, passed in gates.items() if not passed]
    if not failed:
        return None
    reason = f"What had to hold first did not: {'; '.join(failed)}."
    return Verdict("INCONCLUSIVE", reason, effect, "gate failed")


@dataclass(frozen=True)
class RuleWords:
    """A rule in words.

    Attributes:
        supports, contradicts: complete sentences; whatever is neither leaves the claim inconclusive.
        needs: what must hold before either can be said.
    """

    supports: str
    contradicts: str
    needs: str


@dataclass(frozen=True)
class ResultWords:
    """An endpoint's result in words.

    Attributes:
        effect: the estimate with its interval, or the largest error.
        count: how many seeds or cases are behind it.
    """

    effect: str
    count: str


@dataclass(frozen=True)
class Marks:
    """What a picture shows beside an effect.

    Attributes:
        values: the values that decide, each with its word, e.g. ``(1.2, "smallest that matters (1.2)")``.
        zone: where the claim would be supported, from and to; infinite where it has no end.
        log: whether effects are ratios, or errors of many sizes.
    """

    values: tuple[tuple[float, str], ...]
    zone: tuple[float, float]
    log: bool


class Rule(ABC):
    """What evidence supports and what contradicts a claim.

    Attributes:
        per_case: whether a sample holds one error per case, rather than one number per seed.
        prefix: what stands before an effect in words.
    """

    per_case: ClassVar[bool] = False
    prefix: ClassVar[str] = ""

    def judge(self, sample: Sample, rng: np.random.Generator, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on a sample; ``gates`` maps what had to hold, in words, to whether it did.

        Raises:
            ValueError: fewer than two seeds, sides of different length, or values that cannot be judged.
        """
        return self.decide(*self.evidence(sample, rng), gates=gates)

    @abstractmethod
    def evidence(self, sample: Sample, rng: np.random.Generator) -> Sequence[Any]:
        """What :meth:`decide` takes, the primary piece first: several intervals of one effect, say."""

    @abstractmethod
    def decide(self, *evidence: Any, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on evidence of one effect."""

    @abstractmethod
    def in_words(self) -> RuleWords:
        """What was fixed before the runs."""

    @abstractmethod
    def marks(self) -> Marks:
        """What a picture of the effect, or of the errors, marks."""

    def result_in_words(self, sample: Sample, verdict: Verdict) -> ResultWords:  # noqa: ARG002 - rules of cases count them
        """What came out."""
        assert verdict.effect is not None
        suffix = " ×" if self.marks().log else ""
        return ResultWords(verdict.effect.in_words(self.prefix, suffix), counted(verdict.effect.num_seeds, "seed"))

    def p_value(self, sample: Sample) -> float | None:  # noqa: ARG002
        """p of no effect; None where that is not what is tested."""
        return None


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "seed"), counted(1200, "run")
        ('1 seed', '1,200 runs')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
