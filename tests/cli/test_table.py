"""What the last lines of a run say of its evaluations, and the table of a sweep."""

from __future__ import annotations

import pytest

from bnexp import schedule
from bnexp.cli.table import run_report, sweep_report
from bnexp.records.ended import Ended
from bnexp.runs.run import execute
from bnexp.text import WIDTH


@pytest.fixture
def report(make):
    """The last lines of a run that spent so many seconds evaluating and one training."""

    def carry_out(seconds: float, *words: str) -> str:
        record = execute(make(*words)).record
        record.end["seconds"].update(eval=seconds, train=1.0)
        return " ".join(run_report(record).split())

    return carry_out


def test_nothing_is_said_of_evaluations_that_were_all_made_and_cost_little(report):
    assert "evaluation " not in report(0.4)


def test_a_run_that_was_evaluated_less_often_than_asked_says_why(report, monkeypatch):
    monkeypatch.setattr(schedule, "LEAST_EVALUATED", 0)
    lines = report(0.4, "dataset.validation_examples=200", "train.batch_size=2")
    words = "11 times instead of 31, because 200 validation examples are many beside 60 training examples seen"
    assert f" evaluation {words} run folder " in lines


def test_evaluation_that_takes_more_than_half_of_training_says_what_takes_less(report):
    words = "took 250 % of the training time; dataset.validation_examples=11 takes less"
    assert f" evaluation {words} run folder " in report(2.5)


def test_a_sweep_ends_with_its_arms_and_with_the_runs_under_them_where_asked(make):
    runs = [execute(make(f"norm={norm}", f"seed={seed}")) for norm in ("none", "batch") for seed in (0, 1)]
    failed = Ended(status="failed", overrides=("norm=layer", "seed=0"), folder="runs/x", reason="out of memory")
    text = sweep_report([*runs, failed])
    assert text.startswith("4 runs, 2 arms by norm; ")
    assert "all: n 2" in text
    assert "against norm=none: paired by seed" in text
    *_, lost, look, ask = text.splitlines()
    assert lost == "failed: norm=layer seed=0: out of memory (see runs/x)"
    assert look == f"look at them: bnexp tensorboard {runs[0].record.folder.parent}"
    assert ask == f"ask again: bnexp compare {runs[0].record.folder.parent} --runs"
    assert max(map(len, text.splitlines()[:-3])) <= WIDTH
    assert sum(line.startswith("  seed ") for line in sweep_report(runs, with_runs=True).splitlines()) >= 4


def test_the_runs_of_a_sweep_may_have_different_targets(make):
    both = {"none": "[0.001]", "batch": "[0.001,0.999]"}
    runs = [execute(make(f"norm={norm}", f"train.targets={targets}")) for norm, targets in both.items()]
    text = sweep_report(runs)
    assert "steps to 0.001" in text
    assert "no run reached 0.999" in text


def test_the_last_lines_name_first_and_last_gradient_and_the_layer_with_most_dead_units(make):
    record = execute(make("probes=[gradients,saturation]", "norm=none", "model.activation=relu")).record
    record.end["probes"]["gradients"]["gradient_norm"].update(hidden1=1.2e-5, output=None)
    record.end["probes"]["saturation"]["dead"].update(hidden1=0.1, hidden2=0.5, hidden3=0.2)
    lines = " ".join(run_report(record).split())
    assert " gradients norm at the end: hidden1 1.2e-05 to output overflows " in lines
    assert " dead 50 % of the units of hidden2 at the end; no layer has more " in lines


def test_the_score_of_a_net_without_running_statistics_says_by_what_it_was_normalised(make):
    record = execute(make("norm.track=false", "train.batch_size=20", "train.accumulate=2")).record
    assert "each normalised by its batch of 10" in run_report(record)
