"""Products by other libraries are torch's own up to rounding; where they are gone or answer wrongly, torch multiplies."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812

from bnexp.engine import kernels
from bnexp.engine.build import build, build_optimizer, quick_to_import
from bnexp.engine.evaluate import evaluate
from bnexp.engine.kernels import brgemm, fast_inference, private, with_fastest_products

SMALL, WIDE = torch.ops.bnexp.panel_product.default, torch.ops.bnexp.wide_product.default
ADDED = torch.ops.bnexp.add_panel_product_.default
TORCHS = tuple(getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm"))


def processor_has_avx512() -> bool:
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.is_file() and " avx512f " in cpuinfo.read_text(encoding="utf-8")


#: Decided without asking brgemm: on a machine that must have it, it has to work.
needs_brgemm = pytest.mark.skipif(
    not (processor_has_avx512() and shutil.which("g++")), reason="no AVX-512 processor or no C++ compiler"
)
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")


@pytest.fixture(autouse=True)
def _guards_tried_anew():
    private.cache_clear()
    yield
    private.cache_clear()


@pytest.fixture
def without(monkeypatch):
    """``without("wide_linear")``: torch has lost this operator; ``answering`` another function instead."""

    def replace(name: str, answering=None) -> None:
        def lost():
            if answering is None:
                raise AttributeError(f"torch has no {name}")
            return answering

        lost.__name__ = name
        monkeypatch.setattr(kernels, name, lost)

    return replace


def used(graph) -> list[object]:
    """The operations of a graph that multiply."""
    return [node.target for node in graph.graph.nodes if node.target in (SMALL, WIDE, ADDED, *TORCHS)]


def assert_close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


class Calls(torch.utils._python_dispatch.TorchDispatchMode):
    """Remembers which operations ran."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(str(func))
        return func(*args, **(kwargs or {}))

    @property
    def onednn(self) -> bool:
        return any("mkldnn._linear_pointwise" in name for name in self.seen)


@needs_brgemm
@pytest.mark.parametrize("backend", ["traced", pytest.param("inductor", marks=pytest.mark.slow)])
def test_panel_products_are_done_by_brgemm_and_equal_torchs(backend):
    a, b, c, bias = torch.randn(60, 784), torch.randn(5, 784), torch.randn(60, 5), torch.randn(5)
    stacked = torch.randn(4, 60, 9), torch.randn(60, 4, 5).transpose(0, 1)

    def products(a, b, c, bias, d, e):
        return a @ b.t(), torch.addmm(bias, a, b.t()), c.t() @ a, d.transpose(1, 2) @ e, (c.relu() @ c.t()).relu()

    assert private(brgemm)[1] == ""
    graph = make_fx(products)(a, b, c, bias, *stacked)
    assert with_fastest_products(graph) == ""
    assert used(graph) == [SMALL] * 5
    run = graph if backend == "traced" else torch._inductor.compile(graph, [a, b, c, bias, *stacked])
    for _ in range(2):
        for found, expected in zip(run(a, b, c, bias, *stacked), products(a, b, c, bias, *stacked), strict=True):
            assert_close(found, expected)


@needs_onednn
def test_without_brgemm_wide_products_are_done_by_onednn_and_the_reason_is_told(without):
    without("brgemm")
    a, b, bias = torch.randn(60, 784), torch.randn(784, 100), torch.randn(100)
    graph = make_fx(lambda a, b: (a @ b, (a @ b).t() @ (a @ b)))(a, b)
    assert with_fastest_products(graph) == "brgemm: AttributeError: torch has no brgemm"
    assert used(graph) == [WIDE, WIDE, WIDE, torch.ops.aten.mm.default]  # 100 x 60 by 60 x 100 is not wide
    assert_close(graph(a, b)[0], a @ b)
    with_bias = make_fx(torch.addmm)(bias, a, b)
    with_fastest_products(with_bias)
    assert used(with_bias) == [WIDE]
    assert_close(with_bias(bias, a, b), torch.addmm(bias, a, b))


