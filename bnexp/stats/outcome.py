"""What a rule says of a claim, and what every rule has in common; the rules themselves are in ``verdict.py``.

A claim with too few seeds, with a failed gate, or whose intervals lead to different verdicts is inconclusive whatever its rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from bnexp.stats.interval import Interval

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
Gates = Mapping[str, bool]
Evidence = TypeVar("Evidence")

NO_GATES: Gates = MappingProxyType({})
#: Below six seeds a two-sided sign test cannot reach 0.05.
MIN_SEEDS = 6


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


class Rule(ABC):
    """What evidence supports and what contradicts a claim."""

    @abstractmethod
    def judge(self, *evidence: Any, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on evidence of one effect; ``gates`` maps what had to hold, in words, to whether it did."""


def agree(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict that several intervals of one effect share; INCONCLUSIVE when they lead to different ones.

    The first is shown, unless a wider one has a milder word (``too small`` rather than ``reversed``).

    Raises:
        ValueError: no verdicts.
    """
    if not verdicts:
        raise ValueError("there are no verdicts to compare")
    first = verdicts[0]
    if len({verdict.outcome for verdict in verdicts}) > 1:
        told = ", ".join(f"{verdict.outcome} by {verdict.effect:.3g}" for verdict in verdicts)
        reason = f"The verdict depends on the kind of interval: {told}."
        return Verdict("INCONCLUSIVE", reason, first.effect, "intervals disagree")
    if len({verdict.word for verdict in verdicts}) > 1:
        return max(verdicts, key=lambda verdict: verdict.effect.high - verdict.effect.low if verdict.effect else 0.0)
    return first


def decide(
    judge_one: Callable[[Evidence], Verdict],
    evidence: Sequence[Evidence],
    effects: Sequence[Interval],
    gates: Gates,
    min_seeds: int,
) -> Verdict:
    """The verdict of a rule on several intervals of one effect.

    Power comes first, so that a smoke run can say nothing else; then the gates; then the intervals, which have to agree.

    Args:
        judge_one: the rule for one piece of evidence.
        evidence: what ``judge_one`` takes, the primary one first.
        effects: the interval of each, for its number of seeds and to be shown.
        gates: what had to hold, in words, to whether it did.
        min_seeds: fewer seeds are not powered.

    Raises:
        ValueError: no evidence.
    """
    if not evidence:
        raise ValueError("there is no evidence to judge")
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
    return agree([judge_one(one) for one in evidence])


def failed_gate(gates: Gates, effect: Interval | None) -> Verdict | None:
    """The verdict that names the gates that failed; None when all held."""
    failed = [name for name, passed in gates.items() if not passed]
    if not failed:
        return None
    reason = f"What had to hold first did not: {'; '.join(failed)}."
    return Verdict("INCONCLUSIVE", reason, effect, "gate failed")
