"""Epochs as steps, targets as goals: two ways of asking for a run are one run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bnexp.config.compose import compose
from bnexp.config.identity import LATER, computed, run_id
from bnexp.engine.build import build
from bnexp.errors import UserError
from bnexp.runs.run import execute
from bnexp.runs.settle import settle, settled


@pytest.mark.parametrize(("epochs", "steps"), [(1, 10), (2.5, 25), (0.01, 1)])
def test_an_epoch_is_as_many_whole_batches_as_there_are(make, epochs, steps):
    by_epochs = replace(make(), train=replace(make().train, epochs=epochs))  # 200 examples, batches of 20
    assert settled(by_epochs).train.steps == steps
    assert run_id(settled(by_epochs)) == run_id(replace(make(), train=replace(make().train, steps=steps)))


def test_a_run_trains_for_its_epochs(bnexp, small):
    words = [word for word in small if not word.startswith("train.steps")]
    answer = bnexp("train", *words, "train.epochs=1.5")
    assert ": finished after 15 steps" in answer.out


def test_epochs_of_a_part_of_the_data_need_no_data(monkeypatch):
    monkeypatch.setattr("bnexp.runs.settle.load_source", lambda *_: pytest.fail("read"))
    config = compose(["train.epochs=2", "dataset=mnist", "dataset.train_examples=600"])
    assert settle([config], dry=True)[0].train.steps == 20


@pytest.mark.parametrize(("dataset", "fetched"), [("mnist", "mnist"), ("cifar10_part", "cifar10")])
def test_a_dry_run_downloads_nothing(tmp_path, dataset, fetched):
    config = compose(["train.epochs=2", f"dataset={dataset}", f"data_dir={tmp_path}"])
    with pytest.raises(UserError, match=rf"(?s)a dry run downloads nothing.*try: bnexp data fetch {fetched},"):
        settle([config], dry=True)


def test_all_is_the_number_of_training_examples(make):
    config = make("train.batch_size=all", "train.accumulate=4")
    assert settled(config).train.batch_size == 200
    assert run_id(settled(config)) == run_id(settled(make("train.batch_size=200", "train.accumulate=4")))
    assert settled(compose(["train.batch_size=all", "dataset=mnist", "dataset.train_examples=600"])).train.batch_size == 600
    assert settled(replace(config, train=replace(config.train, epochs=7))).train.steps == 7
    assert build(config).config.train.batch_size == 200
    with pytest.raises(UserError, match=r"train\.accumulate must divide train\.batch_size \(200\)"):
        settled(make("train.batch_size=all", "train.accumulate=3"))


def test_a_run_of_whole_batches_sees_every_example_at_every_step(make):
    built = build(make("train.batch_size=all", "norm=batch"))
    first, second = (built.batches.next() for _ in range(2))
    assert sorted(first.tolist()) == list(range(200))
    assert torch.equal(first, second)
    x, _ = built.training_batch(first, built.augmentation)
    entered = []
    built.model.hidden1.site.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    built.model.train()(x)
    moved = built.model.hidden1.site.norm.running_mean / built.model.hidden1.site.norm.momentum
    torch.testing.assert_close(moved, entered[0].mean(0))


def test_a_dry_run_of_whole_batches_downloads_nothing(tmp_path):
    with pytest.raises(UserError, match="how many examples all are"):
        settle([compose(["train.batch_size=all", "dataset=mnist", f"data_dir={tmp_path}"])], dry=True)


@pytest.mark.parametrize(("word", "todo"), [("whole", "train.batch_size=all"), ("0", "train.batch_size=60")])
def test_another_word_for_all_is_told(word, todo):
    with pytest.raises(UserError) as error:
        compose([f"train.batch_size={word}"])
    assert error.value.todo == todo


def test_both_lengths_are_refused_and_a_warm_up_is_held_against_the_epochs():
    with pytest.raises(UserError) as error:
        compose(["train.epochs=2", "train.steps=5"])
    assert (error.value.got, error.value.todo[:14]) == ("train.epochs=2 train.steps=5", "train.epochs=2")
    long = compose(["train.epochs=100", "schedule.warmup_steps=3500"])
    assert settled(long).train.steps == 5800  # 3,500 examples, batches of 60
    with pytest.raises(UserError, match="warmup_steps must be smaller"):
        settled(compose(["train.epochs=1", "schedule.warmup_steps=3500"]))


def test_batches_larger_than_the_data_have_no_epochs(make):
    config = make("train.epochs=null")
    config = replace(config, train=replace(config.train, epochs=2, batch_size=1000))
    with pytest.raises(UserError, match="do not fill one batch"):
        settled(config)


def test_a_run_stops_at_its_highest_target(make):
    config = make("train.targets=[0.4,0.6]", "train.steps=200", "train.stop_at_target=true")
    assert settled(config).train.stop_at_accuracy == 0.6
    end = execute(config).record.end
    assert end["stopped_at"] < 200
    assert all(target["observed"] for target in end["targets"])


@pytest.mark.parametrize("word", ["train.stop_at_accuracy=0.5", "train.targets=[]"])
def test_a_second_goal_or_no_target_is_refused(word):
    with pytest.raises(UserError, match=r"stops at the highest of train\.targets"):
        compose(["train.stop_at_target=true", word])


def test_targets_are_those_of_the_data_set_unless_typed():
    assert compose().train.targets == compose(["dataset=mnist"]).train.targets == (0.9, 0.95)
    assert compose(["dataset=cifar10"]).train.targets == (0.4, 0.6)
    assert compose(["dataset=cifar10", "train.targets=[0.5]"]).train.targets == (0.5,)


def test_settings_newer_than_published_runs_leave_their_names_alone():
    assert not set(LATER) & {f"train.{key}" for key in computed(compose())["train"]}
    assert computed(compose(["train.keep=last"]))["train"]["keep"] == "last"
