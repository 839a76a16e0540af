"""Gradient norms against closed forms, and against the update that training makes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp.errors import UserError
from bnexp.probes.base import guest


def probe_of(built):
    return built.probes["gradients"]


def test_of_the_output_layer_it_is_the_closed_form_of_softmax_regression(experiment):
    """dL/dW = (p - onehot)^T h / N, dL/db = mean(p - onehot), h being what enters the layer."""
    built = experiment("norm=none", "probes=gradients")
    (seen,) = probe_of(built).observe(3)
    x, y = probe_of(built)._view.training_batch("probe/gradients/3")
    entered = []
    built.model.output.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    residual = (torch.softmax(built.model(x), 1) - F.one_hot(y, 3)) / len(y)
    expected = ((residual.T @ entered[0]).square().sum() + residual.sum(0).square().sum()).sqrt()
    assert seen.name == "gradient_norm"
    assert dict(zip(seen.labels, seen.values, strict=True))["output"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("words", [("norm=batch",), ("norm=none",), ("norm=batch", "train.accumulate=4")])
def test_it_is_the_gradient_that_the_step_has(experiment, words):
    built = experiment("probes=gradients", *words)
    with guest(built.model, [built.noise]):
        found = probe_of(built).look(0)["gradient_norm"]
    x, y = probe_of(built)._view.training_batch("probe/gradients/0")
    built.model.train()
    for part, answers in zip(x.split(built.config.train.pass_size), y.split(built.config.train.pass_size), strict=True):
        (F.cross_entropy(built.model(part), answers) * len(answers) / len(y)).backward()
    for name, value in found.items():
        layer = built.model.get_submodule(name if name == "output" else f"{name}.linear")
        assert value == pytest.approx(float(sum(p.grad.square().sum() for p in layer.parameters()) ** 0.5), rel=1e-5)
    assert list(found) == ["hidden1", "hidden2", "hidden3", "output"]


def test_a_look_draws_the_same_batch_whenever_it_is_made_and_another_one_at_another_step(experiment):
    first, second = (experiment("probes=gradients", "dataset.crop=1") for _ in range(2))
    second.batches.next()
    assert probe_of(first).look(5) == probe_of(second).look(5) != probe_of(first).look(6)


def test_what_was_seen_survives_a_checkpoint(experiment):
    built = experiment("probes=gradients")
    for step in (0, 2):
        probe_of(built).observe(step)
    other = probe_of(experiment("probes=gradients"))
    other.restore(probe_of(built).state())
    assert other.arrays().keys() == {"steps", *(f"gradient_norm/{name}" for name in ("hidden1", "hidden2", "hidden3", "output"))}
    assert other.arrays()["steps"].tolist() == [0, 2]
    assert other.summary() == probe_of(built).summary()


def test_a_norm_that_overflows_is_no_number_in_the_summary(experiment):
    built = experiment("probes=gradients", "norm=none", "model.activation=relu")
    with torch.no_grad():
        for parameter in built.model.parameters():
            parameter.mul_(1e15)
    probe_of(built).observe(0)
    assert None in probe_of(built).summary()["gradient_norm"].values()


@pytest.mark.parametrize(("option", "value"), [("observations", 1), ("steps_between", 0)])
def test_options_out_of_range_are_refused(experiment, option, value):
    with pytest.raises(UserError, match=f"probes.gradients.{option}"):
        experiment("probes=gradients", f"probes.gradients.{option}={value}")