@pytest.mark.slow
def test_without_any_private_operator_a_graph_is_as_torch_made_it(without):
    without("brgemm")
    without("wide_linear")
    a, b = torch.randn(60, 784), torch.randn(784, 100)
    graph = make_fx(torch.mm)(a, b)
    with_fastest_products(graph)
    assert used(graph) == [torch.ops.aten.mm.default]
    assert_close(SMALL(a, b), a @ b)
    assert_close(WIDE(a, b), a @ b)


def test_products_in_other_kinds_of_numbers_are_torchs_and_nothing_is_missed():
    graph = make_fx(torch.mm)(torch.randn(6, 7).double(), torch.randn(7, 8).double())
    assert with_fastest_products(graph) == ""
    assert used(graph) == [torch.ops.aten.mm.default]


@pytest.mark.parametrize("name", ["wide_linear", "brgemm"])
def test_an_operator_that_answers_wrongly_is_not_used(without, name):
    without(name, answering=lambda a, *_: torch.zeros(a.shape[0], 5))
    assert private(getattr(kernels, name)) == (None, f"{name}: wrong answers")


def test_a_processor_without_brgemm_and_a_machine_without_a_compiler_are_noticed(monkeypatch):
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    def refuses(*_: object) -> None:
        raise RuntimeError("F32 Brgemm is only supported on X64\nmore")

    def fails(*_: object) -> None:
        raise RuntimeError("no C++ compiler here")

    for load, reason in (
        (lambda *_: refuses, "RuntimeError: F32 Brgemm is only supported on X64"),
        (fails, "RuntimeError: no C++ compiler here"),
        (lambda *_: lambda *_: None, "wrong answers"),
    ):
        private.cache_clear()
        monkeypatch.setattr(kernels, "_teach_inductor", lambda: None)
        monkeypatch.setattr(CppPythonBindingsCodeCache, "load_pybinding", load)
        assert private(brgemm) == (None, f"brgemm: {reason}")


@needs_onednn
@pytest.mark.parametrize("bias", [None, torch.randn(100)])
@pytest.mark.parametrize("x", [torch.randn(60, 784), torch.randn(5, 12, 784), torch.randn(784, 60).t()])
def test_wide_linear_layers_are_evaluated_by_onednn_and_equal_torchs(x, bias):
    weight = torch.randn(100, 784)
    by_onednn = fast_inference()
    with torch.no_grad(), Calls() as calls, by_onednn:
        found = F.linear(x, weight, bias)
    assert calls.onednn
    assert_close(found, F.linear(x, weight, bias))


@pytest.mark.parametrize("answering", [None, lambda x, weight, _: torch.zeros(*x.shape[:-1], len(weight))])
def test_evaluation_goes_on_when_onednns_layer_is_gone_or_answers_wrongly(make, without, answering):
    experiment = build(make("model.width=300"))
    expected = evaluate(experiment.model, experiment.validation, experiment)
    without("wide_linear", answering)
    with Calls() as calls:
        found = evaluate(experiment.model, experiment.validation, experiment)
    assert not calls.onednn
    assert (found.accuracy, found.loss) == (expected.accuracy, pytest.approx(expected.loss, rel=1e-5))


def test_narrow_layers_other_kinds_of_numbers_and_bf16_stay_with_torch():
    wide = torch.randn(60, 784), torch.randn(100, 784)
    by_onednn = fast_inference()
    with torch.no_grad(), Calls() as calls, by_onednn:
        F.linear(torch.randn(60, 100), torch.randn(10, 100))
        F.linear(*(tensor.double() for tensor in wide))
        with torch.autocast("cpu", torch.bfloat16):
            assert F.linear(*wide).dtype == torch.bfloat16
    assert not calls.onednn


