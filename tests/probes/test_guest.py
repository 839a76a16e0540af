"""Whatever a probe does to a model is undone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp.probes.base import guest


@pytest.fixture
def model_at_work(experiment):
    """A noisy batch-normalised net after one backward pass, with one layer in eval mode and one without gradient."""
    built = experiment("norm=noisy")
    x, y = built.training_batch(built.batches.next(), built.augmentation)
    F.cross_entropy(built.model(x), y).backward()
    built.model.hidden2.eval()
    next(built.model.output.parameters()).grad = None
    return built


def misbehave(built) -> None:
    x, y = built.training_batch(torch.arange(20), built.augmentation)
    built.model.train()
    F.cross_entropy(built.model(x), y).backward()
    built.model.hidden1.eval()


def state(built) -> tuple:
    gradients = [None if p.grad is None else p.grad.tolist() for p in built.model.parameters()]
    buffers = [b.tolist() for b in built.model.buffers()]
    generators = [g.get_state().tolist() for g in (built.noise, built.augmentation)]
    return gradients, buffers, generators, [m.training for m in built.model.modules()]


PARTS = ("gradients", "buffers", "generators", "modes")


@pytest.mark.parametrize("raises", [False, True])
def test_buffers_modes_gradients_and_generators_are_as_before(model_at_work, raises):
    before = state(model_at_work)
    try:
        with guest(model_at_work.model, [model_at_work.noise, model_at_work.augmentation]):
            misbehave(model_at_work)
            assert not raises
    except AssertionError:
        assert raises
    assert state(model_at_work) == before


def test_without_the_guard_every_part_would_differ(model_at_work):
    before = state(model_at_work)
    model_at_work.noise.manual_seed(1)
    misbehave(model_at_work)
    assert [name for name, a, b in zip(PARTS, before, state(model_at_work), strict=True) if a == b] == []


def test_a_probe_sees_no_gradient_of_the_runs_own(model_at_work):
    with guest(model_at_work.model, []):
        assert all(p.grad is None for p in model_at_work.model.parameters())
