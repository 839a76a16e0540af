"""One line a claim: what the first table of the page, the README's table and the terminal show."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bnexp.claims.base import Claim
from bnexp.claims.judged import Judged
from bnexp.report.words import NOT_JUDGED, NOT_RUN, cost_words, told
from bnexp.stats.interval import Interval

#: Secondary endpoints that are named in the table; more are counted.
MOST_NAMED = 2


@dataclass(frozen=True)
class Row:
    """A claim with its verdict on the primary endpoint, in words.

    Attributes:
        id, section, statement, source, disputed_by: as declared.
        outcome: one of three, NOT RUN or NOT JUDGED.
        word: the kind of outcome, and where secondary endpoints say otherwise; where there is none, why.
        effect: the estimate with its interval; empty where there is none.
        count: seeds or cases.
        cost: computing time of all runs behind the claim.
    """

    id: str
    section: str
    statement: str
    source: str
    disputed_by: str
    outcome: str
    word: str
    effect: str
    count: str
    cost: str


def row(judged: Judged) -> Row:
    """The line of one claim."""
    claim = judged.claim
    declared = (claim.id, claim.section, claim.statement, claim.source, claim.disputed_by)
    if judged.failure:
        return Row(*declared, NOT_JUDGED, f"the analysis broke down: {judged.failure}", "", "", "")
    if judged.primary is None or judged.evidence is None:
        return Row(*declared, NOT_RUN, missing_words(judged), "", "", "")
    name, endpoint = next(iter(claim.endpoints.items()))
    words = told(endpoint.rule, judged.evidence.samples[name], judged.primary)
    cost = cost_words(seconds_spent([judged]))
    word = "; ".join([judged.primary.word, *_otherwise(judged)])
    return Row(*declared, judged.primary.outcome, word, words.effect, words.count, cost)


def _otherwise(judged: Judged) -> list[str]:
    """Secondary endpoints with a verdict that is not the primary's: by name where they are few, else counted."""
    primary, *others = judged.verdicts.items()
    told = []
    for outcome in ("CONTRADICTED", "SUPPORTED"):
        names = [f'"{name}"' for name, verdict in others if verdict.outcome == outcome]
        if names and outcome != primary[1].outcome:
            few = len(names) <= MOST_NAMED
            told.append(f"{outcome.lower()}: {', '.join(names) if few else f'{len(names)} further endpoints'}")
    return told


def missing_words(judged: Judged) -> str:
    """How many runs are missing; before tuning is done, the reported runs cannot be counted yet."""
    if not judged.runs.cells:
        return (
            "never started" if _declares_runs(judged.claim, judged.budget) else f"no runs with budget={judged.budget}"
        )
    regimes = {cell.regime for cell in judged.runs.cells}
    more = " at least" if regimes == {"tuning"} else ""
    count = len(judged.missing)
    return f"{count} of{more} {len(judged.runs.cells)} runs missing"


def _declares_runs(claim: Claim, budget: str) -> bool:
    return bool(claim.measurement) or any(budget in grid.budgets for grid in claim.grids)


def seconds_spent(judged: Sequence[Judged]) -> float:
    """Training and measuring time of all complete runs, each counted once however many claims share it."""
    records = {cell.run_id: one.runs.record(cell) for one in judged for cell in one.runs.cells}
    clocks = [record.end.get("seconds", {}) for record in records.values() if record.complete]
    return sum(clock.get("train", 0.0) + clock.get("measure", 0.0) for clock in clocks)


def section_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts ``B2`` before ``B10``.

    Example:
        >>> sorted(["B10", "B2", "A5"], key=section_key)
        ['A5', 'B2', 'B10']
    """
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in re.findall(r"\d+|\D+", name))


def as_json(judged: Judged) -> dict[str, Any]:
    """One claim for machines; a limit that is not there is null."""
    claim = judged.claim
    return {
        "claim": claim.id,
        "section": claim.section,
        "statement": claim.statement,
        "budget": judged.budget,
        "outcome": row(judged).outcome,
        "missing_runs": len(judged.missing),
        "missing": [cell.run_id for cell in judged.missing],
        "failure": judged.failure,
        "seconds": round(seconds_spent([judged]), 3),
        "gates": dict(judged.evidence.gates) if judged.evidence else {},
        "endpoints": {
            name: {
                "outcome": verdict.outcome,
                "word": verdict.word,
                "reason": verdict.reason,
                "effect": _interval_json(verdict.effect),
            }
            for name, verdict in judged.verdicts.items()
        },
    }


def _interval_json(effect: Interval | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    values = {"estimate": effect.estimate, "low": effect.low, "high": effect.high}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {**finite, "level": effect.level, "num_seeds": effect.num_seeds}
