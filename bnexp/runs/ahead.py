"""How far a reproduction is, counted in what its runs are expected to cost."""

from __future__ import annotations

import time

from bnexp.runs.plan import Job, Plan
from bnexp.runs.price import Prices

#: Expected seconds of a measurement, and of a run of a kind without a price: those of a short run.
SHORT = 1.0

#: Seconds at the expected pace that count like as many at the pace found.
MOST_TRUST = 120.0


class Ahead:
    """How much of a reproduction is done, and about how long the rest takes: each run weighs what it is expected to cost.

    The expected pace is corrected by the one found, little by little: the first runs of all compile, and would foretell hours.

    Attributes:
        count: runs that have ended.
        done: expected seconds of those on one process.
    """

    def __init__(self, plan: Plan, prices: Prices, num_processes: int) -> None:
        self._plan, self._prices, self._num_processes = plan, prices, num_processes
        self._known = set(plan.jobs)
        self._works = [self._work(job) for job in plan.missing()]
        self.count, self.done, self._started = 0, 0.0, time.monotonic()

    def _work(self, job: Job) -> float:
        return self._prices.of(job.config) if job.config and self._prices.known(job.config) else SHORT

    def ended(self, job: Job) -> None:
        """A run has ended, and perhaps made others known."""
        self.count += 1
        self.done += self._work(job)
        if len(self._plan.jobs) > len(self._known):
            self._works += [self._work(one) for run_id, one in self._plan.jobs.items() if run_id not in self._known]
            self._known = set(self._plan.jobs)

    @property
    def num_runs(self) -> int:
        """All runs, those that tuning has not determined yet included, about."""
        return max(self.count, len(self._works) + self._plan.undetermined())

    @property
    def total(self) -> float:
        """Expected seconds of all of them on one process; an undetermined one weighs the mean of those that are known."""
        mean = sum(self._works) / max(len(self._works), 1)
        return max(self.done, mean * self.num_runs)

    @property
    def left(self) -> float:
        """Seconds from now on."""
        total, done = self.total / self._num_processes, self.done / self._num_processes
        trust = min(MOST_TRUST, total / 10)
        return (total - done) * (time.monotonic() - self._started + trust) / max(done + trust, 1e-9)
