"""The largest eigenvalue against the dense Hessian, and that along a sphere against a Hessian at normalised weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.autograd.functional import hessian
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from bnexp.errors import UserError
from bnexp.probes.base import guest
from bnexp.probes.sharpness import EVERYTHING, WEIGHTS, largest_eigenvalue

TINY = ("model.width=3", "model.depth=2", "probes=sharpness", "probes.sharpness.tolerance=1e-4", "model.init_scale=0.5")


def probe_of(built):
    return built.probes["sharpness"]


def look(built, step=0):
    with guest(built.model, [built.noise]):
        return probe_of(built).look(step)


def dense(built, names, at=None, step=0):
    """Hessian of the batch's loss, in micro-batches, in the parameters ``names``, as a matrix; ``at``: other values of them."""
    x, y = probe_of(built)._view.training_batch(f"probe/sharpness/{step}")
    size = built.config.train.pass_size
    fixed = {name: p.detach().double() for name, p in built.model.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b for name, b in built.model.named_buffers()}
    fixed |= at or {}
    shapes = [fixed[name].shape for name in names]

    def loss(flat):
        parts = flat.split([shape.numel() for shape in shapes])
        own = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        state = {**fixed, **own}
        total = torch.zeros((), dtype=torch.float64)
        for part, answers in zip(x.split(size), y.split(size), strict=True):
            copies = {name: b.clone() for name, b in buffers.items()}
            logits = functional_call(built.model, {**state, **copies}, (part.double(),))
            total = total + F.cross_entropy(logits, answers, reduction="sum")
        return total / len(y)

    built.model.train()
    with guest(built.model, [built.noise]):
        return hessian(loss, torch.cat([fixed[name].flatten() for name in names])).numpy()


@pytest.mark.parametrize(
    "words", [("norm=batch",), ("norm=none",), ("norm=batch", "train.accumulate=4"), ("norm=batch", "train.batch_size=all")]
)
def test_it_is_the_largest_eigenvalue_of_the_dense_hessian(experiment, words):
    built = experiment(*TINY, *words)
    names = [name for name, _ in built.model.named_parameters()]
    expected = np.linalg.eigvalsh(dense(built, names))[-1]
    found = look(built)
    assert found["sharpness"][EVERYTHING] == pytest.approx(expected, rel=1e-3)
    assert found["sharpness_times_lr"][EVERYTHING] == pytest.approx(expected * built.config.optimizer.lr, rel=1e-3)


def test_on_spheres_it_is_that_of_the_loss_at_normalised_weights(experiment):
    """What the identity R H_ww R rests on: the Hessian in all w_k, at w_k / |w_k|, of a loss that ignores their lengths."""
    built = experiment(*TINY, "norm=batch", "norm.eps=1e-12")
    names = [name for name, _ in built.model.named_parameters() if name.endswith("linear.weight")]
    units = {name: (w := built.model.get_parameter(name).detach().double()) / w.norm() for name in names}
    expected = np.linalg.eigvalsh(dense(built, names, at=units))[-1]
    assert probe_of(built)._weights is None
    assert look(built)["spherical_sharpness"][WEIGHTS] == pytest.approx(expected, rel=1e-3)
    assert probe_of(built)._weights == names


def test_longer_weights_are_flatter_and_as_sharp_on_the_sphere(experiment):
    built = experiment(*TINY, "norm=batch", "norm.eps=1e-12")
    before = look(built)
    with torch.no_grad():
        for name in probe_of(built)._weights:
            built.model.get_parameter(name).mul_(3)
    after = look(built)
    assert after["spherical_sharpness"][WEIGHTS] == pytest.approx(before["spherical_sharpness"][WEIGHTS], rel=1e-3)
    assert after["sharpness"][EVERYTHING] < before["sharpness"][EVERYTHING]


def test_without_norms_no_weight_is_on_a_sphere_and_the_edge_is_that_of_the_next_steps_rate(experiment):
    assert set(look(experiment(*TINY, "norm=none"))) == {"sharpness", "sharpness_times_lr"}
    moving = experiment(*TINY, "norm=none", "schedule=cosine")
    found = look(moving)
    assert found["sharpness_times_lr"][EVERYTHING] == pytest.approx(found["sharpness"][EVERYTHING] * moving.config.optimizer.lr)
    assert "spherical_sharpness" not in look(experiment(*TINY, "norm=batch", "probes.sharpness.spherical=false"))


def test_what_is_no_hessian_has_no_number(experiment):
    built = experiment(*TINY, "norm=none")
    with torch.no_grad():
        next(built.model.parameters()).fill_(float("nan"))
    assert np.isnan(look(built)["sharpness"][EVERYTHING])
    skewed = np.triu(np.ones((40, 40)), 1) + np.diag(np.linspace(0, 1, 40))
    assert np.isnan(largest_eigenvalue(lambda v: skewed @ v, np.ones(40), 0.01))


def test_a_whole_batch_is_the_training_set_at_every_look_and_another_one_is_drawn_anew(experiment):
    whole, part = experiment(*TINY, "train.batch_size=all"), experiment(*TINY)
    assert look(whole, 0)["sharpness"] == look(whole, 5)["sharpness"]
    assert look(part, 0)["sharpness"] != look(part, 5)["sharpness"]
    x, _ = probe_of(whole)._view.training_batch("any")
    assert torch.equal(x, whole.training_batch(whole.batches.next(), whole.augmentation)[0])


def test_what_was_seen_survives_a_checkpoint(experiment):
    built = experiment(*TINY)
    probe_of(built).observe(0)
    other = probe_of(experiment(*TINY))
    other.restore(probe_of(built).state())
    assert other.summary() == probe_of(built).summary()
    assert other._weights == probe_of(built)._weights


@pytest.mark.parametrize(("option", "value"), [("observations", 1), ("tolerance", 0.5), ("spherical", 3)])
def test_options_out_of_range_are_refused(experiment, option, value):
    with pytest.raises(UserError, match=f"probes.sharpness.{option}"):
        experiment("probes=sharpness", f"probes.sharpness.{option}={value}")
