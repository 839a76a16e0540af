"""What is read off runs: censoring, the common training, and what an arm's summary says."""

from __future__ import annotations

import pytest

from bnexp.compare.measures import value
from bnexp.compare.table import Question, compare
from bnexp.errors import UserError


def block(records, **asked):
    return compare(records, Question(**asked)).blocks[0]


def by_name(found):
    return {arm.settings["norm"]: arm for arm in found.arms}


def test_a_run_that_did_not_arrive_stands_for_the_whole_training_and_no_mean_leaves_it_out(records, run):
    found = block(records(run(0, arrives=40), run(1, arrives=None)))
    summary = found.summary(found.arms[0], found.measures["steps@0.8"])
    assert (summary.arrived, summary.num_runs, summary.censored) == (1, 2, True)
    assert summary.interval.estimate == pytest.approx((40 * 100) ** 0.5)


def test_a_diverged_run_never_arrives_and_has_no_accuracy_to_be_proud_of(records, run):
    found = block(records(run(0, arrives=None, status="diverged", steps=100)))
    (one,) = found.runs
    assert value(one, found.measures["test"], found.common) == 0
    assert value(one, found.measures["steps@0.8"], found.common) == 100


def test_a_run_that_stopped_at_its_goal_is_unknown_beyond_it(records, run):
    found = block(records(*(run(seed, arrives=None, stop=0.8) for seed in range(2))), targets=(0.95,))
    assert found.summary(found.arms[0], found.measures["steps@0.95"]) is None
    assert found.judged.name == "steps@0.8"


def test_other_batch_sizes_are_compared_after_equal_examples(records, run):
    lines = [run(seed, batch_size=size, steps=100, arrives=30) for size in (10, 20) for seed in range(3)]
    found = block(records(*lines))
    assert found.at_equal_examples
    assert (found.common.unit, found.common.amount) == ("examples", 1000)
    assert found.judged.name == "validation"
    large, small = (next(arm for arm in found.arms if arm.settings["train.batch_size"] == size) for size in (20, 10))
    assert set(found.values(large, found.measures["steps@0.8"]).values()) == {30.0}
    assert set(found.values(large, found.measures["validation"]).values()) == {91.0}  # after 50 of its steps
    assert set(found.values(small, found.measures["examples@0.8"]).values()) == {300.0}


def test_a_target_reached_after_the_common_training_counts_as_not_reached(records, run):
    lines = [run(seed, batch_size=size, steps=100, arrives=90) for size in (10, 20) for seed in range(3)]
    found = block(records(*lines))
    large = next(arm for arm in found.arms if arm.settings["train.batch_size"] == 20)
    summary = found.summary(large, found.measures["examples@0.8"])
    assert (summary.arrived, round(summary.interval.estimate)) == (0, 1000)


def test_equal_examples_by_other_steps_leave_the_test_to_judge(records, run):
    lines = [run(seed, batch_size=size, steps=1000 // size) for size in (10, 20) for seed in range(3)]
    found = block(records(*lines))
    assert (found.judged.name, found.at_equal_examples) == ("test", False)


def test_norms_at_several_batch_sizes_are_each_compared_at_their_own(records, run):
    lines = [
        run(seed, norm=norm, batch_size=size) for norm in ("none", "batch") for size in (10, 20) for seed in range(3)
    ]
    found = block(records(*lines))
    assert not found.mixed
    assert {
        found.arms[arm].settings["train.batch_size"] == found.arms[base].settings["train.batch_size"]
        for arm, base in found.bases.items()
    } == {True}


def test_the_base_is_none_else_the_best_and_may_be_given(records, run):
    lines = [
        run(seed, norm=norm, test=test)
        for norm, test in (("layer", 0.8), ("batch", 0.9), ("none", 0.7))
        for seed in range(3)
    ]
    found = block(records(*lines))
    assert {found.arms[base].settings["norm"] for base in found.bases.values()} == {"none"}
    found = block(records(*lines[:6]))
    assert {found.arms[base].settings["norm"] for base in found.bases.values()} == {"batch"}
    found = block(records(*lines), base={"norm": "layer"})
    assert {found.arms[base].settings["norm"] for base in found.bases.values()} == {"layer"}


def test_times_are_compared_by_ratios_with_their_own_smallest_effect(records, run):
    lines = [
        run(seed, norm=norm, arrives=arrives) for norm, arrives in (("none", 80), ("batch", 40)) for seed in range(3)
    ]
    found = block(records(*lines), measure="steps@0.8")
    (effect,) = found.effects.values()
    assert effect.interval.estimate == pytest.approx(2)
    assert (found.smallest, effect.verdict) == (10.0, "better")
    assert next(iter(block(records(*lines), measure="steps@0.8", effect=120.0).effects.values())).verdict == "equivalent"


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ({"base": {"norm": "layer"}}, "base=norm=layer"),
        ({"base": {"model": "mlp"}}, "base=model=mlp"),
        ({"measure": "tests"}, "measure=tests"),
    ],
)
def test_what_these_runs_cannot_answer_is_refused(records, run, asked, got):
    with pytest.raises(UserError) as caught:
        compare(records(run(norm="none"), run(norm="batch")), Question(**asked))
    assert f"got: {got}" in str(caught.value)


def test_of_an_export_with_a_few_evaluations_only_recorded_targets_are_told(records, run):
    few = [run(seed) for seed in range(2)]
    for line in few:
        line["curves"]["val/accuracy"]["of"] = 401
    lines = [*few, run(2)]
    lines[-1]["end"]["targets"].append({"target": 0.7})
    assert block(records(*lines)).targets == (0.8,)
    with pytest.raises(UserError, match=r"exported with 11 of its 401 evaluations(.|\n)*got: 0\.85\n  try: targets=0\.8"):
        block(records(*lines), targets=(0.85,))
    with pytest.raises(UserError, match="too few to tell this target"):
        block(records(*lines), measure="steps@0.85")
