"""The loop: the same again for the same seed, the same start for all arms, and the exact end of a run that diverges."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp import schedule
from bnexp.engine.build import build, order_hash
from bnexp.models.init import layer_hashes
from bnexp.probes.layer_inputs import LayerInputs
from bnexp.schedule import LEAST_EVALUATIONS, evaluation_steps


def test_the_same_seed_gives_bitwise_the_same_events_and_weights(make, trained):
    first, second = (trained(make("norm=noisy")) for _ in range(2))
    assert first.events() == second.events()
    for a, b in zip(first.experiment.model.parameters(), second.experiment.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_seed_gives_another_curve(make, trained):
    curves = [trained(make(f"seed={seed}")).curve("val/loss").values for seed in (0, 1)]
    assert curves[0] != curves[1]


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_arms_start_from_the_same_weights_and_see_the_same_order(make, model):
    arms = [build(make(f"model={model}", f"norm={norm}")) for norm in ("none", "batch", "noisy", "layer")]
    assert len({tuple(layer_hashes(arm.model).items()) for arm in arms}) == 1
    assert len({order_hash(arm) for arm in arms}) == 1


def test_another_seed_has_another_order_and_other_weights(make):
    first, second = (build(make(f"seed={seed}")) for seed in (0, 1))
    assert order_hash(first) != order_hash(second)
    assert all(
        a != b for a, b in zip(layer_hashes(first.model).values(), layer_hashes(second.model).values(), strict=True)
    )


def test_taking_the_order_hash_moves_nothing(make):
    plain, hashed = build(make()), build(make())
    order_hash(hashed)
    assert [plain.batches.next().tolist() for _ in range(25)] == [hashed.batches.next().tolist() for _ in range(25)]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_the_written_out_norm_learns_the_curve_of_torchs(make, trained, model):
    words = [f"model={model}", "train.steps=60" if model == "mlp" else "train.steps=20"]
    ours, torchs = (trained(make(f"norm={norm}", *words)) for norm in ("reference", "batch"))
    for name in ("val/loss", "val/accuracy", "train/loss"):
        np.testing.assert_allclose(ours.curve(name).values, torchs.curve(name).values, rtol=1e-3, atol=1e-4)


def test_events_fall_on_their_grids(make, trained):
    run = trained(make("train.steps=60", "train.eval_every=20", "train.log_every=25"))
    grid = evaluation_steps(60, 20)
    assert list(run.curve("val/accuracy").steps) == grid
    assert list(run.curve("train/loss").steps) == sorted({*grid, 25, 50} - {0})


def test_a_run_evaluated_rarely_is_the_same_run(make, trained):
    usual, rare = (trained(make("train.steps=40", f"train.eval_gap={gap}")) for gap in (0.05, 0.25))
    curve = usual.curve("val/accuracy")
    values = dict(zip(curve.steps, curve.values, strict=True))
    steps = rare.curve("val/accuracy").steps
    assert steps == (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 25, 30, 35, 40)
    assert rare.curve("val/accuracy").values == tuple(values[step] for step in steps)


def test_a_run_evaluated_late_scores_what_the_usual_one_scores(make, trained):
    usual, late = (trained(make(f"train.eval_from={start}", "train.eval_every=5")) for start in (0, 20))
    curve = usual.curve("val/accuracy")
    expected = [(step, value) for step, value in zip(curve.steps, curve.values, strict=True) if step == 0 or step >= 20]
    assert list(zip(late.curve("val/accuracy").steps, late.curve("val/accuracy").values, strict=True)) == expected
    for ours, theirs in zip(late.experiment.model.parameters(), usual.experiment.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert usual.experiment.config.train.targets
    assert late.experiment.config.train.targets == ()


def test_the_curve_is_the_mean_of_the_steps_since_its_last_point(make, trained):
    words = ["train.steps=40", "train.eval_every=20"]
    every_step = trained(make(*words, "train.log_every=1"))
    losses = dict(zip(every_step.curve("train/loss").steps, every_step.curve("train/loss").values, strict=True))
    sparse = trained(make(*words, "train.log_every=20")).curve("train/loss")
    for before, step, value in zip((0, *sparse.steps), sparse.steps, sparse.values, strict=False):
        assert value == pytest.approx(np.mean([losses[s] for s in range(before + 1, step + 1)]))


def test_the_learning_rate_follows_its_schedule(make, trained):
    run = trained(make("schedule=cosine", "schedule.warmup_steps=5", "train.log_every=1"))
    recorded = dict(zip(run.curve("train/lr").steps, run.curve("train/lr").values, strict=True))
    assert [recorded[update] for update in (1, 3, 5, 6)] == pytest.approx([0.02, 0.06, 0.1, 0.1])
    assert recorded[30] == pytest.approx(0.0, abs=1e-12)


def test_noise_in_evaluation_does_not_change_training(make, trained):
    words = ["norm=noisy", "norm.in_eval=true"]
    often, seldom = (trained(make(*words, f"train.eval_every={every}")) for every in (1, 30))
    for a, b in zip(often.experiment.model.parameters(), seldom.experiment.model.parameters(), strict=True):
        assert torch.equal(a, b)


DIVERGING = ["norm=none", "model.activation=relu", "optimizer.lr=1e6", "train.steps=40", "train.eval_every=20"]


def first_broken_update(experiment) -> int:
    """A naive loop that looks at every loss."""
    for update in range(1, experiment.config.train.steps + 1):
        x, y = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
        loss = F.cross_entropy(experiment.model(x), y)
        if not math.isfinite(loss.item()):
            return update
        experiment.optimizer.zero_grad()
        loss.backward()
        experiment.optimizer.step()
    raise AssertionError("it did not diverge")


@pytest.mark.parametrize("log_every", [7, 40])
@pytest.mark.parametrize(
    "words", [DIVERGING, [*DIVERGING, "model.activation=identity", "optimizer.lr=0.4"]], ids=["3rd", "23rd"]
)
def test_a_run_ends_at_the_exact_update_whose_loss_was_not_finite(make, trained, log_every, words):
    """The 23rd lies between two points of the training curve, at which alone the losses are read."""
    words = [*words, f"train.log_every={log_every}"]
    run = trained(make(*words))
    expected = first_broken_update(build(make(*words)))
    assert (run.ended.status, run.ended.step) == ("diverged", expected)
    last = run.events()[-1]
    assert last == {"step": expected, "name": "train/loss", "value": None, "kind": "nan"}


def test_a_diverged_run_keeps_what_was_recorded_before_and_nothing_after(make, trained, monkeypatch):
    """Even where the probe looks between the broken update and the next reading of the losses."""
    monkeypatch.setattr(LayerInputs, "steps", lambda _: range(41))
    run = trained(make(*DIVERGING, "model.activation=identity", "optimizer.lr=0.4", "probes=light"))
    assert run.ended.step == 23
    assert run.curve("val/accuracy").steps[-1] == 22
    assert max(event["step"] for event in run.events()) == 23
    assert run.experiment.probes["layer_inputs"].arrays()["steps"].tolist() == list(range(23))


def test_a_net_that_only_the_last_update_breaks_has_finished(make, trained):
    run = trained(make("norm=none", "optimizer=adam", "optimizer.lr=1e38", "train.steps=1"))
    assert (run.ended.status, run.ended.step) == ("finished", 1)
    assert run.curve("val/loss").values[-1] is None


def test_a_finished_net_whose_running_statistics_overflowed_is_told_of(make, trained, capsys):
    """Every loss is finite, because a batch is divided by its own infinite spread; in eval mode the net answers at random."""
    run = trained(make("optimizer.lr=1e30"))
    assert run.ended.status == "finished"
    assert run.ended.reason.startswith("not finite after the last step, so that its scores mean nothing: hidden1.site.norm.")
    assert f"npz mlp batch s0: {run.ended.reason}; a smaller optimizer.lr" in capsys.readouterr().err


def test_a_finite_net_has_nothing_to_say(make, trained, capsys):
    assert trained(make()).ended.reason == ""
    assert capsys.readouterr().err == ""


def test_a_large_validation_split_is_evaluated_less_often_and_alike_in_all_arms(make, trained, monkeypatch):
    monkeypatch.setattr(schedule, "LEAST_EVALUATED", 0)
    words = ["dataset.validation_examples=200", "train.batch_size=2"]
    grids = [trained(make(*words, f"norm={norm}")).curve("val/accuracy").steps for norm in ("none", "batch")]
    assert list(grids[0]) == list(grids[1]) == evaluation_steps(30, 10, LEAST_EVALUATIONS)
    assert len(grids[0]) < len(evaluation_steps(30, 10))
