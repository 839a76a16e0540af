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

from bnexp.stats.gates import Gate
from bnexp.stats.intervals import Interval
from bnexp.stats.sample import Sample

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
    "out of reach",  # INCONCLUSIVE: too few of the declared levels are reached
    "one of many",  # INCONCLUSIVE: a secondary endpoint that does not survive the correction for their number
    "intervals disagree",  # INCONCLUSIVE: the verdict depends on the kind of interval
    "too noisy",  # INCONCLUSIVE: the interval allows both answers
    "maybe too small",  # INCONCLUSIVE: an effect, but perhaps below what matters
    "not finite",  # INCONCLUSIVE: an error could not be computed
]
#: What had to hold, in words, to whether it did.
Gates = Mapping[str, bool | Gate]
T = TypeVar("T")

NO_GATES: Gates = MappingProxyType({})

#: A verdict that comes out again in fewer re-draws than this is fragile (docs/claims.md, O0); so it is in fewer whole repetitions,
#: as soon as this many of them said something else.
STABLE, TOO_OFTEN = 0.8, 2


@dataclass(frozen=True)
class Repeat:
    """What a whole repetition with other seeds, tuning included, said.

    Attributes:
        first_seed: of its reported runs.
        outcome: its verdict.
        effect: None where there is none.
    """

    first_seed: int
    outcome: Outcome
    effect: Interval | None


@dataclass(frozen=True)
class Verdict:
    """What the evidence says of a claim, and why.

    Attributes:
        outcome: one of three.
        reason: one plain sentence.
        effect: the primary interval; None for an exact claim.
        word: the kind of outcome, to be read where there is no room for the reason.
        stability: share of re-draws over seeds, those of gates too, and tuning that give this outcome; None where nothing is
            drawn, as in algebra.
        p: of a secondary endpoint, adjusted for their number; None where there is none.
        repeats: what whole repetitions said; empty where none was made.
    """

    outcome: Outcome
    reason: str
    effect: Interval | None
    word: Word
    stability: float | None = None
    p: float | None = None
    repeats: tuple[Repeat, ...] = ()

    @property
    def interval(self) -> Interval:
        """The effect, of a verdict that has one.

        Raises:
            ValueError: it has none.
        """
        if self.effect is None:
            raise ValueError(f"no effect to speak of: {self.reason}")
        return self.effect

    @property
    def fragile(self) -> bool:
        """Whether another draw of the same experiment would often say something else, or has done so."""
        unsteady = self.stability is not None and self.stability < STABLE
        otherwise = len(self.repeats) - self.again
        return unsteady or (otherwise >= TOO_OFTEN and self.again < STABLE * len(self.repeats))

    @property
    def again(self) -> int:
        """How many whole repetitions gave this outcome."""
        return sum(one.outcome == self.outcome for one in self.repeats)

    @property
    def share_words(self) -> str:
        """The stability in words, e.g. ``97 %`` or ``fragile, 64 %``; empty where there is none.

        Example:
            >>> Verdict("SUPPORTED", "", None, "as claimed", 0.64).share_words
            'fragile, 64 %'
        """
        share = [] if self.stability is None else [f"{100 * self.stability:.0f} %"]
        return ", ".join([*(["fragile"] if self.fragile else []), *share])

    @property
    def repeat_words(self) -> str:
        """The repetitions in words, e.g. ``1 of 3``; empty where there is none."""
        return f"{self.again} of {len(self.repeats)}" if self.repeats else ""


def decide(
    judge_one: Callable[[T], Verdict],
    evidence: Sequence[T],
    effect_of: Callable[[T], Interval],
    gates: Gates,
    min_seeds: int,
    drawn: str = "seed",
) -> Verdict:
    """The verdict of a rule on several intervals of one effect.

    Power comes first, so that a smoke run can say nothing else; then the gates; then the intervals, which have to agree.

    Args:
        judge_one: the rule for one piece of evidence.
        evidence: what ``judge_one`` takes, the primary one first.
        effect_of: the interval of a piece of evidence, for its number of seeds and to be shown.
        gates: what had to hold, in words, to whether it did.
        min_seeds: fewer seeds are not powered.
        drawn: what there is one number of, in words.

    Raises:
        ValueError: no evidence.
    """
    if not evidence:
        raise ValueError("there is no evidence to judge")
    effects = [effect_of(one) for one in evidence]
    effect, num_seeds = effects[0], min(interval.num_seeds for interval in effects)
    if num_seeds < min_seeds:
        reason = f"{counted(num_seeds, drawn)} cannot decide it; {min_seeds} are needed."
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
        drawn: what the numbers of a sample are of.
    """

    per_case: ClassVar[bool] = False
    prefix: ClassVar[str] = ""
    drawn: str = "seed"

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

    def result_in_words(self, sample: Sample, verdict: Verdict, unit: str = "") -> ResultWords:  # noqa: ARG002 - rules of cases count them
        """What came out; ``unit`` is that of a difference."""
        assert verdict.effect is not None
        suffix = " ×" if self.marks().log else f" {unit}" if unit else ""
        return ResultWords(verdict.effect.in_words(self.prefix, suffix), counted(verdict.effect.num_seeds, self.drawn))

    def p_value(self, sample: Sample, verdict: Verdict, rng: np.random.Generator) -> float | None:  # noqa: ARG002
        """p of the value that the verdict rules out, two-sided; 1 for an open verdict, None where nothing is estimated."""
        return None

    def redraw(self, sample: Sample, rng: np.random.Generator) -> list[Outcome]:  # noqa: ARG002
        """The outcome of each of ``redraws.REDRAWS`` re-draws of seeds and tuning; empty where nothing is drawn."""
        return []


def stability(verdict: Verdict, again: Sequence[Outcome], gates: Gates, rng: np.random.Generator) -> float | None:
    """Share of re-draws with a verdict's outcome, which is open wherever a gate fails; None where no draw of seeds changes it.

    Args:
        verdict: of the evidence as it is.
        again: what the rule says of each re-draw of the sample; empty where nothing is drawn.
        gates: what had to hold; those that are no :class:`Gate` are the same in every draw.
        rng: draws the gates' seeds.
    """
    sure = verdict.word == "gate failed" and any(not isinstance(gate, Gate) and not gate for gate in gates.values())
    if not again or sure or verdict.word == "not powered":
        return None
    hold_R = np.ones(len(again), bool)
    for gate in gates.values():
        if isinstance(gate, Gate):
            hold_R &= gate.redrawn(rng)
    same_R = np.array([outcome == verdict.outcome for outcome in again])
    return float(np.where(hold_R, same_R, verdict.outcome == "INCONCLUSIVE").mean())


def counted(count: int, noun: str) -> str:
    """A number with its noun.

    Example:
        >>> counted(1, "seed"), counted(1200, "run")
        ('1 seed', '1,200 runs')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
