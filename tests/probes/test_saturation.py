"""Shares of dead units and saturated values against layers whose outputs are known."""

from __future__ import annotations

import pytest
import torch

from bnexp.errors import UserError


@pytest.fixture
def layer_of(experiment):
    """A net without norms whose first layer of 8 units puts out these numbers, whatever comes in; and its probe."""

    def build(activation: str, inputs: list[float], *words: str):
        built = experiment("norm=none", f"model.activation={activation}", "probes=saturation", *words)
        with torch.no_grad():
            built.model.hidden1.linear.weight.zero_()
            built.model.hidden1.linear.bias.copy_(torch.tensor(inputs))
        return built.probes["saturation"], built

    return build


def test_a_relu_unit_is_dead_if_it_is_off_for_every_example(layer_of):
    probe, built = layer_of("relu", [-1, -2, 0, 1, 2, 3, 4, 5])
    assert probe.look(0)["dead"]["hidden1"] == pytest.approx(3 / 8)
    with torch.no_grad():  # one unit wakes up for one example in a hundred
        built.model.hidden1.linear.weight[0] = 0
        built.model.hidden1.linear.bias[0] = -1
        x = probe._view.inputs.flatten(1)
        direction = x[7] - x.mean(0)
        built.model.hidden1.linear.weight[0] = direction * (2 / (direction @ x[7]))
    assert probe.look(0)["dead"]["hidden1"] == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("activation", "outputs", "margin", "share"),
    [
        ("sigmoid", [0.04, 0.06, 0.5, 0.94, 0.96, 0.97, 0.03, 0.2], 0.05, 4 / 8),
        ("sigmoid", [0.04, 0.06, 0.5, 0.94, 0.96, 0.97, 0.03, 0.2], 0.1, 6 / 8),
        ("tanh", [-0.95, -0.85, 0.0, 0.85, 0.95, 0.91, -0.91, 0.2], 0.05, 4 / 8),
    ],
)
def test_a_value_is_saturated_within_the_margin_of_either_end(layer_of, activation, outputs, margin, share):
    y = torch.tensor(outputs)
    inputs = torch.logit(y) if activation == "sigmoid" else torch.atanh(y)
    probe, _ = layer_of(activation, inputs.tolist(), f"probes.saturation.margin={margin}")
    (seen,) = probe.observe(0)
    assert (seen.name, seen.labels) == ("saturated", ("hidden1", "hidden2", "hidden3"))
    assert seen.values[0] == pytest.approx(share)


def test_a_channel_is_dead_if_its_whole_map_is_off(experiment):
    built = experiment("model=cnn", "norm=none", "probes=saturation")
    name = next(n for n, _ in built.model.named_modules() if n.endswith(".site"))
    conv = built.model.get_submodule(name.replace(".site", ".conv"))
    with torch.no_grad():
        conv.weight.zero_()
        conv.bias.fill_(1)
        conv.bias[0] = -1
    shares = built.probes["saturation"].look(0)["dead"]
    assert shares[name.removesuffix(".site")] == pytest.approx(1 / len(conv.bias))


def test_a_batch_norm_before_a_sigmoid_saturates_as_a_normal_distribution_does(experiment):
    """Of normal values with gamma 4, those beyond logit(0.95) = 2.94 are 46 %."""
    built = experiment("probes=saturation", "norm=batch", "dataset.validation_examples=40")
    with torch.no_grad():
        built.model.hidden1.site.norm.weight.fill_(4)
    share = built.probes["saturation"].look(0)["saturated"]["hidden1"]
    assert share == pytest.approx(0.46, abs=0.1)


def test_nets_without_such_nonlinearities_are_not_looked_at(experiment):
    probe = experiment("probes=saturation", "model.activation=gelu").probes["saturation"]
    assert probe.steps() == []
    assert (probe.summary(), list(probe.arrays())) == ({}, ["steps"])


def test_options_out_of_range_are_refused(experiment):
    with pytest.raises(UserError, match="margin"):
        experiment("probes=saturation", "probes.saturation.margin=0.6")
