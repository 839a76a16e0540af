"""Scores: every example counts once, and looking leaves no trace."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp.engine import evaluate as evaluation
from bnexp.engine.build import build
from bnexp.engine.evaluate import evaluate, evaluate_recomputed


@pytest.fixture
def state_of():
    """Everything of an experiment that an evaluation could spoil."""

    def snapshot(experiment):
        tensors = [t.clone() for t in experiment.model.state_dict().values()]
        generators = [
            experiment.noise.get_state(),
            experiment.augmentation.get_state(),
            experiment.batches.state()["generator"],
        ]
        modes = [module.training for module in experiment.model.modules()]
        return tensors + generators, modes

    return snapshot


def assert_same(before, after):
    assert before[1] == after[1]
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))


@pytest.mark.parametrize("batch", [1, 7, 47, 1000])
def test_every_example_counts_once_whatever_the_evaluation_batch(make, monkeypatch, batch):
    experiment = build(make())
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", batch)
    score = evaluate(experiment.model, experiment.validation, experiment)
    experiment.model.eval()
    with torch.no_grad():
        logits = experiment.model(experiment.prepare(experiment.validation.images))
    labels = experiment.validation.labels
    assert score.num_examples == 47
    assert score.accuracy == (logits.argmax(1) == labels).double().mean().item()
    assert score.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)


def test_inputs_that_are_kept_are_as_the_data_say_even_where_a_layer_works_in_place(make):
    experiment = build(make("norm=none"))
    usual = evaluate(experiment.model, experiment.validation, experiment)
    assert evaluate(experiment.model, experiment.validation, experiment) == usual

    def spoil(_, inputs):
        inputs[0].mul_(2)

    handle = experiment.model.register_forward_pre_hook(spoil)
    doubled = [evaluate(experiment.model, experiment.validation, experiment) for _ in range(3)]
    assert doubled[0] == doubled[1] == doubled[2] != usual
    handle.remove()
    assert evaluate(experiment.model, experiment.validation, experiment) == usual
    other = build(make("norm=none", "dataset.standardize=unit"))
    other.model.load_state_dict(experiment.model.state_dict())
    assert evaluate(other.model, other.validation, other) != usual


@pytest.mark.parametrize("norm", ["batch", "noisy", "renorm", "none"])
def test_evaluating_in_any_way_leaves_the_experiment_as_it_was(make, trained, state_of, norm):
    experiment = trained(make(f"norm={norm}", "train.steps=10")).experiment
    before = state_of(experiment)
    evaluate(experiment.model, experiment.validation, experiment)
    evaluate_recomputed(experiment, experiment.validation)
    assert_same(before, state_of(experiment))


@pytest.mark.parametrize("norm", ["none", "layer", "weight"])
def test_a_net_without_running_statistics_has_no_recomputed_score(make, norm):
    experiment = build(make(f"norm={norm}"))
    assert evaluate_recomputed(experiment, experiment.validation) is None


def test_recomputed_statistics_are_those_of_the_final_weights(make, trained):
    """After ten steps the running statistics still remember their start; recomputed ones do not."""
    words = ["train.steps=10", "norm.momentum=0.001"]
    experiment = trained(make(*words)).experiment
    running = evaluate(experiment.model, experiment.train, experiment)
    recomputed = evaluate_recomputed(experiment, experiment.train)
    experiment.model.train()
    with torch.no_grad():
        logits = experiment.model(experiment.prepare(experiment.train.images))
    as_trained = F.cross_entropy(logits, experiment.train.labels).item()
    assert abs(recomputed.loss - as_trained) < 0.1 * abs(running.loss - as_trained)


def test_recomputed_scores_are_the_same_every_time(make, trained):
    experiment = trained(make("norm=noisy", "train.steps=10")).experiment
    scores = {evaluate_recomputed(experiment, experiment.validation) for _ in range(2)}
    assert len(scores) == 1
