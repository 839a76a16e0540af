"""Carry out a plan: one process a core, one thread each; a failure never stops the rest; killed and repeated, it continues."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from bnexp.claims import CLAIMS
from bnexp.claims.base import Claim
from bnexp.claims.budget import BUDGETS, Budget
from bnexp.records.reader import RunRecord
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
    """Run whatever is missing: first what tunes and measures, then, once all tuning is complete, what is reported.

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
    if not any(job.config for job in plan.missing()):
        add_reported(plan, claims)
        done += carry_out(plan, num_jobs, share, tell)
    return plan, [one for one in done if one.reason]


def carry_out(plan: Plan, num_jobs: int, share: Share, tell: Callable[[Done], None]) -> list[Done]:
    """Missing jobs in parallel, then, one after the other, those that must be alone on the machine because they measure time."""
    jobs = [job for job in plan.missing() if share.has(job)]
    os.environ["BNEXP_THREADS"] = "1"
    results = []
    together = [delayed(carry_out_one)(job, plan.budget.name, plan.runs_dir) for job in jobs if not _alone(job)]
    for done in Parallel(n_jobs=num_jobs, return_as="generator_unordered")(together):
        tell(done)
        results.append(done)
    for job in filter(_alone, jobs):
        results.append(carry_out_one(job, plan.budget.name, plan.runs_dir))
        tell(results[-1])
    return results


def carry_out_one(job: Job, budget: str, runs_dir: Path) -> Done:
    """One job, in whatever process; an exception becomes a reason."""
    start = time.perf_counter()
    try:
        record = _run(job, budget, runs_dir)
    except Exception as error:  # one run's bug must not cost the others their turn
        return Done(job, "failed", time.perf_counter() - start, f"{type(error).__name__}: {error}")
    return Done(job, record.status, time.perf_counter() - start)


def _run(job: Job, budget: str, runs_dir: Path) -> RunRecord:
    if job.config is None:
        from bnexp.runs.measure import measure

        return measure(CLAIMS[job.claim], BUDGETS[budget], job.seed, job.run_id, runs_dir)
    from bnexp.runs.execute import execute

    return execute(job.config, job.overrides, show=False).record


def _alone(job: Job) -> bool:
    measurement = CLAIMS[job.claim].measurement
    return job.config is None and measurement is not None and not measurement.parallel
