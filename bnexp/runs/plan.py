"""Which runs a set of claims needs, which of them exist, and what the rest will cost. Creates nothing; imports no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path

from bnexp.claims.base import Budget, Claim, Grid, Tuning
from bnexp.claims.runs import Cell, Runs
from bnexp.claims.tuning import chosen, next_runs
from bnexp.claims.variants import overrides_of
from bnexp.config.compose import OWN_DIR, compose
from bnexp.config.identity import measurement_id, run_id
from bnexp.config.schema import ExperimentConfig
from bnexp.config.values import with_value
from bnexp.data import SOURCES
from bnexp.data.cache import default_data_dir, resolve_data_dir
from bnexp.data.source import data_fingerprint
from bnexp.records.reader import RunRecord
from bnexp.runs.many import step_of
from bnexp.runs.settle import settled


@dataclass(frozen=True, kw_only=True)
class Repetition(Budget):
    """A budget with other seeds throughout: a repetition of the whole protocol, tuning included.

    Attributes:
        first_seed: of the reported ones; those that tune begin at 1000 + this.
    """

    first_seed: int = 0

    def tuning_seeds(self, tuning: Tuning) -> tuple[int, ...]:
        """Seeds that choose."""
        return tuple(seed + self.first_seed for seed in super().tuning_seeds(tuning))


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to carry out: a training config, or the measurement of a claim (or of its variant, see ``Claim.key``) at a seed."""

    run_id: str
    claim: str
    seed: int
    config: ExperimentConfig | None = None
    overrides: tuple[str, ...] = ()

    @cached_property
    def step(self) -> str:
        """See :func:`~bnexp.runs.many.step_of`; empty for a measurement."""
        return step_of(self.config) if self.config else ""


@dataclass
class Plan:
    """The runs of a reproduction, as far as they are known.

    Attributes:
        claims: what is to be judged.
        budget: what it may cost.
        runs_dir: where run folders are.
        plugins: modules that brought claims, norms, models or data.
        extra_dir: a user's own config folder, for what plugins brought.
        cells: ``Claim.key`` to its cells.
        jobs: run id to job; claims that need the same run share it.
        determined: keys of the claims whose reported runs are in the plan.
        hashes: of users' data files, each looked at once.
        complete: run id to the record of a complete run, read once; nobody changes it any more.
    """

    claims: Sequence[Claim]
    budget: Budget
    runs_dir: Path
    plugins: tuple[str, ...] = ()
    extra_dir: Path | None = None
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    determined: set[str] = field(default_factory=set)
    hashes: dict[str, str] = field(default_factory=dict)
    complete: dict[str, RunRecord] = field(default_factory=dict)

    @property
    def first_seed(self) -> int:
        """The first reported seed."""
        return self.budget.first_seed if isinstance(self.budget, Repetition) else 0

    def seeds(self, count: int) -> range:
        """So many reported seeds."""
        return range(self.first_seed, self.first_seed + count)

    def add(self, claim: Claim, cell: Cell, job: Job) -> None:
        """A claim needs a run."""
        self.cells.setdefault(claim.key, []).append(cell)
        self.jobs.setdefault(job.run_id, job)

    def runs(self, claim: Claim) -> Runs:
        """The records of a claim's cells."""
        opened = dict(self.complete)
        runs = Runs(claim, self.budget.name, self.cells.get(claim.key, []), self.runs_dir, opened)
        lacking = {cell.run_id for cell in runs.missing()}
        self.complete |= {cell.run_id: opened[cell.run_id] for cell in runs.cells if cell.run_id not in lacking}
        return runs

    def missing(self, claims: Collection[str] | None = None) -> list[Job]:
        """Jobs, of all claims or of some, whose run is not complete."""
        asked = [claim for claim in self.claims if claims is None or claim.key in claims]
        incomplete = {cell.run_id for claim in asked for cell in self.runs(claim).missing()}
        if claims is None:
            return [job for name, job in self.jobs.items() if name in incomplete]
        return [self.jobs[name] for name in sorted(incomplete)]

    def tuning(self, claims: Collection[str] | None = None) -> dict[str, set[str]]:
        """Runs that are missing of a claim's tuning, by its key; without those that lack none."""
        found = {
            claim.key: {cell.run_id for cell in self.runs(claim).missing() if cell.regime == "tuning"}
            for claim in self.claims
            if claims is None or claim.key in claims
        }
        return {key: runs for key, runs in found.items() if runs}

    def undetermined(self) -> int:
        """About how many runs are to come of claims that are not tuned yet: the choice decides how many there are."""
        return sum(len(grid.arms) * per_arm for _, _, grid, per_arm in self._open_grids())

    def to_come(self) -> list[tuple[ExperimentConfig, int]]:
        """A config of each arm that :meth:`undetermined` speaks of, and its number of runs; what claims share counts once."""
        counts: dict[str, tuple[ExperimentConfig, int]] = {}
        for claim, index, grid, per_arm in self._open_grids():
            tried = {cell.arm: self.jobs[cell.run_id].config for cell in self.cells.get(claim.key, ()) if cell.grid == index}
            for config in filter(None, (tried.get(arm) for arm in grid.arms)):
                same = repr(with_value(with_value(config, "seed", 0), "optimizer.lr", 1.0))
                counts[same] = config, max(per_arm, counts.get(same, (config, 0))[1])
        return list(counts.values())

    def _open_grids(self) -> Iterator[tuple[Claim, int, Grid, int]]:
        """Grids of claims that are not tuned yet, and about how many runs of each arm are to come."""
        for claim in self.claims:
            for index, grid in _grids(claim, self) if claim.key not in self.determined else ():
                regimes = 2 if grid.tuning and grid.tuning.same_as else 1
                per_arm = regimes * grid.num_seeds.get(self.budget.name, self.budget.num_seeds)
                if grid.tuning:
                    per_arm += CONTENDERS * (len(self.budget.tuning_seeds(grid.tuning)) - self.budget.num_first_seeds)
                yield claim, index, grid, per_arm


