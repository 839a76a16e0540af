"""Whole repetitions of published evidence, tuning included, with seeds of their own: what they said of each claim.

``repetitions.jsonl`` stands beside the runs that were repeated, one line a repetition; docs/records.md has its format.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bnexp.claims.base import BUDGETS, Claim
from bnexp.errors import UserError
from bnexp.records.jsonfile import loads, write_text
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Outcome, Repeat, Verdict, counted

if TYPE_CHECKING:
    from bnexp.claims.judge import Judged

FILE = "repetitions.jsonl"


@dataclass(frozen=True)
class Repetition:
    """One line of the file.

    Attributes:
        budget: of the runs.
        first_seed: of the reported runs.
        commit: of the code that made them; empty where it is not known.
        verdicts: claim or variant to ``outcome``, ``effect`` and ``rule``, a hash of rule and numbers of seeds.
    """

    budget: str
    first_seed: int
    commit: str
    verdicts: Mapping[str, Mapping[str, Any]]


def read_repetitions(folder: Path, budget: str) -> list[Repetition]:
    """Those of a budget, by first seed; none where there is no file.

    Raises:
        UserError: a line that is not one.
    """
    return [one for one in _read(folder / FILE) if one.budget == budget]


def add_repetition(folder: Path, new: Repetition) -> None:
    """Put a repetition into the file; of one that is there already, what is said of these claims is replaced."""
    kept = {(one.budget, one.first_seed): one for one in _read(folder / FILE)}
    key = new.budget, new.first_seed
    before = kept[key].verdicts if key in kept else {}
    kept[key] = replace(new, verdicts=dict(sorted({**before, **new.verdicts}.items())))
    lines = [json.dumps(vars(kept[key]), ensure_ascii=False) for key in sorted(kept)]
    write_text(folder / FILE, "\n".join([*lines, ""]))


def repetition_of(judged: Sequence[Judged], budget: str) -> Repetition:
    """What a folder of runs with seeds of their own says, of the claims that it is enough for and that have as many as declared."""
    own = [cell.seed for one in judged for cell in one.runs.cells if cell.regime != "tuning"]
    records = [one.runs.record(cell) for one in judged for cell in one.runs.cells[:1]]
    commits = {(record.header.get("git") or {}).get("commit", "")[:12] for record in records if record.complete}
    verdicts = {}
    for one in judged:
        if one.primary and _as_many_seeds(one, budget):
            effect = one.primary.effect
            told = {"outcome": one.primary.outcome, "effect": effect and _kept(effect), "rule": rule_of(one.claim, budget)}
            verdicts[one.claim.key] = told
    return Repetition(budget, min(own, default=0), ", ".join(sorted(filter(None, commits))), verdicts)


def rule_of(claim: Claim, budget: str) -> str:
    """The primary endpoint, its rule and how many seeds are reported and tuned on, as a hash: verdicts of others are not to be
    compared."""
    name, endpoint = next(iter(claim.endpoints.items()))
    seeds = [number for numbers in _declared_seeds(claim, budget).values() for number in numbers]
    words = [name, endpoint.estimand, *vars(endpoint.rule.in_words()).values(), *seeds]
    return hashlib.blake2b(json.dumps(words).encode(), digest_size=4).hexdigest()


def _declared_seeds(claim: Claim, budget: str) -> dict[int, tuple[int, ...]]:
    """Place of a grid (-1: the measurement) to how many seeds are reported and, where it is tuned, how many choose."""
    usual = BUDGETS[budget]
    declared: dict[int, tuple[int, ...]] = {-1: (claim.measurement.num_seeds[budget],)} if claim.measurement else {}
    for place, grid in enumerate(claim.grids):
        reported = grid.num_seeds.get(budget, usual.num_seeds)
        declared[place] = (reported, len(usual.tuning_seeds(grid.tuning))) if grid.tuning else (reported,)
    return declared


def _as_many_seeds(judged: Judged, budget: str) -> bool:
    """Whether runs that were made by an older declaration have as many seeds as today's; a grid without data has none."""
    found: dict[int, tuple[set[int], set[int]]] = {}
    for cell in judged.runs.cells:
        found.setdefault(cell.grid, (set(), set()))[cell.regime == "tuning"].add(cell.seed)
    declared = _declared_seeds(judged.claim, budget)
    counts = {place: tuple(len(seeds) for seeds in both if seeds) for place, both in found.items()}
    return all(declared.get(place, numbers) == numbers for place, numbers in counts.items())


def repeats_of(claim: Claim, repetitions: Sequence[Repetition]) -> tuple[Repeat, ...]:
    """What each repetition said of a claim's primary endpoint; one by another rule or with another
    number of seeds says nothing."""
    said = [(one, one.verdicts.get(claim.key, {})) for one in repetitions]
    return tuple(
        Repeat(one.first_seed, verdict["outcome"], verdict["effect"] and _interval(verdict["effect"]))
        for one, verdict in said
        if verdict.get("rule") == rule_of(claim, one.budget)
    )


def in_words(primaries: Mapping[str, Verdict]) -> list[str]:
    """A line for each repetition, by first seed: how many verdicts came out as here, and which did not.

    Args:
        primaries: claim or variant to its primary verdict.
    """
    seeds = sorted({one.first_seed for verdict in primaries.values() for one in verdict.repeats})
    return [_one_in_words(seed, primaries) for seed in seeds]


def _one_in_words(seed: int, primaries: Mapping[str, Verdict]) -> str:
    said = {key: one for key, verdict in primaries.items() for one in verdict.repeats if one.first_seed == seed}
    otherwise = [key for key, one in said.items() if one.outcome != primaries[key].outcome]
    opposite = {"SUPPORTED", "CONTRADICTED"}
    reversed_ = [key for key in otherwise if {said[key].outcome, primaries[key].outcome} == opposite]
    told = f"seeds from {seed:,} on: {len(said) - len(otherwise)} of {counted(len(said), 'verdict')} as here"
    told += f", reversed: {', '.join(reversed_)}" if reversed_ else ", none reversed"
    open_ = [key for key in otherwise if key not in reversed_]
    return told + (f"; otherwise: {', '.join(open_)}" if open_ else "")


def _kept(effect: Interval) -> dict[str, Any]:
    """With limits that are not there as null, and the digits that are worth keeping."""
    values = {"estimate": effect.estimate, "low": effect.low, "high": effect.high}
    return {
        **{name: float(f"{value:.4g}") if math.isfinite(value) else None for name, value in values.items()},
        "level": effect.level,
        "num_seeds": effect.num_seeds,
    }


def _interval(kept: Mapping[str, Any]) -> Interval:
    ends = {"estimate": math.inf, "low": -math.inf, "high": math.inf}
    return Interval(**{**kept, **{name: end for name, end in ends.items() if kept[name] is None}})


def _read(file: Path) -> list[Repetition]:
    if not file.is_file():
        return []
    found = []
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        try:
            found.append(_parsed(loads(line)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = f"line {number} of this file is not a repetition ({type(error).__name__})"
            raise UserError(what, got=file, todo="take the line out, and bnexp report RUNS repeats=FOLDER again") from error
    return found


def _parsed(line: Any) -> Repetition:
    one = Repetition(**line)
    for verdict in one.verdicts.values():
        if verdict["outcome"] not in get_args(Outcome):
            raise ValueError(f"no outcome: {verdict}")
        if verdict["effect"]:
            _interval(verdict["effect"])
    if not isinstance(one.first_seed, int) or not isinstance(one.budget, str):
        raise TypeError("no seed or no budget")
    return one
