"""Carry out a plan on all cores, one thread for each process; a failure never stops the rest; killed and repeated, it continues."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bnexp.claims.base import BUDGETS, Budget, Claim
from bnexp.claims.variants import from_key, overrides_of
from bnexp.config.plugins import import_plugins
from bnexp.config.values import with_value
from bnexp.records.ended import Ended
from bnexp.records.header import measurement_header
from bnexp.records.writer import RunWriter
from bnexp.runs.folder import done_before, occupied, told_if_disk_refuses
from bnexp.runs.many import Asked, attempt, count_side_by_side, expected_steps, in_words, kind_of, stacks, step_of
from bnexp.runs.plan import Job, Plan, advance, own_dir_word
from bnexp.runs.stop import stoppable
from bnexp.runs.workers import Kind, Workers
from bnexp.schedule import WORTH_COMPILING_TOGETHER
from bnexp.stats.verdict import counted

if TYPE_CHECKING:
    from bnexp.runs.cluster import Queue


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the missing runs that is this process's: number ``index`` of ``count`` machines on one runs folder."""

    index: int = 0
    count: int = 1

    def has(self, job: Job) -> bool:
        """Whether a job is in this share; the same on every machine."""
        return int(job.run_id.rsplit("-", 1)[-1], 16) % self.count == self.index


#: Called as a job ends, with how it ended.
Tell = Callable[[Job, Ended], None]


def reproduce(
    plan: Plan, num_jobs: int, share: Share, tell: Tell, tried: Collection[str] = ()
) -> list[tuple[Job, Ended]]:
    """Run whatever is missing, and then whatever that makes known: more tuning, and what is reported of claims that are tuned.

    Args:
        plan: of the claims; it grows as tuning goes on.
        num_jobs: processes at a time.
        share: which of the missing runs are ours.
        tell: called as each job ends.
        tried: names of runs that are missing because they failed, and are not to be tried again.

    Returns:
        The jobs that have no result, and why.
    """
    with stoppable(), Workers(num_jobs) as workers:
        done = carry_out(plan, workers, share, tell, tried, grow=True)
        while advance(plan):  # other machines share the runs folder
            done += carry_out(plan, workers, share, tell, {*tried, *(job.run_id for job, _ in done)}, grow=True)
    return [(job, ended) for job, ended in done if not ended.complete]


def reproduce_in_rounds(
    plan: Plan,
    queue: Queue,
    num_shares: int,
    do: Callable[[int, Collection[str]], list[tuple[str, Ended]]],
    line: Callable[[str], None],
    look: Callable[[str], None],
) -> list[tuple[Job, Ended]]:
    """The same on a cluster, a job a share: submit, wait for all, see from the records what is missing then, and again.

    A job that dies costs the runs that it had not ended a round. A round that ends no run is the last.

    Args:
        plan: of the claims; it grows as tuning goes on.
        queue: where the jobs go.
        num_shares: jobs in a round, at most.
        do: what a job does: :func:`reproduce` of this share, without runs that have failed; returns which have no result, and why.
        line: is told of rounds and of jobs that end.
        look: is told once a second what the jobs are doing.

    Returns:
        The jobs of the plan that have no result, and why.
    """
    from bnexp.runs.cluster import Lost

    without: dict[str, Ended] = {}
    tried: tuple[str, ...] = ()
    last, number = set[str](), 0
    with stoppable():
        while True:
            while advance(plan):
                pass
            left = [job for job in plan.missing() if job.run_id not in tried]
            if not left or {job.run_id for job in left} == last:
                break
            last, number = {job.run_id for job in left}, number + 1
            shares = [one for one in range(num_shares) if any(Share(index=one, count=num_shares).has(job) for job in left)]
            line(f"round {number}: {counted(len(left), 'run')} missing, {counted(len(shares), 'job')}")
            with closing(queue.work(do, [(one, tried) for one in shares], look)) as work:
                for place, answer in work:
                    if isinstance(answer, Lost):
                        line(f"share {shares[place]}: {answer}; what it has not ended goes into the next round")
                    else:
                        line(f"share {shares[place]}: done")
                        without |= dict(answer)
            tried = tuple(name for name, ended in without.items() if ended.status in ("failed", "refused"))
    never = Ended(status="not run", reason="no job has ended it")
    return [(job, without.get(job.run_id, never)) for job in plan.missing()]


