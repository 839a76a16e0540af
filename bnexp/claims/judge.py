"""From records to verdicts: what the report and the terminal show of a claim. No torch, no Hydra, no configs."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bnexp.claims.base import Claim, Evidence
from bnexp.claims.repetitions import Repetition, read_repetitions, repeats_of
from bnexp.claims.runs import Cell, Runs, kept_cells
from bnexp.claims.variants import variant_of
from bnexp.claims.words import about
from bnexp.parallel import for_each
from bnexp.records.reader import RunRecord
from bnexp.rng import numpy_stream
from bnexp.stats.holm import holm
from bnexp.stats.verdict import Verdict, stability

#: Fewer are judged in less time than a process takes to start.
CLAIMS_A_PROCESS = 5

#: What an adjusted p has to be at most.
LEVEL = 0.05


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
        sentence: what was found, as the claim says it; empty where there is no verdict.
    """

    claim: Claim
    budget: str
    runs: Runs
    missing: tuple[Cell, ...] = ()
    failure: str = ""
    evidence: Evidence | None = None
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    sentence: str = ""

    @property
    def primary(self) -> Verdict | None:
        """The verdict on the primary endpoint."""
        return next(iter(self.verdicts.values()), None)


def judge_all(claims: Sequence[Claim], budget: str, folder: Path) -> list[Judged]:
    """Every claim whose list of runs was kept by ``bnexp reproduce`` in ``folder``, each followed by its variants.

    What whole repetitions said (``repetitions.jsonl``) is put to the primary verdicts.
    """
    kept, repetitions = kept_cells(folder, budget), read_repetitions(folder, budget)
    opened: dict[str, RunRecord] = {}
    asked = []
    for claim in claims:
        own = [key for key in sorted(kept) if key.split(" ")[0] == claim.id and (not claim.variant or key == claim.key)]
        asked += [Runs(variant_of(claim, key.split(" ")[1:]), budget, kept[key], folder, opened) for key in own]

    def judged(place: int) -> Judged:
        return replace(judge_runs(asked[place]), claim=None, runs=None)  # type: ignore[arg-type] # asker has them

    answers = for_each(judged, len(asked), CLAIMS_A_PROCESS, "judging")
    return [_repeated(replace(one, claim=runs.claim, runs=runs), repetitions) for one, runs in zip(answers, asked, strict=True)]


def _repeated(judged: Judged, repetitions: Sequence[Repetition]) -> Judged:
    verdicts = dict(judged.verdicts)
    for name in list(verdicts)[:1]:
        verdicts[name] = replace(verdicts[name], repeats=repeats_of(judged.claim, repetitions))
    return replace(judged, verdicts=verdicts)


def judge_runs(runs: Runs) -> Judged:
    """Judge a claim on its records; the draws are seeded by its name, so the verdict is the same each time."""
    claim, budget = runs.claim, runs.budget
    judged = Judged(claim=claim, budget=budget, runs=runs, missing=tuple(runs.missing()))
    if judged.missing or not runs.cells:
        return judged
    try:
        evidence = claim.analyse(runs, numpy_stream(0, f"claims/{claim.id}"))
        verdicts = judge(claim, evidence)
        sentence = about(claim, claim.say(evidence, verdicts))
    except Exception as error:  # one analysis' bug must not cost the other claims their verdicts
        return replace(judged, failure=in_one_line(error))
    if budget == "smoke":  # whatever its numbers
        reason = "A smoke budget decides nothing; it shows that everything runs."
        verdicts = {
            name: Verdict("INCONCLUSIVE", reason, verdict.effect, "not powered") for name, verdict in verdicts.items()
        }
        sentence = reason
    return replace(judged, evidence=evidence, verdicts=verdicts, sentence=sentence)


def judge(claim: Claim, evidence: Evidence) -> dict[str, Verdict]:
    """The verdict on each endpoint, the primary one first, each with its stability; the secondary ones are Holm-corrected.

    Raises:
        ValueError: the analysis returned other endpoints than were declared, or a sample that its rule cannot judge.
    """
    analysed = {**evidence.samples, **evidence.out_of_reach}
    if set(analysed) != set(claim.endpoints):
        raise ValueError(f"{claim.id} declared {sorted(claim.endpoints)} and analysed {sorted(analysed)}")
    verdicts = {name: _judge_one(claim, name, evidence) for name in claim.endpoints}
    return {**verdicts, **_corrected(claim, evidence, verdicts)}


def _judge_one(claim: Claim, name: str, evidence: Evidence) -> Verdict:
    if name in evidence.out_of_reach:
        return Verdict("INCONCLUSIVE", evidence.out_of_reach[name], None, "out of reach")
    rule, sample = claim.endpoints[name].rule, evidence.samples[name]
    verdict = rule.judge(sample, numpy_stream(0, f"claims/{claim.id}/{name}"), evidence.gates)
    rng = numpy_stream(0, f"claims/{claim.id}/{name}/again")
    return replace(verdict, stability=stability(verdict, rule.redraw(sample, rng), evidence.gates, rng))


def _corrected(claim: Claim, evidence: Evidence, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """The secondary verdicts with their adjusted p; one that does not survive the correction is open."""
    p_values: dict[str, float] = {}
    for name in list(claim.endpoints)[1:]:
        if name in evidence.samples:
            rng = numpy_stream(0, f"claims/{claim.id}/{name}/p")
            p = claim.endpoints[name].rule.p_value(evidence.samples[name], verdicts[name], rng)
            p_values |= {} if p is None else {name: p}
    corrected = {}
    for name, p in holm(p_values).items():
        verdict = replace(verdicts[name], p=p)
        if verdict.outcome != "INCONCLUSIVE" and p > LEVEL:
            reason = f"{verdict.reason} Corrected for {len(p_values)} further endpoints p is {p:.2g}, which is not below {LEVEL:g}."
            verdict = replace(verdict, outcome="INCONCLUSIVE", word="one of many", reason=reason)
        corrected[name] = verdict
    return corrected


def in_one_line(error: Exception) -> str:
    """An exception with the place it comes from: of an analysis, or of a figure that could not be drawn."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"