#: Of tuning runs, by budget: they choose by validation, so that nobody reads their test scores. Those of ``full`` were published
#: before ``train.test`` was there, and have them.
UNTESTED = {"smoke": ("train.test=false",), "quick": ("train.test=false",)}

#: Values of an arm that are tried at every tuning seed, about.
CONTENDERS = 3


def make_plan(
    claims: Sequence[Claim],
    budget: Budget,
    runs_dir: Path,
    plugins: tuple[str, ...] = (),
    extra_dir: Path | None = None,
) -> Plan:
    """Every run that can be named today: measurements, and of each claim what its complete runs allow to say."""
    plan = Plan(claims, budget, runs_dir, plugins, extra_dir)
    for claim in claims:
        _add_measurements(plan, claim)
    while advance(plan):
        pass
    return plan


def advance(plan: Plan, claims: Collection[str] | None = None) -> bool:
    """Add what complete runs have made known: more tuning runs of a claim, or, where it is tuned, its reported ones.

    Args:
        plan: it grows.
        claims: keys of those to look at; all unless given.

    Returns:
        Whether the plan has grown.
    """
    grown = False
    for claim in plan.claims:
        if claim.key in plan.determined or (claims is not None and claim.key not in claims):
            continue
        if any(cell.regime == "tuning" for cell in plan.runs(claim).missing()):
            continue
        more = _more_tuning(plan, claim)
        if not more:
            plan.determined.add(claim.key)
            more = _reported(plan, claim)
        for add in more:
            add()
        grown |= bool(more)
    return grown


def _more_tuning(plan: Plan, claim: Claim) -> list[Callable[[], None]]:
    runs = plan.runs(claim)
    return [
        partial(_add_run, plan, claim, grid, index, "tuning", arm, value, seed)
        for index, grid in _grids(claim, plan)
        for arm in grid.arms
        if grid.tuning
        for value, seed in next_runs(grid.tuning, plan.budget, runs.scores(arm, index))
    ]


def _reported(plan: Plan, claim: Claim) -> list[Callable[[], None]]:
    added: list[Callable[[], None]] = []
    for index, grid in _grids(claim, plan):
        seeds = plan.seeds(grid.num_seeds.get(plan.budget.name, plan.budget.num_seeds))
        runs, tuning = plan.runs(claim), grid.tuning
        values: dict[str, list[float]] = {}
        if tuning:
            values = {arm: chosen(tuning, plan.budget, runs.scores(arm, index)) for arm in grid.arms}
        for arm in grid.arms:
            regimes: dict[str, Sequence[float | None]] = {"own": values.get(arm, [None])}
            if tuning and tuning.same_as:
                regimes["same"] = values[tuning.same_as]
            added += [
                partial(_add_run, plan, claim, grid, index, regime, arm, value, seed)
                for regime, picked in regimes.items()
                for value, seed in itertools.product(picked, seeds)
            ]
    return added


