"""The time that a reproduction still takes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bnexp.runs import ahead as ahead_of
from bnexp.runs.ahead import Ahead
from bnexp.runs.plan import Job
from bnexp.runs.price import PER_RUN, Prices, kind


def test_the_time_left_starts_at_what_is_expected_and_comes_to_what_is_found(make, monkeypatch):
    """Ten runs of 20 expected seconds each on two processes that take 10; the first takes 60, since it compiles."""
    config = make("train.steps=1000")
    prices = Prices({kind(config): (20 - PER_RUN) / 1000}, {})
    jobs = [Job(run_id=str(number), claim="", seed=number, config=config) for number in range(10)]
    plan = SimpleNamespace(jobs={one.run_id: one for one in jobs[:6]}, missing=lambda: jobs[:6], undetermined=lambda: 4)
    clock = iter([0, 60, *range(65, 110, 5)])
    monkeypatch.setattr(ahead_of.time, "monotonic", lambda: next(clock))
    ahead = Ahead(plan, prices, 2)
    assert (ahead.num_runs, ahead.total) == (10, pytest.approx(200))
    left = []
    for number, one in enumerate(jobs):
        if number == 5:
            plan.jobs |= {one.run_id: one for one in jobs}
            plan.undetermined = lambda: 0
        ahead.ended(one)
        left.append(ahead.left)
        assert (ahead.num_runs, ahead.total) == (10, pytest.approx(200))
    assert left[0] == pytest.approx(90 * (60 + 10) / (10 + 10))  # at the pace of the first it would be 540
    assert left == sorted(left, reverse=True)
    assert left[5] == pytest.approx(40 * (85 + 10) / (60 + 10))
    assert (left[-1], ahead.count) == (0, 10)


def test_what_has_no_price_weighs_as_a_short_run(make):
    jobs = [Job(run_id="a", claim="law", seed=0), Job(run_id="b", claim="", seed=0, config=make())]
    plan = SimpleNamespace(jobs={one.run_id: one for one in jobs}, missing=lambda: jobs, undetermined=lambda: 0)
    ahead = Ahead(plan, Prices({}, {}), 1)
    assert ahead.total == 2 * ahead_of.SHORT
    ahead.ended(jobs[0])
    assert (ahead.done, ahead.count, ahead.num_runs) == (ahead_of.SHORT, 1, 2)
