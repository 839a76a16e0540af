"""Which runs make an arm, which arms are compared with each other, and which may be paired."""

from __future__ import annotations

import pytest

from bnexp.compare.arms import complete_runs, group, varied, why_not_paired
from bnexp.compare.table import Question, compare
from bnexp.errors import UserError


@pytest.fixture
def grouped(records):
    """Arms of these runs."""
    return lambda lines, **asked: group(complete_runs(records(*lines))[0], **asked)


def labels(grouping):
    return [[arm.label(grouping.keys) for arm in arms] for _, arms in grouping.blocks]


def test_an_option_counts_only_where_it_differs_at_one_name(grouped, run):
    lines = [
        run(norm="none"),
        run(norm="batch", eps=1e-5),
        run(norm="ghost", ghost_size=4),
        run(norm="ghost", ghost_size=8),
    ]
    grouping = grouped(lines)
    assert grouping.keys == ("norm", "norm.ghost_size")
    assert len(grouping.blocks) == 1
    assert len(grouping.blocks[0][1]) == 4


def test_what_changes_together_makes_one_column_and_is_told(grouped, run):
    grouping = grouped([run(batch_size=8, steps=400), run(batch_size=32, steps=100)])
    assert (grouping.keys, grouping.tied) == (("train.batch_size",), ("train.steps",))


def test_by_compares_apart_what_differs_besides_and_keeps_a_names_options(grouped, run):
    lines = [run(norm=norm, lr=lr) for norm in ("none", "batch") for lr in (0.1, 1.0)]
    grouping = grouped([*lines, *(run(norm="ghost", lr=0.1, ghost_size=size) for size in (4, 8))], by=("norm",))
    assert grouping.keys == ("norm", "norm.ghost_size")
    assert grouping.apart == ("optimizer.lr",)
    assert [settings["optimizer.lr"] for settings, _ in grouping.blocks] == [0.1, 1.0]
    assert list(map(len, labels(grouping))) == [4, 2]


def test_tune_takes_each_arm_at_its_best_by_validation_and_says_so(grouped, run):
    lines = [
        run(norm=norm, lr=lr, test=test)
        for norm, lr, test in (("none", 0.1, 0.8), ("none", 1.0, 0.9), ("batch", 0.1, 0.95), ("batch", 1.0, 0.7))
    ]
    grouping = grouped(lines, tune=("optimizer.lr",))
    assert {(arm.settings["norm"], arm.settings["optimizer.lr"]) for arm in grouping.blocks[0][1]} == {
        ("none", 1.0),
        ("batch", 0.1),
    }
    assert grouping.notes[0].startswith("optimizer.lr: each arm at its best")


def test_a_value_tried_on_fewer_seeds_is_not_the_best(grouped, run):
    lines = [run(0, lr=0.1, test=0.99), *(run(seed, lr=1.0, test=0.8) for seed in (0, 1))]
    assert grouped(lines, tune=("optimizer.lr",)).blocks[0][1][0].settings["optimizer.lr"] == 1.0


def test_edited_code_is_another_arm_though_no_setting_differs(grouped, run):
    grouping = grouped([run(0, arm="old"), run(0, arm="new"), run(1, arm="new")])
    assert grouping.keys == ("version",)
    assert sorted(len(arm.runs) for arm in grouping.blocks[0][1]) == [1, 2]


def test_of_several_attempts_the_newest_complete_one_counts(records, run):
    again = run(0, test=0.5, created="2")
    again["header"]["run_id"] = run(0)["header"]["run_id"]
    runs, notes = complete_runs(records(run(0), again))
    assert [one.record.end["test"]["accuracy"] for one in runs] == [0.5]
    assert notes == []


def test_what_is_left_out_is_counted(records, run):
    failed, measured = run(1, status="failed"), run(2)
    del measured["header"]["config"]
    assert complete_runs(records(run(0), failed, measured))[1] == ["left out: 1 failed, 1 measured for claims"]


def test_data_sets_are_compared_apart(grouped, run):
    other = run(0, arm="x")
    other["header"]["config"]["dataset"]["name"] = "letters"
    assert grouped([run(0), other]).apart == ("dataset",)


@pytest.mark.parametrize(
    ("asked", "got"),
    [({"by": ("nrom",)}, "by=nrom"), ({"by": ("model",)}, "by=model"), ({"where": {"norm": ["layer"]}}, "norm=layer")],
)
def test_what_cannot_be_grouped_by_is_refused(grouped, run, asked, got):
    with pytest.raises(UserError) as caught:
        grouped([run(norm="none"), run(norm="batch")], **asked)
    assert f"got: {got}" in str(caught.value)


def test_varied_settings_are_none_where_seeds_alone_differ(records, run):
    assert varied(complete_runs(records(run(0), run(1)))[0]) == []


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({}, ""),
        ({"order": "other"}, "at seed 0 they saw other batches"),
        ({"init": "other"}, "at seed 0 they began with other weights in hidden1"),
    ],
)
def test_runs_are_pairs_only_where_their_hashes_say_so(records, run, other, why):
    block = compare(records(run(0, norm="none"), run(0, norm="batch", **other))).blocks[0]
    assert why_not_paired(*block.arms) == why


def test_seeds_without_a_partner_make_no_pairs(records, run):
    block = compare(records(run(0, norm="none"), run(1, norm="batch"))).blocks[0]
    assert why_not_paired(*block.arms) == "they have no seed in common"


def test_insisting_on_pairs_that_are_none_is_refused_with_the_reason(records, run):
    found = records(*(run(seed, norm=norm, order=norm) for norm in ("none", "batch") for seed in range(3)))
    with pytest.raises(UserError, match="other batches") as caught:
        _ = compare(found, Question(paired=True)).blocks[0].effects
    assert "paired=false" in str(caught.value)
