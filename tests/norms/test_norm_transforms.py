"""Norms under torch.func: stacked seeds train as the seeds one by one do, running statistics included."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from bnexp.norms import NORMS
from bnexp.norms.weight import wrap_layer

SHAPES = {0: (8, 6), 2: (8, 6, 3, 2)}
CASES = [
    (name, dims, affine)
    for name in NORMS
    for dims in SHAPES
    for affine in (("full", "scale", "shift") if name == "batch" else ("full",))
    if (name, dims) != ("instance", 0) and name not in ("none", "weight")
]


@pytest.mark.parametrize(("name", "dims", "affine"), CASES)
def test_stacked_seeds_have_the_losses_gradients_and_buffers_of_single_ones(build, sample, name, dims, affine):
    amplitude = {"amplitude": 0.0} if name == "noisy" else {}  # stacked seeds draw other noise than single ones
    models = [nn.Sequential(build(name, dims=dims, affine=affine, **amplitude), nn.Tanh(), Weigh()) for _ in range(3)]
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


# torch has no batching rule for its weight_norm and loops over the seeds: right, only slow
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_weight_normalised_layers_of_stacked_seeds_compute_what_single_ones_do(sample):
    layers = [nn.Sequential(wrap_layer(nn.Linear(6, 4).double())) for _ in range(3)]
    x = torch.stack([sample((8, 6), seed) for seed in range(3)])
    parameters, buffers = stack_module_state(layers)
    skeleton = copy.deepcopy(layers[0])
    stacked = vmap(lambda p, b, x: functional_call(skeleton, (p, b), (x,)))(parameters, buffers, x)
    torch.testing.assert_close(stacked, torch.stack([layer(x[i]) for i, layer in enumerate(layers)]))
