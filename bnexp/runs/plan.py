"""Which runs a set of claims needs, which of them exist, and what the rest will cost. Creates nothing; imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bnexp.claims.base import Budget, Claim, Grid
from bnexp.claims.runs import Cell, Runs, select
from bnexp.config.compose import compose
from bnexp.config.identity import measurement_id, run_id
from bnexp.config.schema import ExperimentConfig, with_value
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import data_fingerprint


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to carry out: a training config, or a claim's measurement at a seed."""

    run_id: str
    claim: str
    seed: int
    config: ExperimentConfig | None = None
    overrides: tuple[str, ...] = ()


@dataclass
class Plan:
    """The runs of a reproduction, as far as they are known.

    Attributes:
        claims: what is to be judged.
        budget: what it may cost.
        runs_dir: where run folders are.
        cells: claim id to its cells.
        jobs: run id to job; claims that need the same run share it.
        determined: ids of the claims whose reported runs are in the plan.
        hashes: of users' data files, each looked at once.
    """

    claims: Sequence[Claim]
    budget: Budget
    runs_dir: Path
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    determined: set[str] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)

    def add(self, claim: Claim, cell: Cell, job: Job) -> None:
        """A claim needs a run."""
        self.cells.setdefault(claim.id, []).append(cell)
        self.jobs.setdefault(job.run_id, job)

    def runs(self, claim: Claim) -> Runs:
        """The records of a claim's cells."""
        return Runs(self.cells.get(claim.id, []), self.runs_dir)

    def is_tuned(self, claim: Claim) -> bool:
        """Whether all tuning runs of a claim are complete, so that its reported runs can be determined."""
        return not any(cell.regime == "tuning" for cell in self.runs(claim).missing())

    def missing(self) -> list[Job]:
        """Jobs whose run is not complete."""
        incomplete = {cell.run_id for cells in self.cells.values() for cell in Runs(cells, self.runs_dir).missing()}
        return [job for name, job in self.jobs.items() if name in incomplete]

    def undetermined(self) -> int:
        """How many reported runs there can be at most of claims that are not tuned yet, before it is known which coincide."""
        total = 0
        for claim in self.claims:
            for _, grid in _grids(claim, self.budget) if claim.id not in self.determined else ():
                regimes = 2 if grid.tuning and grid.tuning.same_as else 1
                total += len(_arms(grid)) * regimes * grid.num_seeds.get(self.budget.name, self.budget.num_seeds)
        return total


def make_plan(claims: Sequence[Claim], budget: Budget, runs_dir: Path) -> Plan:
    """Every measurement and tuning run, and the reported runs of the claims whose tuning runs are complete already."""
    plan = Plan(claims, budget, runs_dir)
    for claim in claims:
        for index, grid in _grids(claim, budget):
            if grid.tuning:
                values = grid.tuning.values[:: budget.every_nth_value]
                for arm, value, seed in itertools.product(_arms(grid), values, budget.tuning_seeds()):
                    _add_run(plan, claim, grid, index, "tuning", arm, value, seed)
        _add_measurements(plan, claim)
    add_reported(plan)
    return plan


def add_reported(plan: Plan) -> None:
    """The reported runs of the claims that are tuned by now, with each tuned value as the complete tuning runs choose it."""
    for claim in plan.claims:
        if claim.id in plan.determined or not plan.is_tuned(claim):
            continue
        plan.determined.add(claim.id)
        for index, grid in _grids(claim, plan.budget):
            seeds = range(grid.num_seeds.get(plan.budget.name, plan.budget.num_seeds))
            runs, tuning = plan.runs(claim), grid.tuning
            chosen = {name: select(runs.tuning(name, index)) for name in map(" ".join, _arms(grid))} if tuning else {}
            for arm in _arms(grid):
                values = {"own": chosen.get(" ".join(arm))}
                if tuning and tuning.same_as:
                    values["same"] = chosen.get(tuning.same_as)
                for (regime, value), seed in itertools.product(values.items(), seeds):
                    _add_run(plan, claim, grid, index, regime, arm, value, seed)


def _grids(claim: Claim, budget: Budget) -> Iterator[tuple[int, Grid]]:
    return ((index, grid) for index, grid in enumerate(claim.grids) if budget.name in grid.budgets)


def _arms(grid: Grid) -> list[tuple[str, ...]]:
    """Every combination of ``vary`` as overrides."""
    keys = list(grid.vary)
    return [
        tuple(f"{k}={v}" for k, v in zip(keys, combination, strict=True))
        for combination in itertools.product(*grid.vary.values())
    ]


def _add_run(
    plan: Plan, claim: Claim, grid: Grid, index: int, regime: str, arm: tuple[str, ...], value: float | None, seed: int
) -> None:
    shared = (*grid.overrides, *grid.budgets[plan.budget.name], *arm)
    config = with_value(_composed(shared, str(plan.runs_dir)), "seed", seed)
    overrides = (*shared, f"seed={seed}")
    if value is not None and grid.tuning:
        config = with_value(config, grid.tuning.key, value)
        overrides = (*shared, f"{grid.tuning.key}={value!r}", f"seed={seed}")
    name = run_id(config, data_fingerprint(config.dataset, resolve_data_dir(config.data_dir), plan.hashes))
    cell = Cell(
        grid=index, regime=regime, arm=" ".join(arm), value=value, seed=seed, run_id=name,
        command=" ".join(["bnexp train", *overrides]),
    )  # fmt: skip
    plan.add(claim, cell, Job(run_id=name, claim=claim.id, seed=seed, config=config, overrides=overrides))


def _add_measurements(plan: Plan, claim: Claim) -> None:
    if claim.measurement is None:
        return
    for seed in range(claim.measurement.num_seeds[plan.budget.name]):
        name = measurement_id(claim.id, plan.budget.name, seed, claim.measurement.measure)
        command = f"bnexp reproduce {claim.id} budget={plan.budget.name}"
        cell = Cell(grid=-1, regime="own", arm="measurement", value=None, seed=seed, run_id=name, command=command)
        plan.add(claim, cell, Job(run_id=name, claim=claim.id, seed=seed))


@cache
def _composed(overrides: tuple[str, ...], runs_dir: str) -> ExperimentConfig:
    """Hydra's answer for an arm, asked once: seeds and tuned values are put in afterwards."""
    return with_value(compose(overrides), "runs_dir", runs_dir)
