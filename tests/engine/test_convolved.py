"""What stands between convolutions, rearranged, has the gradients that torch has for the layers as they were written."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close
from torch.utils._pytree import tree_flatten

from bnexp.engine.convolved import READS, moments, written_out
from bnexp.engine.decomposed import DECOMPOSED

MASK = torch.ops.aten.threshold_backward.default


class Sum(nn.Module):
    """Two ways that meet before the ReLU."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x) + x


def norm(affine: bool = True) -> nn.Module:
    return nn.BatchNorm2d(4, affine=affine)


LAYERS = {
    "relu": lambda: [norm(), nn.ReLU()],
    "pooled": lambda: [norm(), nn.ReLU(), nn.MaxPool2d(2)],
    "without weights": lambda: [norm(affine=False), nn.ReLU(), nn.MaxPool2d(2)],
    "pooled before the relu": lambda: [norm(), nn.MaxPool2d(2), nn.ReLU()],
    "pooled without a relu": lambda: [norm(), nn.Tanh(), nn.MaxPool2d(2)],
    "pooled twice": lambda: [norm(), nn.ReLU(), nn.MaxPool2d(2), norm(), nn.ReLU(), nn.MaxPool2d(2)],
    "a sum": lambda: [Sum(norm()), nn.ReLU(), nn.MaxPool2d(2)],
    "no norm": lambda: [nn.Conv2d(4, 4, 1), nn.ReLU(), nn.MaxPool2d(2)],
    "one picture": lambda: [nn.InstanceNorm2d(4, affine=True), nn.ReLU(), nn.MaxPool2d(2)],
}


def gradients(layers, x):
    """Of a sum of squares with weights, by the parameters and the input, as a function of both."""
    model = nn.Sequential(*layers()).train()
    names, values = zip(*model.named_parameters(), strict=True) if list(model.parameters()) else ((), ())
    buffers = dict(model.named_buffers())

    def loss(values, x):
        y = functional_call(model, dict(zip(names, values, strict=True)) | {k: v.clone() for k, v in buffers.items()}, (x,))
        return (y.square() * torch.linspace(1, 2, y.numel()).view(y.shape)).sum()

    with torch.no_grad():
        for value in values:  # weights of both signs, and one that lets nothing through
            value.copy_(torch.linspace(-1, 1, value.numel()).view(value.shape))
            value[0] = 0
    return grad(loss, (0, 1)), (tuple(value.detach() for value in values), x)


@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("layers", LAYERS)
def test_gradients_are_torchs_with_ties_and_dead_channels(layers, form):
    x = torch.randn(6, 4, 8, 8).round(decimals=1).contiguous(memory_format=form)  # windows with equal pixels
    x[:, 1] = 2.0
    function, given = gradients(LAYERS[layers], x)
    graph = make_fx(function, DECOMPOSED)(*given)
    written_out(graph)
    assert "bnexp" not in graph.code
    other = given[0], x.flip(0).contiguous(memory_format=form)
    expected, found = (tree_flatten(each(*other))[0] for each in (function, graph))
    least = 1e-5 * max(each.abs().max().item() for each in expected)  # what a norm removes has a gradient of rounding alone
    assert_close(found, expected, rtol=1e-4, atol=least)


@pytest.mark.parametrize(("form", "side"), [(torch.channels_last, 4), (torch.contiguous_format, 8)])
def test_what_relu_lets_through_is_looked_up_among_the_maxima_where_channels_lie_together(form, side):
    function, given = gradients(LAYERS["pooled"], torch.randn(6, 4, 8, 8).contiguous(memory_format=form))
    graph = make_fx(function, DECOMPOSED)(*given)
    written_out(graph)
    (mask,) = graph.graph.find_nodes(op="call_function", target=MASK)
    assert mask.meta["val"].shape == (6, 4, side, side)


@pytest.mark.parametrize(("layers", "choices"), [("pooled", 2), ("no norm", 1)])
def test_what_a_pooling_chose_is_kept_where_a_norm_needs_it_and_only_there(layers, choices):
    function, given = gradients(LAYERS[layers], torch.randn(6, 4, 8, 8).contiguous(memory_format=torch.channels_last))
    graph = make_fx(function, DECOMPOSED)(*given)
    written_out(graph)
    chosen = graph.graph.find_nodes(op="call_function", target=torch.ops.aten.where.self)
    assert len([node for node in chosen if node.meta["val"].shape == (6, 4, 4, 4)]) == 3 * choices


def test_relu_behind_a_norm_is_masked_by_its_input_and_the_output_of_any_other_is_not_kept_for_it():
    for layers, of_input in (("relu", True), ("a sum", False), ("no norm", False)):
        without_pooling = [*LAYERS[layers]()[:2]]
        function, given = gradients(lambda layers=without_pooling: layers, torch.randn(6, 4, 8, 8))
        graph = make_fx(function, DECOMPOSED)(*given)
        written_out(graph)
        (mask,) = graph.graph.find_nodes(op="call_function", target=MASK)
        assert (mask.args[1].target is not torch.ops.aten.relu.default) == of_input
        assert (READS in graph.meta) == (layers != "no norm")


def test_moments_far_from_zero_are_as_exact_as_by_two_passes():
    x = 1000 + torch.randn(64, 3, 16, 16)
    mean, var, inverse = moments(x, 1e-5)
    exact = x.double()
    assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=0)
    assert_close(var.double(), exact.var((0, 2, 3), unbiased=False), rtol=1e-5, atol=0)
    assert_close(inverse, (var + 1e-5).rsqrt())
