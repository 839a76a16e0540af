"""Wide products by oneDNN are torch's own up to rounding, and only those go there."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812

from bnexp.engine.products import WidestByOneDNN, _product, widest_by_onednn

if not torch.backends.mkldnn.is_available():
    pytest.skip("this torch has no oneDNN", allow_module_level=True)

ONEDNN = torch.ops.mkldnn._linear_pointwise.default


def test_wide_products_of_a_graph_are_done_by_onednn_and_equal_torchs():
    a, b = torch.randn(60, 784), torch.randn(784, 100)
    torch.testing.assert_close(_product(a, b), a @ b, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(_product(b.t(), a.t()), b.t() @ a.t(), rtol=1e-4, atol=1e-4)
    graph = widest_by_onednn(make_fx(lambda a, b: (a @ b, (a @ b).t() @ (a @ b)))(a, b))
    used = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert used.count(torch.ops.bnexp.product.default) == 3
    assert used.count(torch.ops.aten.mm.default) == 1  # 100 x 60 by 60 x 100 is not wide
    torch.testing.assert_close(graph(a, b)[0], a @ b, rtol=1e-4, atol=1e-4)
    c = torch.randn(100)
    with_bias = widest_by_onednn(make_fx(torch.addmm)(c, a, b))
    assert not with_bias.graph.find_nodes(op="call_function", target=torch.ops.aten.addmm.default)
    torch.testing.assert_close(with_bias(c, a, b), torch.addmm(c, a, b), rtol=1e-4, atol=1e-4)


class Calls(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers which operations ran."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[object] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("bias", [None, torch.randn(100)])
@pytest.mark.parametrize("x", [torch.randn(60, 784), torch.randn(5, 12, 784), torch.randn(784, 60).t()])
def test_wide_linear_layers_are_done_by_onednn_and_equal_torchs(x, bias):
    weight = torch.randn(100, 784)
    with torch.no_grad(), Calls() as calls, WidestByOneDNN():
        found = F.linear(x, weight, bias)
    assert ONEDNN in calls.seen
    torch.testing.assert_close(found, F.linear(x, weight, bias), rtol=1e-4, atol=1e-4)


def test_narrow_layers_other_kinds_of_numbers_and_bf16_stay_with_torch():
    wide = torch.randn(60, 784), torch.randn(100, 784)
    with torch.no_grad(), Calls() as calls, WidestByOneDNN():
        F.linear(torch.randn(60, 100), torch.randn(10, 100))
        F.linear(*(tensor.double() for tensor in wide))
        with torch.autocast("cpu", torch.bfloat16):
            assert F.linear(*wide).dtype == torch.bfloat16
    assert ONEDNN not in calls.seen
