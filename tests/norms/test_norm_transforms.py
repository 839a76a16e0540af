"""Norms under torch.func: stacked seeds train as the seeds one by one do, running statistics included."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from bnexp.norms import NORMS

SHAPES = {0: (8, 6), 2: (8, 6, 3, 2)}
CASES = [(name, dims) for name in NORMS for dims in SHAPES if (name, dims) != ("instance", 0)]


@pytest.mark.parametrize(("name", "dims"), CASES)
@pytest.mark.parametrize("affine", ["full", "scale", "shift"])
def test_stacked_seeds_have_the_losses_gradients_and_buffers_of_single_ones(build, sample, name, dims, affine):
    if name in ("none", "weight") and affine != "full":
        pytest.skip("has no affine")
    options = {} if name in ("none", "weight") else {"affine": affine}
    if name == "noisy":
        options["amplitude"] = 0.0  # stacked seeds draw other noise than single ones
    models = [nn.Sequential(build(name, dims=dims, **options), nn.Tanh(), Weigh()) for _ in range(3)]
    x = torch.stack([sample(SHAPES[dims], seed) for seed in range(3)])
    singles = [single_step(model, x[i]) for i, model in enumerate(models)]
    parameters, buffers = stack_module_state(models)
    skeleton = copy.deepcopy(models[0])

    def loss(parameters, buffers, x):
        return functional_call(skeleton, (parameters, buffers), (x,)).square().mean()

    for _ in range(2):
        gradients, losses = vmap(grad_and_value(loss), randomness="different")(parameters, buffers, x)
    for i, (value, grads, state) in enumerate(singles):
        torch.testing.assert_close(losses[i], value)
        for key, expected in grads.items():
            torch.testing.assert_close(gradients[key][i], expected)
        for key, expected in state.items():
            torch.testing.assert_close(buffers[key][i], expected)


class Weigh(nn.Module):
    """Another factor for each feature, so that no gradient is 0 by symmetry."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.arange(1.0, 7.0, dtype=torch.float64))

    def forward(self, x):
        return x * self.factor.reshape(1, 6, *[1] * (x.dim() - 2)) + 0.1


def single_step(model, x):
    """Loss, gradients and buffers at the second of two calls of a copy of ``model``."""
    model = copy.deepcopy(model)
    for _ in range(2):
        model.zero_grad()
        value = model(x).square().mean()
        value.backward()
    return value.detach(), {k: p.grad for k, p in model.named_parameters()}, dict(model.named_buffers())


@pytest.mark.parametrize("name", list(NORMS))
def test_dynamo_traces_the_train_step_as_one_graph(build, sample, name):
    if name == "noisy":
        pytest.skip("a torch.Generator breaks the graph; the model still runs, in pieces")
    norm, twin = (build(name, dims=2) for _ in range(2))
    x = sample(SHAPES[2])
    compiled = torch.compile(twin, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), norm(x))
    torch.testing.assert_close(compiled(2 * x), norm(2 * x))
    for mine, theirs in zip(twin.buffers(), norm.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)