def carry_out(
    plan: Plan, workers: Workers, share: Share, tell: Tell, tried: Collection[str] = (), *, grow: bool = False
) -> list[tuple[Job, Ended]]:
    """Missing jobs in parallel, then, one after the other, those that must be alone on the machine because they measure time.

    Args:
        plan: what is needed.
        workers: the processes.
        share, tell: as :func:`reproduce`.
        tried: names of runs that are missing because they failed just now.
        grow: once the last tuning run of a claim has ended, go on with what that makes known, while others still tune.
    """
    asked = set(tried)

    def due(claims: Collection[str] | None = None) -> list[Job]:
        jobs = [job for job in plan.missing(claims) if share.has(job) and job.run_id not in asked]
        asked.update(job.run_id for job in jobs)
        return jobs

    jobs = due()
    do = partial(carry_out_group, budget=plan.budget.name, runs_dir=plan.runs_dir, plugins=plan.plugins, own=own_dir_word(plan))
    groups = _groups([job for job in jobs if not _alone(job)], plan, workers.count)
    tuning = plan.tuning()
    results = []
    for number, answers in workers.work(groups, do, kind=_kind):
        for job, ended in zip(groups[number], answers, strict=True):
            results.append((job, ended))
            tell(job, ended)
            for runs in tuning.values():
                runs.discard(job.run_id)
        tuned = [key for key, runs in tuning.items() if not runs]
        if grow and tuned:
            advance(plan, tuned)
            groups += _groups(due(tuned), plan, workers.count)
            tuning = {key: runs for key, runs in tuning.items() if runs} | plan.tuning(tuned)
    for job in filter(_alone, jobs):
        (ended,) = do([job])
        results.append((job, ended))
        tell(job, ended)
    return results


def _kind(group: Sequence[Job]) -> Kind:
    configs = [job.config for job in group if job.config]
    return kind_of(configs) if configs else Kind()


def carry_out_group(
    jobs: Sequence[Job], budget: str, runs_dir: Path, plugins: tuple[str, ...], own: tuple[str, ...] = ()
) -> list[Ended]:
    """A measurement, or runs that train as one program, in whatever process; an exception becomes a reason."""
    first = jobs[0]
    if first.config is not None:
        return attempt([Asked(job.config, job.overrides) for job in jobs if job.config])
    start = time.perf_counter()
    try:
        import_plugins(plugins)
        ended = measure(_claim(first), BUDGETS[budget], first.seed, first.run_id, runs_dir, own)
    except Exception as error:  # one measurement's bug must not cost the others their turn
        ended = in_words(error)
    return [replace(ended, seconds=time.perf_counter() - start)]


def measure(
    claim: Claim, budget: Budget, seed: int, run_id: str, runs_dir: Path, own: tuple[str, ...] = ()
) -> Ended:
    """Carry out a claim's own measurement at a seed, unless its record is complete: a folder, a header and an end as of any run.

    Args:
        claim, budget, seed: what is measured.
        run_id, runs_dir: where its record goes.
        own: see :func:`~bnexp.runs.plan.own_dir_word`.
    """
    assert claim.measurement is not None
    import torch

    setting = (
        (claim.control, claim.subject, (*overrides_of(claim, "{subject}"), *own)) if claim.measurement.takes_subject else ()
    )

    torch.set_num_threads(1)
    with occupied(runs_dir, run_id) as place:
        if place.complete:
            return done_before(place.complete)
        with told_if_disk_refuses(place.folder):
            header = measurement_header(run_id=run_id, claim=claim.id, budget=budget.name, seed=seed)
            writer = RunWriter.begin(place.folder, header)
            start = time.perf_counter()
            writer.arrays("measure", claim.measurement.measure(seed, budget.name, *setting))
            writer.end({"status": "finished", "seconds": {"measure": round(time.perf_counter() - start, 3)}})
    return Ended(status="finished", folder=str(place.folder))


def _groups(jobs: Sequence[Job], plan: Plan, num_jobs: int) -> list[list[Job]]:
    """Measurements by themselves, and runs as they are best trained."""
    measurements = [[job] for job in jobs if job.config is None]
    trained = [job for job in jobs if job.config is not None]
    if not trained:
        return measurements
    configs = [job.config for job in settle_compiling(trained, plan) if job.config]
    trained = [replace(job, config=config) for job, config in zip(trained, configs, strict=True)]
    rows = stacks(configs, count_side_by_side(configs, num_jobs))
    return measurements + [[trained[place] for place in row] for row in rows]


def settle_compiling(jobs: Sequence[Job], plan: Plan) -> list[Job]:
    """Runs whose kind of network is trained for long enough in the whole plan are compiled: it is compiled once for all of them.

    Runs that are complete already count as well, so that a reproduction which is continued trains as it began; and so do those that
    claims which are not tuned yet will ask for.
    """
    from bnexp.engine.step import reason_for_eager

    steps: Counter[str] = Counter()
    for job in plan.jobs.values():
        if job.config:
            steps[job.step] += expected_steps(job.config)
    for config, count in plan.to_come():
        steps[step_of(config)] += count * expected_steps(config)

    def settled(job: Job) -> Job:
        config = job.config
        assert config is not None
        import_plugins(config.plugins)
        worth = steps[job.step] >= WORTH_COMPILING_TOGETHER and not reason_for_eager(config)
        if config.execution.compile == "auto" and worth:
            return replace(job, config=with_value(config, "execution.compile", "on"))
        return job

    return [settled(job) for job in jobs]


def _alone(job: Job) -> bool:
    measurement = _claim(job).measurement
    return job.config is None and measurement is not None and not measurement.parallel


def _claim(job: Job) -> Claim:
    claim = from_key(job.claim)
    assert claim is not None, job.claim
    return claim
