"""Work on all cores where a process can be forked: in order, with the parent's memory, and nothing lost."""

from __future__ import annotations

import os
import sys

import joblib
import pytest

from bnexp.parallel import for_each


@pytest.fixture
def two_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.usefixtures("two_cores")
def test_answers_come_in_order_from_other_processes_which_see_what_we_see():
    seen = {place: place * 10 for place in range(6)}
    answers = for_each(lambda place: (seen[place], os.getpid()), 6, least=3)
    assert [value for value, _ in answers] == [0, 10, 20, 30, 40, 50]
    assert os.getpid() not in {process for _, process in answers}


@pytest.mark.usefixtures("two_cores")
def test_too_little_work_stays_here():
    assert set(for_each(lambda _: os.getpid(), 5, least=3)) == {os.getpid()}


@pytest.mark.usefixtures("two_cores")
def test_what_cannot_be_sent_is_made_here():
    made = for_each(lambda place: (lambda: place) if place == 1 else place, 4, least=1)
    assert made[1]() == 1
    assert [made[0], *made[2:]] == [0, 2, 3]


@pytest.mark.usefixtures("two_cores")
def test_what_fails_fails_here_with_its_own_error():
    def divide(place: int) -> float:
        return 1 / (place - 2)

    with pytest.raises(ZeroDivisionError):
        for_each(divide, 4, least=1)
