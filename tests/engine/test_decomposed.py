"""What is traced as other operations gives what torch's own rules give."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from bnexp.engine.convolved import written_out
from bnexp.engine.decomposed import DECOMPOSED


@pytest.mark.parametrize("shape", [(60, 7), (8, 3, 5, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_as_it_is_traced_is_torchs(shape, affine):
    x, weight, bias = 3 + torch.randn(shape), torch.rand(shape[1]) + 0.5, torch.randn(shape[1])
    given = (weight, bias) if affine else (None, None)
    plain, traced = ([torch.zeros(shape[1]), torch.ones(shape[1])] for _ in range(2))

    def normalised(x, *running):
        return torch.ops.aten.native_batch_norm(x, *given, *running, True, 0.1, 1e-5)

    graph = make_fx(normalised, DECOMPOSED)(x, *[value.clone() for value in traced])
    written_out(graph)
    assert "bnexp" not in graph.code
    assert not graph.graph.find_nodes(op="call_function", target=torch.ops.aten.native_batch_norm.default)
    for found, expected in zip(graph(x, *traced), normalised(x, *plain), strict=True):
        assert_close(found, expected)
    assert_close(traced, plain)


def test_batch_norm_in_eval_mode_and_in_other_numbers_is_traced_as_torch_has_it():
    x, ones = torch.randn(6, 3), torch.ones(3)
    for given, training in ((x, False), (x.double(), True)):
        tensors = given, *[ones.to(given.dtype)] * 4
        graph = make_fx(
            lambda x, *four, training=training: torch.ops.aten.native_batch_norm(x, *four, training, 0.1, 1e-5),
            DECOMPOSED,
        )(*tensors)
        assert graph.graph.find_nodes(op="call_function", target=torch.ops.aten.native_batch_norm.default)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("window", "height", "ours"), [(2, 6, True), (2, 7, False), (3, 6, False)])
def test_max_pooling_as_it_is_traced_is_torchs_with_ties_and_unknown_to_inductor(form, window, height, ours, dtype):
    pool, back = (getattr(torch.ops.aten, f"max_pool2d_with_indices{end}").default for end in ("", "_backward"))
    size = [window, window]

    def pooled(x, weights):
        y, indices = pool(x, size, size)
        return y, back(y * weights, x, size, size, [0, 0], [1, 1], False, indices)

    x = torch.randn(4, 3, height, 8, dtype=dtype).relu().contiguous(memory_format=form)  # many are 0
    weights = 1 + torch.rand_like(pool(x, size, size)[0])
    graph = make_fx(pooled, DECOMPOSED)(x, weights)
    written_out(graph)
    assert not [node for node in graph.graph.nodes if node.target in (pool, back)]
    assert ("bnexp" in graph.code) != ours
    other = (x - 0.5).contiguous(memory_format=form).square()
    for given in (x, other):
        for found, expected in zip(graph(given, weights), pooled(given, weights), strict=True):
            assert torch.equal(found, expected)
            assert found.dtype == expected.dtype
            assert found.stride() == expected.stride()
