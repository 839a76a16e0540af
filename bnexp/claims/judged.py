"""A claim with its verdicts: what the report and the terminal show. From records alone; no torch, no Hydra, no configs."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bnexp.claims.base import Claim, Evidence
from bnexp.claims.judge import judge
from bnexp.claims.runs import Cell, Runs, kept_cells
from bnexp.records import paths
from bnexp.rng import numpy_stream
from bnexp.stats.outcome import Verdict


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
        train_seconds: training time behind the claim, summed over its runs (shared runs count for each claim).
    """

    claim: Claim
    budget: str
    runs: Runs
    missing: tuple[Cell, ...]
    failure: str = ""
    evidence: Evidence | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    train_seconds: float = 0.0

    @property
    def primary(self) -> Verdict | None:
        """The verdict on the primary endpoint."""
        return next(iter(self.verdicts.values()), None)


def judge_claim(claim: Claim, budget: str, cells: Sequence[Cell], folder: Path) -> Judged:
    """Judge one claim on the records below ``folder``; the draws are seeded by its name, so the verdict is the same each time."""
    runs = Runs(cells, folder)
    missing = tuple(runs.missing())
    if missing or not cells:
        return Judged(claim=claim, budget=budget, runs=runs, missing=missing)
    rng = numpy_stream(0, f"claims/{claim.id}")
    try:
        evidence = claim.analyse(runs, rng)
        verdicts = judge(claim, evidence, rng)
    except Exception as error:  # one analysis' bug must not cost the other claims their verdicts
        return Judged(claim=claim, budget=budget, runs=runs, missing=(), failure=_where(error))
    if budget == "smoke":
        verdicts = {name: _not_powered(verdict) for name, verdict in verdicts.items()}
    seconds = sum(runs.record(cell).end.get("seconds", {}).get("train", 0.0) for cell in cells)
    return Judged(
        claim=claim, budget=budget, runs=runs, missing=(), evidence=evidence,
        verdicts=verdicts, train_seconds=seconds,
    )  # fmt: skip


def _where(error: Exception) -> str:
    """An exception in one line, with the place of it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"


def _not_powered(verdict: Verdict) -> Verdict:
    """A smoke run shows that the machinery works, whatever its numbers."""
    return Verdict(
        "INCONCLUSIVE", "A smoke budget decides nothing; it shows that everything runs.", verdict.effect, "not powered"
    )


def judge_all(claims: Sequence[Claim], budget: str, folder: Path) -> list[Judged]:
    """Every claim whose list of runs was kept by ``bnexp reproduce`` in ``folder``."""
    kept = kept_cells(folder, budget)
    return [judge_claim(claim, budget, kept[claim.id], folder) for claim in claims if claim.id in kept]


def cells_file(folder: Path, budget: str, claim_id: str) -> Path:
    """Where a claim's list of runs is kept."""
    return folder / paths.CLAIMS / budget / f"{claim_id}.json"
