"""Runs that end early: each goal at the second of two points in a row, all of them reached, and never side by side with others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnexp.cli.table import run_report
from bnexp.config.identity import run_id
from bnexp.config.schema import TrainConfig
from bnexp.engine.loop import Goals
from bnexp.records.curves import Curve, time_to_target
from bnexp.runs.many import stacks
from bnexp.runs.run import execute
from bnexp.schedule import evaluation_steps

VALUES = st.lists(st.one_of(st.none(), st.sampled_from([0.3, 0.5, 0.7])), max_size=12)


def train(accuracy: float | None = None, loss: float | None = None) -> TrainConfig:
    return TrainConfig(
        steps=9, batch_size=9, eval_every=9, log_every=9, targets=(), stop_at_accuracy=accuracy, stop_at_loss=loss
    )


def reached_at(goals: Goals, name: str, values: list[float | None]) -> int | None:
    for place, value in enumerate(values):
        goals.see(name, value)
        if goals.reached:
            return place
    return None


@given(values=VALUES)
def test_an_accuracy_is_reached_at_the_evaluation_that_confirms_time_to_target(values):
    places = tuple(range(len(values)))
    duration = time_to_target(Curve(places, tuple(values), (0.0,) * len(values)), 0.5)
    expected = duration.steps + 1 if duration.observed else None
    assert reached_at(Goals(train(accuracy=0.5)), "val/accuracy", values) == expected


@given(values=VALUES)
def test_a_loss_is_reached_as_an_accuracy_is_only_below(values):
    mirrored = [None if value is None else 1 - value for value in values]
    upside_down = reached_at(Goals(train(accuracy=0.5)), "val/accuracy", mirrored)
    assert reached_at(Goals(train(loss=0.5)), "train/loss", values) == upside_down


@pytest.mark.parametrize("names", [("val/accuracy", "train/loss"), ("train/loss", "val/accuracy")])
def test_both_goals_have_to_be_reached_but_not_at_once(names):
    goals = Goals(train(accuracy=0.5, loss=0.5))
    beyond = {"val/accuracy": 0.9, "train/loss": 0.1}
    first, second = names
    for value in (beyond[first], beyond[first], 0.5):  # reached, and lost again
        goals.see(first, value)
    goals.see(second, beyond[second])
    assert not goals.reached
    goals.see(second, beyond[second])
    assert goals.reached


def test_without_a_goal_a_run_does_not_stop():
    goals = Goals(train())
    for _ in range(3):
        goals.see("val/accuracy", 0.9)
        goals.see("train/loss", 0.1)
    assert not goals.reached


STOPPING = ["train.steps=200", "train.eval_every=20", "train.log_every=7", "train.stop_at_accuracy=0.6"]


def test_a_run_stops_at_its_goal_and_is_the_beginning_of_the_run_that_does_not(make):
    stopped, whole = (execute(make("probes=light", *words)).record for words in (STOPPING, STOPPING[:3]))
    curve = whole.curve("val/accuracy")
    expected = curve.steps[curve.steps.index(time_to_target(curve, 0.6).steps) + 1]
    assert 0 < expected < 200
    assert (stopped.status, stopped.end["step"], stopped.end["stopped_at"]) == ("finished", expected, expected)
    assert "stopped_at" not in whole.end
    assert stopped.end["evaluations"] == evaluation_steps(200, 20).index(expected) + 1
    assert stopped.end["test"]["num_examples"] == whole.end["test"]["num_examples"]
    for name in ("val/accuracy", "train/loss"):
        first = stopped.curve(name)
        assert first.steps[-1] == expected
        assert first.values == whole.curve(name).values[: len(first.values)]
    seen, all_seen = (record.arrays("layer_inputs")["steps"].tolist() for record in (stopped, whole))
    assert seen == sorted({step for step in all_seen if step < expected} | {expected})  # the last look is at the end
    assert f"stopped at its goal after {expected} steps" in run_report(stopped)
    assert stopped.end["step_ms"] > 0


def test_a_run_goes_on_until_its_training_loss_is_low_as_well(make):
    ends = [execute(make(*STOPPING, *words)).record for words in ([], ["train.stop_at_loss=0.3"])]
    early, late = ends
    curve = late.curve("train/loss")
    assert early.end["stopped_at"] < late.end["stopped_at"] == curve.steps[-1]
    below = [value < 0.3 for value in curve.values]
    assert below[-2:] == [True, True]
    assert [True, True] not in [below[place : place + 2] for place in range(len(below) - 2)]


def test_a_goal_that_is_out_of_reach_changes_nothing(make, without_clock):
    plain, aiming = (execute(make(*words)).record for words in ([], ["train.stop_at_loss=1e-9"]))
    assert without_clock(plain.folder) == without_clock(aiming.folder)
    assert aiming.end["step"] == 30
    assert "stopped_at" not in aiming.end


def test_goals_are_part_of_a_runs_name(make):
    words = ([], ["train.stop_at_accuracy=0.6"], ["train.stop_at_accuracy=0.7"], ["train.stop_at_loss=0.6"])
    assert len({run_id(make(*some)) for some in words}) == 4


@pytest.mark.parametrize("goal", ["train.stop_at_accuracy=0.6", "train.stop_at_loss=0.6"])
def test_runs_that_may_stop_are_never_side_by_side(make, goal):
    assert stacks([make(goal, f"seed={seed}") for seed in range(3)], 3) == [[0], [1], [2]]
