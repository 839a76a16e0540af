"""From records to verdicts: what the report and the terminal show of a claim. No torch, no Hydra, no configs."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bnexp.claims.base import Claim, Evidence
from bnexp.claims.runs import Cell, Runs, kept_cells
from bnexp.rng import numpy_stream
from bnexp.stats.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim and what the records say of it.

    Attributes:
        claim: as declared.
        budget: of the runs.
        runs: the records, complete or not.
        missing: runs that the verdict would need and that are not there; with any missing, there is no verdict.
        failure: why and where the analysis of complete runs broke down, in one line; then there is no verdict either.
        evidence: what the analysis made of the records; None where there is no verdict.
        verdicts: endpoint to verdict, the primary one first; empty where there is none.
    """

    claim: Claim
    budget: str
    runs: Runs
    missing: tuple[Cell, ...] = ()
    failure: str = ""
    evidence: Evidence | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)

    @property
    def primary(self) -> Verdict | None:
        """The verdict on the primary endpoint."""
        return next(iter(self.verdicts.values()), None)


def judge_all(claims: Sequence[Claim], budget: str, folder: Path) -> list[Judged]:
    """Every claim whose list of runs was kept by ``bnexp reproduce`` in ``folder``."""
    kept = kept_cells(folder, budget)
    return [judge_claim(claim, budget, kept[claim.id], folder) for claim in claims if claim.id in kept]


def judge_claim(claim: Claim, budget: str, cells: Sequence[Cell], folder: Path) -> Judged:
    """Judge one claim on the records below ``folder``; the draws are seeded by its name, so the verdict is the same each time."""
    runs = Runs(cells, folder)
    judged = Judged(claim=claim, budget=budget, runs=runs, missing=tuple(runs.missing()))
    if judged.missing or not cells:
        return judged
    rng = numpy_stream(0, f"claims/{claim.id}")
    try:
        evidence = claim.analyse(runs, rng)
        verdicts = judge(claim, evidence, rng)
    except Exception as error:  # one analysis' bug must not cost the other claims their verdicts
        return replace(judged, failure=in_one_line(error))
    if budget == "smoke":  # whatever its numbers
        reason = "A smoke budget decides nothing; it shows that everything runs."
        verdicts = {
            name: Verdict("INCONCLUSIVE", reason, verdict.effect, "not powered") for name, verdict in verdicts.items()
        }
    return replace(judged, evidence=evidence, verdicts=verdicts)


def judge(claim: Claim, evidence: Evidence, rng: np.random.Generator) -> dict[str, Verdict]:
    """The verdict on each endpoint, the primary one first.

    Raises:
        ValueError: the analysis returned other endpoints than were declared, or a sample that its rule cannot judge.
    """
    if set(evidence.samples) != set(claim.endpoints):
        raise ValueError(f"{claim.id} declared {sorted(claim.endpoints)} and analysed {sorted(evidence.samples)}")
    return {
        name: endpoint.rule.judge(evidence.samples[name], rng, evidence.gates)
        for name, endpoint in claim.endpoints.items()
    }


def in_one_line(error: Exception) -> str:
    """An exception with the place it comes from: of an analysis, or of a figure that could not be drawn."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
