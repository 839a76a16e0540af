"""Singular values of layer-to-layer Jacobians against dense ones."""

from __future__ import annotations

import pytest
import torch

from bnexp.errors import UserError
from bnexp.probes.base import guest


@pytest.mark.parametrize("words", [("norm=batch",), ("norm=none",), ("norm=batch", "model.activation=relu")])
def test_mean_square_and_evenness_are_those_of_the_dense_jacobian(experiment, words):
    built = experiment("probes=jacobian", "probes.jacobian.examples=3", "probes.jacobian.probes=500", *words)
    model, probe = built.model, built.probes["jacobian"]
    x, _ = built.training_batch(built.batches.next(), built.augmentation)
    model.train()(x)  # running statistics that are not 0 and 1
    with guest(model, [built.noise]):
        found = probe.look(0)
        site, block = model.hidden1.site, model.hidden2
        before = site.norm(model.eval().hidden1.linear(probe._inputs.flatten(1))).detach()

        def layer(one):
            return block.site.norm(block.linear(site.activation(one[None])))[0]

        dense = [torch.func.jacrev(layer)(one).detach().double() for one in before]
    squares = [torch.linalg.svdvals(one).square() for one in dense]
    mean = sum(float(one.mean()) for one in squares) / 3
    even = sum(float(one.sum().square() / (len(one) * one.square().sum())) for one in squares) / 3
    assert found["mean_square"]["hidden2"] == pytest.approx(mean, rel=0.08)
    assert found["evenness"]["hidden2"] == pytest.approx(even, rel=0.12)
    assert list(found["mean_square"]) == ["hidden2", "hidden3"]


def test_an_orthogonal_linear_layer_has_ones_only(experiment):
    built = experiment("probes=jacobian", "norm=none", "model.activation=identity", "probes.jacobian.probes=50")
    with torch.no_grad():
        torch.nn.init.orthogonal_(built.model.hidden2.linear.weight, generator=torch.Generator().manual_seed(0))
    found = built.probes["jacobian"].look(0)
    assert found["mean_square"]["hidden2"] == pytest.approx(1, rel=0.05)
    assert found["evenness"]["hidden2"] == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("model", ["cnn", "resmlp"])
def test_it_looks_at_other_models(experiment, model):
    probe = experiment(f"model={model}", "norm=batch", "probes=jacobian").probes["jacobian"]
    found = probe.look(0)
    assert found["mean_square"]
    assert all(0 < value <= 1.5 for value in found["evenness"].values())
    assert probe.look(0) == found != probe.look(1)


@pytest.mark.parametrize(("option", "value"), [("observations", 1), ("steps_between", 0), ("examples", 0), ("probes", 0)])
def test_options_out_of_range_are_refused(experiment, option, value):
    with pytest.raises(UserError, match=f"probes.jacobian.{option}"):
        experiment("probes=jacobian", f"probes.jacobian.{option}={value}")
