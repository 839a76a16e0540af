"""Carry out a plan: one process a core, one thread each; a failure never stops the rest; killed and repeated, it continues."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Budget, Claim
from bnexp.config.schema import ExperimentConfig, with_value
from bnexp.runs.parallel import Ended, attempt, count_side_by_side, in_parallel
from bnexp.runs.plan import Job, Plan, add_reported, plan_tuning


@dataclass(frozen=True)
class Done:
    """How a job ended: its run's status, or ``failed`` with the reason."""

    job: Job
    status: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the missing runs that is this process's: number ``index`` of ``count`` machines on one runs folder."""

    index: int = 0
    count: int = 1

    def has(self, job: Job) -> bool:
        """Whether a job is in this share; the same on every machine."""
        return int(job.run_id.rsplit("-", 1)[-1], 16) % self.count == self.index


def reproduce(
    claims: Sequence[Claim], budget: Budget, runs_dir: Path, num_jobs: int, share: Share, tell: Callable[[Done], None]
) -> tuple[Plan, list[Done]]:
    """Run whatever is missing: first what tunes and measures, then what is reported of the claims whose tuning is complete.

    Args:
        claims: what is to be judged.
        budget: how much.
        runs_dir: where run folders are.
        num_jobs: processes at a time.
        share: which of the missing runs are ours.
        tell: called as each job ends.

    Returns:
        The plan with all cells that could be determined, and the jobs that failed.
    """
    plan = plan_tuning(claims, budget, runs_dir)
    done = carry_out(plan, num_jobs, share, tell)
    add_reported(plan, [claim for claim in claims if plan.is_tuned(claim)])
    done += carry_out(plan, num_jobs, share, tell, tried={one.job.run_id for one in done})
    return plan, [one for one in done if one.reason]


def carry_out(
    plan: Plan, num_jobs: int, share: Share, tell: Callable[[Done], None], tried: Collection[str] = ()
) -> list[Done]:
    """Missing jobs in parallel, then, one after the other, those that must be alone on the machine because they measure time.

    Args:
        plan: what is needed.
        num_jobs, share, tell: as :func:`reproduce`.
        tried: names of runs that are missing because they failed just now.
    """
    jobs = [job for job in plan.missing() if share.has(job) and job.run_id not in tried]
    results = []
    together = _groups([job for job in jobs if not _alone(job)], plan, num_jobs)
    for groups, num_processes in ((together, num_jobs), ([[job] for job in jobs if _alone(job)], 1)):
        tasks = [partial(carry_out_group, group, plan.budget.name, plan.runs_dir) for group in groups]
        for number, answers in in_parallel(tasks, num_processes):
            for job, ended in zip(groups[number], answers, strict=True):
                results.append(Done(job, ended.status, ended.seconds, ended.reason))
                tell(results[-1])
    return results


def carry_out_group(jobs: Sequence[Job], budget: str, runs_dir: Path) -> list[Ended]:
    """A measurement, or runs that train as one program, in whatever process; an exception becomes a reason."""
    first = jobs[0]
    if first.config is not None:
        return attempt([(job.config, job.overrides) for job in jobs if job.config])
    start = time.perf_counter()
    try:
        from bnexp.runs.measure import measure

        record = measure(CLAIMS[first.claim], BUDGETS[budget], first.seed, first.run_id, runs_dir)
    except Exception as error:  # one measurement's bug must not cost the others their turn
        return [Ended(status="failed", reason=f"{type(error).__name__}: {error}", seconds=time.perf_counter() - start)]
    return [Ended(status=record.status, folder=str(record.folder), seconds=time.perf_counter() - start)]


def _groups(jobs: Sequence[Job], plan: Plan, num_jobs: int) -> list[list[Job]]:
    """Measurements by themselves, and runs as they are best trained."""
    measurements = [[job] for job in jobs if job.config is None]
    trained = [job for job in jobs if job.config is not None]
    if not trained:
        return measurements
    from bnexp.runs.together import stacks

    configs = [job.config for job in settle_compiling(trained, plan) if job.config]
    trained = [replace(job, config=config) for job, config in zip(trained, configs, strict=True)]
    rows = stacks(configs, count_side_by_side(configs, num_jobs))
    return measurements + [[trained[place] for place in row] for row in rows]


def settle_compiling(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Runs whose kind of network is trained for long enough in the whole plan are compiled: a process compiles each kind once.

    Runs that are complete already count as well, so that a reproduction which is continued trains as it began.
    """
    from bnexp.engine.build import import_plugins
    from bnexp.engine.step import WORTH_COMPILING, reason_for_eager

    steps: Counter[str] = Counter()
    for job in plan.jobs.values():
        if job.config:
            steps[_network(job.config)] += job.config.train.steps

    def settled(job: Job) -> Job:
        config = job.config
        assert config is not None
        import_plugins(config.plugins)
        worth = steps[_network(config)] >= WORTH_COMPILING and not reason_for_eager(config)
        if config.execution.compile == "auto" and worth:
            return replace(job, config=with_value(config, "execution.compile", "on"))
        return job

    return [settled(job) for job in jobs]


def _network(config: ExperimentConfig) -> str:
    """What a compiled step depends on, as far as a config tells it."""
    optimizer = with_value(config, "optimizer.lr", 1.0).optimizer
    return repr((config.model, config.norm, optimizer, config.train.batch_size, config.dataset.name))


def _alone(job: Job) -> bool:
    measurement = CLAIMS[job.claim].measurement
    return job.config is None and measurement is not None and not measurement.parallel
