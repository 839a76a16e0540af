"""What the last lines of a run say of its evaluations."""

from __future__ import annotations

import pytest

from bnexp import schedule
from bnexp.cli.table import run_report
from bnexp.runs.run import execute


@pytest.fixture
def report(make):
    """The last lines of a run that spent so many seconds evaluating and one training."""

    def carry_out(seconds: float, *words: str) -> str:
        record = execute(make("probes=none", *words)).record
        record.end["seconds"].update(eval=seconds, train=1.0)
        return " ".join(run_report(record).split())

    return carry_out


def test_nothing_is_said_of_evaluations_that_were_all_made_and_cost_little(report):
    assert "evaluation " not in report(0.4)


def test_a_run_that_was_evaluated_less_often_than_asked_says_why(report, monkeypatch):
    monkeypatch.setattr(schedule, "LEAST_EVALUATED", 0)
    lines = report(0.4, "dataset.validation_examples=200", "train.batch_size=2")
    words = "11 times instead of 26, because 200 validation examples are many beside 60 training examples seen"
    assert f" evaluation {words} run folder " in lines


def test_evaluation_that_takes_more_than_half_of_training_says_what_takes_less(report):
    words = "took 250 % of the training time; dataset.validation_examples=11 takes less"
    assert f" evaluation {words} run folder " in report(2.5)