def _grids(claim: Claim, plan: Plan) -> Iterator[tuple[int, Grid]]:
    """A claim's grids at this budget, without those whose data are not on this machine."""
    for index, grid in enumerate(claim.grids):
        here = SOURCES[grid.needs].here if grid.needs else None
        if plan.budget.name in grid.budgets and (here is None or here(default_data_dir())):
            yield index, grid


def _add_run(
    plan: Plan, claim: Claim, grid: Grid, index: int, regime: str, arm: str, value: float | None, seed: int
) -> None:
    words = grid.arms[arm].format(control=claim.control, subject=claim.subject).split()
    tuning: tuple[str, ...] = ()
    if grid.tuning and regime == "tuning":
        tuning = (*UNTESTED.get(plan.budget.name, ()), *grid.tuning.overrides.get(plan.budget.name, ()))
    shared = last_of_each(
        (*grid.overrides, *grid.budgets[plan.budget.name], *tuning, *words, *overrides_of(claim, grid.arms[arm]))
    )
    config = with_value(_composed(shared, plan.extra_dir, str(plan.runs_dir)), "seed", seed)
    overrides = (*shared, f"seed={seed}")
    if value is not None and grid.tuning:
        config = with_value(config, grid.tuning.key, value)
        overrides = (*shared, f"{grid.tuning.key}={value!r}", f"seed={seed}")
    own = own_dir_word(plan)
    overrides = (*own, *overrides)
    name = run_id(config, data_fingerprint(config.dataset, resolve_data_dir(config.data_dir), plan.hashes))
    cell = Cell(
        grid=index, regime=regime, arm=arm, value=value, seed=seed, run_id=name,
        command=" ".join(["bnexp train", *overrides]),
    )  # fmt: skip
    plan.add(claim, cell, Job(run_id=name, claim=claim.key, seed=seed, config=config, overrides=overrides))


def last_of_each(overrides: Sequence[str]) -> tuple[str, ...]:
    """Overrides with the last value of each key, where it stood last: what is said later counts.

    Example:
        >>> last_of_each(["dataset=mnist", "train.steps=10", "dataset=mnist_5k"])
        ('train.steps=10', 'dataset=mnist_5k')
    """
    last = {override.partition("=")[0].lstrip("+~"): place for place, override in enumerate(overrides)}
    return tuple(override for place, override in enumerate(overrides) if place in last.values())


def _add_measurements(plan: Plan, claim: Claim) -> None:
    if claim.measurement is None:
        return
    layers = []
    if claim.variant and claim.measurement.takes_subject:  # refused here, not seed by seed
        words = overrides_of(claim, "{subject}")
        layers = [
            _composed(last_of_each((*layer.split(), *words)), plan.extra_dir, str(plan.runs_dir))
            for layer in (claim.control, claim.subject)
        ]
    for seed in plan.seeds(claim.measurement.num_seeds[plan.budget.name]):
        name = measurement_id(claim.id, plan.budget.name, seed, claim.measurement.measure, claim.variant, layers)
        command = f"bnexp reproduce {claim.key} budget={plan.budget.name}"
        cell = Cell(grid=-1, regime="own", arm="measurement", value=None, seed=seed, run_id=name, command=command)
        plan.add(claim, cell, Job(run_id=name, claim=claim.key, seed=seed))


def own_dir_word(plan: Plan) -> tuple[str, ...]:
    """The override that names the user's own config folder, if there is one."""
    return (f"{OWN_DIR}{plan.extra_dir}",) if plan.extra_dir else ()


@cache
def _composed(overrides: tuple[str, ...], extra_dir: Path | None, runs_dir: str) -> ExperimentConfig:
    """Hydra's answer for an arm, asked once: seeds and tuned values are put in afterwards."""
    return with_value(settled(compose(overrides, extra_dir)), "runs_dir", runs_dir)