@pytest.mark.parametrize("how", ["lost", "refuses", "idle"])
def test_an_optimizer_that_torch_wraps_in_another_way_is_torchs_own_class(make, monkeypatch, how):
    def refuse(*_: object, **__: object) -> None:
        raise TypeError("another signature")

    kind = type("SGD", (torch.optim.SGD,), {})
    if how == "lost":
        monkeypatch.setattr("bnexp.engine.build.inspect", SimpleNamespace(unwrap=refuse))
    else:
        kind.step = refuse if how == "refuses" else lambda *_: None
    assert quick_to_import(kind) is kind
    experiment = build(make())
    assert isinstance(build_optimizer(experiment.config.optimizer, experiment.model), torch.optim.SGD)


@needs_brgemm
@pytest.mark.parametrize("capability", ["AVX512", "AVX2"])
def test_products_with_many_weights_in_columns_stay_with_torch(monkeypatch, capability):
    def products(a, weight):
        h = a @ weight.t()
        return h, h.t() @ a, h @ weight

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for width, words in ((100, "brgemm 2, torch 1"), (10, "brgemm 3")):
        graph = make_fx(products)(torch.randn(60, 100), torch.randn(width, 100))
        assert with_fastest_products(graph) == ""
        assert kernels.named(graph) == f"{capability}; products: {words}"


@needs_brgemm
@pytest.mark.parametrize("turned", [False, True])
def test_plain_descent_adds_its_product_to_the_weights(turned):
    def step(weight, rate, dy, x):
        gradient = (x.t() @ dy).t() if turned else dy.t() @ x
        weight.sub_(rate.view(1, 1) * gradient)

    given = torch.randn(100, 50), torch.tensor(0.3), torch.randn(60, 100), torch.randn(60, 50)
    graph = make_fx(step)(*(one.clone() for one in given))
    assert with_fastest_products(graph) == ""
    assert used(graph) == ([SMALL] if turned else [ADDED])
    assert kernels.named(graph).endswith("products: brgemm 1")
    expected = given[0].clone()
    step(expected, *given[1:])
    graph(*given)
    assert_close(given[0], expected)


def otherwise(how, w, m, rate, dy, x):
    """Descent whose gradient is needed by something else, or is no product of the weights' own shape."""
    if how == "momentum":
        w.sub_(rate * m.mul_(0.9).add_(dy.t() @ x))
    elif how == "weight decay":
        w.sub_(rate * (dy.t() @ x + 0.1 * w))
    elif how == "gradient kept":
        gradient = dy.t() @ x
        w.sub_(rate * gradient)
        m.copy_(gradient)
    elif how == "change kept":
        change = rate * (dy.t() @ x)
        w.sub_(change)
        m.copy_(change)
    elif how == "weights in columns":
        w[:, :40].sub_(rate * (dy.t() @ x[:, :40]))
    elif how == "one row for all":
        w.sub_(rate * (dy[:, :1].t() @ x))
    else:
        w.sub_(m[:1] * (dy.t() @ x))


@needs_brgemm
@pytest.mark.parametrize(
    "how", ["momentum", "weight decay", "gradient kept", "change kept", "weights in columns", "one row for all", "a rate a column"]
)
def test_a_gradient_that_is_needed_otherwise_is_still_made(how):
    step = partial(otherwise, how)
    rate = torch.tensor(0.3).view(1, 1)
    given = torch.randn(100, 50), torch.zeros(100, 50), rate, torch.randn(60, 100), torch.randn(60, 50)
    graph = make_fx(step)(*(one.clone() for one in given))
    assert with_fastest_products(graph) == ""
    assert used(graph) == [SMALL]
    expected = [one.clone() for one in given]
    step(*expected)
    graph(*given)
    assert_close(list(given), expected)


def test_without_brgemm_a_sum_of_products_is_torchs(without):
    without("brgemm")
    weight, a, b = torch.ones(3, 5), torch.randn(3, 4), torch.randn(4, 5)
    ADDED(weight, a, b)
    assert_close(weight, 1 + a @ b)
