"""Products by other libraries are torch's own up to rounding, and only those go there that gain by it."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812

from bnexp.engine import products
from bnexp.engine.brgemm import kernel
from bnexp.engine.products import WidestByOneDNN, by_fastest

if not torch.backends.mkldnn.is_available():
    pytest.skip("this torch has no oneDNN", allow_module_level=True)

ONEDNN = torch.ops.mkldnn._linear_pointwise.default


SMALL, WIDE = torch.ops.bnexp.small_product.default, torch.ops.bnexp.wide_product.default

needs_brgemm = pytest.mark.skipif(kernel() is None, reason="no compiler, or no float32 brgemm on this processor")


def used(graph) -> list[object]:
    """The operations of a graph that multiply."""
    products = (SMALL, WIDE, *(getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm")))
    return [node.target for node in graph.graph.nodes if node.target in products]


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@needs_brgemm
@pytest.mark.parametrize("backend", ["traced", pytest.param("inductor", marks=pytest.mark.slow)])
def test_small_products_are_done_by_brgemm_and_equal_torchs(backend):
    a, b, c, bias = torch.randn(60, 784), torch.randn(100, 784), torch.randn(60, 100), torch.randn(100)
    stacked = torch.randn(4, 60, 9), torch.randn(60, 4, 5).transpose(0, 1)

    def products(a, b, c, bias, d, e):
        return a @ b.t(), torch.addmm(bias, a, b.t()), c.t() @ a, d.transpose(1, 2) @ e, (c.relu() @ c.t()).relu()

    graph = by_fastest(make_fx(products)(a, b, c, bias, *stacked))
    assert used(graph) == [SMALL] * 5
    run = graph if backend == "traced" else torch._inductor.compile(graph, [a, b, c, bias, *stacked])
    for _ in range(2):
        for found, expected in zip(run(a, b, c, bias, *stacked), products(a, b, c, bias, *stacked), strict=True):
            assert_close(found, expected)


@needs_brgemm
@pytest.mark.parametrize("sizes", [(1, 60, 784, 100), (3, 7, 100, 10), (1, 100, 60, 784), (2, 1, 1, 1)])
def test_what_was_in_memory_before_does_not_enter_a_product(sizes):
    s, n, k, m = sizes
    a, b, out = torch.randn(s, n, k), torch.randn(s, k, m), torch.full((s, n, m), float("nan"))
    kernel()(a, b, out, *sizes)
    assert_close(out, a @ b)


@needs_brgemm
def test_products_that_are_large_or_not_float32_are_left_to_others():
    large = torch.randn(300, 300), torch.randn(300, 300)
    double = torch.randn(60, 100).double(), torch.randn(100, 50).double()
    graph = by_fastest(make_fx(lambda a, b, c, d: (a @ b, c @ d))(*large, *double))
    assert used(graph) == [WIDE, torch.ops.aten.mm.default]


def test_where_brgemm_cannot_be_had_wide_products_are_done_by_onednn_and_equal_torchs(monkeypatch):
    monkeypatch.setattr(products, "kernel", lambda: None)
    a, b, bias = torch.randn(60, 784), torch.randn(784, 100), torch.randn(100)
    graph = by_fastest(make_fx(lambda a, b: (a @ b, (a @ b).t() @ (a @ b)))(a, b))
    assert used(graph) == [WIDE, WIDE, WIDE, torch.ops.aten.mm.default]  # 100 x 60 by 60 x 100 is not wide
    assert_close(graph(a, b)[0], a @ b)
    with_bias = by_fastest(make_fx(torch.addmm)(bias, a, b))
    assert used(with_bias) == [WIDE]
    assert_close(with_bias(bias, a, b), torch.addmm(bias, a, b))


def test_a_processor_without_brgemm_and_a_machine_without_a_compiler_are_noticed(monkeypatch):
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    def refuses(*_: object) -> None:
        raise RuntimeError("F32 Brgemm is only supported on X64")

    def fails(*_: object) -> None:
        raise RuntimeError("no C++ compiler here")

    for load in (lambda *_: refuses, fails, lambda *_: lambda *_: None):
        monkeypatch.setattr(CppPythonBindingsCodeCache, "load_pybinding", load)
        assert kernel.__wrapped__() is None


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
