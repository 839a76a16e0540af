"""Lengths, rates and angles against closed forms and against the updates that training makes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bnexp.engine.step import train_step
from bnexp.errors import UserError
from bnexp.probes.scale import angle


def advance(built) -> None:
    train_step(built.model, built.optimizer, *built.training_batch(built.batches.next(), built.augmentation))


@pytest.mark.parametrize("turned", [1e-6, 0.04, 1.0, 3.1])
def test_the_angle_is_that_of_a_rotation_whatever_the_lengths(turned):
    before = torch.tensor([[3.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    after = 7 * torch.tensor([[math.cos(turned), 0.0], [0.0, math.sin(turned)]], dtype=torch.float64)
    assert angle(before, after) == pytest.approx(turned, rel=1e-9)


def test_of_plain_sgd_before_a_norm_it_is_the_angle_of_a_right_triangle(experiment):
    """w and its gradient are orthogonal, so that tan(angle) = lr ||g|| / ||w||."""
    built = experiment("norm=batch", "norm.eps=1e-30", "probes=scale", "optimizer.momentum=0", "optimizer.lr=0.3")
    probe = built.probes["scale"]
    weight = built.model.get_submodule("hidden2").linear.weight
    length = float(weight.detach().norm())
    assert {one.name for one in probe.observe(0)} == {"weight_norm", "effective_rate"}
    advance(built)
    seen = {one.name: dict(zip(one.labels, one.values, strict=True))["hidden2"] for one in probe.observe(1)}
    assert seen["update_angle"] == pytest.approx(math.atan(0.3 * float(weight.grad.norm()) / length), rel=1e-3)
    assert seen["weight_norm"] == pytest.approx(float(weight.detach().norm()), rel=1e-6)
    assert seen["effective_rate"] == pytest.approx(0.3 / float(weight.detach().square().sum()), rel=1e-6)


def test_each_look_has_the_angle_of_its_last_update_alone(experiment):
    built = experiment("probes=scale", "train.steps=40", "probes.scale.steps_between=4")
    probe, angles = built.probes["scale"], {}
    for step in range(41):
        old = built.model.output.weight.detach().clone()
        if step:
            advance(built)
            angles[step] = angle(old, built.model.output.weight.detach())
        if step in probe.steps():
            probe.observe(step)
    arrays = probe.arrays()
    assert len(arrays["steps"]) < len(probe.steps()) < 41
    assert np.isnan(arrays["update_angle/output"][0])
    np.testing.assert_allclose(
        arrays["update_angle/output"][1:], [angles[step] for step in arrays["steps"][1:]], rtol=1e-12
    )
    assert list(probe.summary()["weight_norm"]) == ["hidden1", "hidden2", "hidden3", "output"]


def test_a_resumed_run_knows_the_weights_that_were_kept(experiment):
    built = experiment("probes=scale")
    built.probes["scale"].observe(0)
    other = experiment("probes=scale")
    other.model.load_state_dict(built.model.state_dict())
    other.probes["scale"].restore(built.probes["scale"].state())
    for one in (built, other):
        advance(one)
        one.probes["scale"].observe(1)
    assert other.probes["scale"].summary() == built.probes["scale"].summary()
    assert None not in built.probes["scale"].summary()["update_angle"].values()


def test_the_rate_is_the_schedules(experiment):
    built = experiment(
        "probes=scale", "schedule=step", "schedule.drops=[0.5]", "schedule.drop_factor=0.1", "optimizer.lr=0.2"
    )
    seen = built.probes["scale"].look(built.config.train.steps)
    assert seen["effective_rate"]["output"] * seen["weight_norm"]["output"] ** 2 == pytest.approx(0.02)


@pytest.mark.parametrize(("option", "value"), [("observations", 1), ("steps_between", 0)])
def test_options_out_of_range_are_refused(experiment, option, value):
    with pytest.raises(UserError, match=f"probes.scale.{option}"):
        experiment("probes=scale", f"probes.scale.{option}={value}")
