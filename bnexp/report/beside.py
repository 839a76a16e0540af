"""The same claims at another budget: what came out there stands beside each verdict, and of two opposite ones the larger speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexp.claims.base import BUDGETS, Claim
from bnexp.claims.judge import Judged, judge_all
from bnexp.records.archive import is_archive, read_cells


@dataclass(frozen=True)
class Elsewhere:
    """What another budget says about one endpoint.

    Attributes:
        budget: the other one.
        words: its verdict, as a sentence; where it is the opposite of ours, what the budgets differ in as well.
        overruled: whether ours is the opposite of a larger budget's.
    """

    budget: str
    words: str
    overruled: bool


def other_budgets(folder: Path, budget: str) -> dict[str, Path]:
    """Where the runs of other budgets are: in the same folder, or in exports that lie beside it. Smoke decides nothing."""
    near = [folder, *(sorted(folder.resolve().parent.iterdir()) if is_archive(folder) else [])]
    found = {name: place for place in reversed(near) if place == folder or is_archive(place) for name in read_cells(place)}
    return {name: found[name] for name in BUDGETS if name in found and name not in (budget, "smoke")}


def judged_elsewhere(claims: Sequence[Claim], budget: str, folder: Path) -> dict[str, list[Judged]]:
    """Claim or variant to what the other budgets say of it, as far as they judged it."""
    found: dict[str, list[Judged]] = {}
    for other, place in other_budgets(folder, budget).items():
        for one in judge_all(claims, other, place):
            if one.primary:
                found.setdefault(one.claim.key, []).append(one)
    return found


def filled(judged: Sequence[Judged], others: Mapping[str, Sequence[Judged]]) -> list[Judged]:
    """Every claim as it was judged here; one that was not, as the largest other budget judged it (see ``Judged.budget``)."""

    def largest(one: Judged) -> Judged:
        there = others.get(one.claim.key, ())
        return max(there, key=lambda other: list(BUDGETS).index(other.budget), default=one)

    return [one if one.primary else largest(one) for one in judged]


def elsewhere(here: Judged, others: Sequence[Judged]) -> dict[str, list[Elsewhere]]:
    """Endpoint to what each other budget says of it; of algebra, only where it says something else."""
    said: dict[str, list[Elsewhere]] = {name: [] for name in here.claim.endpoints}
    for there in others:
        for name, verdict in there.verdicts.items():
            same = name in here.verdicts and here.verdicts[name].outcome == verdict.outcome
            if not (same and here.claim.endpoints[name].rule.per_case):
                said[name].append(_elsewhere(here, there, name))
    return said


def _elsewhere(here: Judged, there: Judged, name: str) -> Elsewhere:
    ours, theirs = here.verdicts.get(name), there.verdicts[name]
    endpoint, evidence = there.claim.endpoints[name], there.evidence
    sample = evidence.samples.get(name) if evidence else None
    effect = endpoint.rule.result_in_words(sample, theirs, endpoint.unit).effect if sample else ""
    shown = f", {effect}" if effect else ""
    words = f"With budget={there.budget}: {theirs.outcome}{shown} ({theirs.word})."
    if ours is None or {ours.outcome, theirs.outcome} != {"SUPPORTED", "CONTRADICTED"}:
        return Elsewhere(there.budget, words, overruled=False)
    larger = max(here.budget, there.budget, key=list(BUDGETS).index)
    differ = "; ".join(f"{one.budget}: {_runs_in_words(one.claim, one.budget)}" for one in (here, there))
    words += f" That is the opposite. The two differ in what was run ({differ}). What is said is what budget={larger} shows."
    return Elsewhere(there.budget, words, overruled=larger != here.budget)


def _runs_in_words(claim: Claim, budget: str) -> str:
    """What a claim declares for a budget alone."""
    if claim.grids:
        return " ".join(claim.grids[0].budgets.get(budget, ())) or "as the experiment is"
    seeds: Mapping[str, int] = claim.measurement.num_seeds if claim.measurement else {}
    return f"{seeds.get(budget, 0)} seeds of its own measurement"


def overruled(found: Mapping[str, Sequence[Elsewhere]], claim: Claim) -> bool:
    """Whether the claim's primary verdict is the opposite of a larger budget's."""
    return any(one.overruled for one in found.get(next(iter(claim.endpoints)), ()))
