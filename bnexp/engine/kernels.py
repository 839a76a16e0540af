"""What we take from torch that it does not promise to keep, each behind one guard that falls back on what it does promise.

torch gives every float32 product on a CPU to MKL, which leaves wide vectors unused on processors that are not Intel's. oneDNN,
which torch brings along, is faster in two ways: its linear layer for wide products (10,000 digits evaluated on one thread of an AMD
EPYC in 20 instead of 29 ms), and brgemm, kernels that it makes for each size, for the small products of a compiled step (a
100 x 100 product of the paper's network in 6 us; MKL 15, oneDNN's linear layer 18). Neither has a public name in torch.

Legend: S products side by side, N K M sizes of a product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.overrides import TorchFunctionMode

from bnexp.engine.cpp import Operator, built

if TYPE_CHECKING:  # takes a while to import, and most runs are eager
    from torch.fx import GraphModule, Node

#: Products with a side of at least this many are faster in oneDNN's linear layer than in MKL.
WIDE = 256

#: Multiplications of a product that brgemm does in one go; the blocks of larger ones leave the caches.
LARGEST = 2**23

#: Numbers of a right side that are copied into the other order for brgemm. Measured on the paper's layers, copy included, against
#: MKL: 100 x 10 takes 3 instead of 9 us, 100 x 100 16 instead of 15 (AVX2: 19), 784 x 100 116 instead of 107 (AVX2: 120 to 150).
COPIED = 2**12

#: Columns that brgemm takes at once with AVX2: three vectors. Measured there: 60 x 784 x 100 takes 116 instead of 185 us, 100 x 60
#: x 784 takes 112 instead of 142, 60 x 100 x 100 17 instead of 27.
PANEL = 24


@cache
def private(find: Callable[[], Operator]) -> tuple[Operator | None, str]:
    """The guard: an operator of torch's that may be gone tomorrow, or None and the reason why it is not used.

    It is found, run and compared with the public one, once in a process; the trials are small whole numbers, whose products are
    exact whatever the order of their sums.

    Args:
        find: returns the operator; one of :func:`wide_linear` and :func:`brgemm`.
    """
    try:
        operator = find()
        for arguments, expected in _trials(find):
            if not torch.equal(operator(*arguments), expected):
                return None, f"{find.__name__}: wrong answers"
    except Exception as error:  # no such name, no compiler, another processor: whatever it is, torch's public one is right
        return None, f"{find.__name__}: {first_line(error)}"
    return operator, ""


def first_line(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _trials(find: Callable[[], Operator]) -> Iterator[tuple[tuple[Tensor | None, ...], Tensor]]:
    """Arguments of an operator, and what it must answer."""
    a, b, bias = torch.arange(24.0).view(2, 3, 4), torch.arange(40.0).view(2, 4, 5) - 20, torch.arange(5.0)
    if find is brgemm:
        wide = torch.arange(400.0).view(2, 4, 50) - 200  # more than a panel
        for right in (b, wide):
            yield (a, right), a @ right
            yield (a, right, torch.ones(2, 3, right.shape[-1])), a @ right + 1
        return
    weight = b[0].t()
    for x in (a, a[0], a[0].t().contiguous().t()):
        for added in (bias, None):
            yield (x, weight, added), F.linear(x, weight, added)


def wide_linear() -> Operator:
    """oneDNN's linear layer on a CPU as ``operator(x, weight, bias)``. Shape: as of ``F.linear``."""
    operator = torch.ops.mkldnn._linear_pointwise.default
    return lambda x, weight, bias: operator(x, weight, bias, "none", [], "")


def brgemm() -> Operator:
    """oneDNN's brgemm as ``operator(a, b, added_to=None)``: the product, by itself or added to a tensor, which it then returns.

    Shape: ``[N, K]`` and ``[K, M]`` to ``[N, M]``, or all with S in front.

    torch has it in C++ only, so a few lines around it are built as Inductor builds its own kernels, once on a machine, and Inductor
    is told to call them.

    Source: ``at::native::cpublas::brgemm``, which torch's own flex attention calls in the same way.
    """
    _built["brgemm"] = built(_ARGUMENTS, _SOURCE)

    def multiply(a: Tensor, b: Tensor, added_to: Tensor | None = None) -> Tensor:
        shape = (*a.shape[:-1], b.shape[-1])
        out = a.new_empty(shape) if added_to is None else added_to.view(shape)  # the kernel takes its arguments' word for it
        _built["brgemm"](a.contiguous(), b.contiguous(), out, *_sizes(a.shape, b.shape), int(added_to is not None))
        return out

    _teach_inductor()
    return multiply


_SOURCE = """
#include <ATen/native/CPUBlas.h>
#include <algorithm>
#ifndef CPUBLAS_BRGEMM_F32F32F32
#error "this torch has no float32 brgemm"
#endif
extern "C" void kernel(
    const float* a, const float* b, float* out, int64_t S, int64_t N, int64_t K, int64_t M, int64_t panel, int64_t add) {
    for (int64_t s = 0; s < S; ++s)
        for (int64_t m = 0; m < M; m += panel)
            at::native::cpublas::brgemm(
                N, std::min(panel, M - m), K, K, M, M, add, a + s * N * K, b + s * K * M + m, out + s * N * M + m, false);
}
"""
_ARGUMENTS = [*["const float*"] * 2, "float*", *["int64_t"] * 6]
_built: dict[str, Any] = {}


@contextmanager
def each_through(passed: Callable[[Operator], Operator]) -> Iterator[None]:
    """While it is entered, brgemm is called as ``passed`` makes it, by operations and by what Inductor compiled."""
    kernel = _built.get("brgemm")
    if kernel:
        _built["brgemm"] = passed(kernel)
    try:
        yield
    finally:
        if kernel:
            _built["brgemm"] = kernel


def _sizes(a: Any, b: Any) -> list[int]:
    side_by_side, columns = int(a[0]) if len(a) > 2 else 1, int(b[-1])
    panel = PANEL if torch.backends.cpu.get_cpu_capability() == "AVX2" else columns
    return [side_by_side, int(a[-2]), int(a[-1]), columns, panel]


#: Graphs on the disk are found by the names of their operations and call this by its own: other arguments are other names.
PRODUCT_INTO = "bnexp_panel_product"


def _teach_inductor() -> None:
    """A compiled graph calls the kernel itself and not the operation, which goes through torch's dispatcher and back to Python."""
    from torch._inductor import ir
    from torch._inductor.lowering import register_lowering
    from torch._inductor.select_algorithm import ExternKernelChoice

    def into(a: Tensor, b: Tensor, *sizes: int, out: Tensor) -> None:
        _built["brgemm"](a, b, out, *sizes, 0)

    def lower(a: Any, b: Any) -> Any:
        a, b = (ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x)) for x in (a, b))
        layout = ir.FixedLayout(a.get_device(), a.get_dtype(), [*a.get_size()[:-1], b.get_size()[-1]])
        sizes = _sizes(a.get_size(), b.get_size())
        name = _built[PRODUCT_INTO].call_name()
        return ir.TensorBox.create(ir.ExternKernelOut(layout, [a, b], sizes, python_kernel_name=name))

    if PRODUCT_INTO not in _built:  # Inductor takes a name once
        _built[PRODUCT_INTO] = ExternKernelChoice(into, name=PRODUCT_INTO)
    register_lowering(torch.ops.bnexp.panel_product.default, type_promotion_kind=None)(lower)


def _product(find: Callable[[], Operator], a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` by this operator; by torch's own where it is not to be trusted."""
    operator, _ = private(find)
    if operator is None:
        return a @ b
    return operator(a, b) if find is brgemm else operator(a, b.t(), None)


def _add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    """``out += a @ b``, by brgemm where it is to be trusted; ``out`` is contiguous."""
    operator, _ = private(brgemm)
    if operator is None:
        out.add_(a @ b)
    else:
        operator(a, b, out)


_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")
for _name, _find in {"panel_product": brgemm, "wide_product": wide_linear}.items():
    _LIBRARY.define(f"{_name}(Tensor a, Tensor b) -> Tensor")
    _LIBRARY.impl(_name, lambda a, b, find=_find: _product(find, a, b), "CPU")
    _LIBRARY.impl(_name, lambda a, b: a.new_empty(*a.shape[:-1], b.shape[-1]), "Meta")
_LIBRARY.define("add_panel_product_(Tensor(a!) out, Tensor a, Tensor b) -> ()")
_LIBRARY.impl("add_panel_product_", _add_product, "CPU")
_LIBRARY.impl("add_panel_product_", lambda *_: None, "Meta")


_TORCHS = tuple(getattr(torch.ops.aten, name).default for name in ("mm", "bmm", "addmm"))


def with_fastest_products(graph: GraphModule) -> str:
    """Let a graph's float32 products on the CPU be done by whichever library is fastest for them; equal up to rounding.

    Small ones, side by side or not, go to brgemm; other wide ones to oneDNN's linear layer; the rest stays with torch. brgemm wants
    its operands in rows, so a layer's weights would be copied into the other order first: MKL, which takes either order, keeps all
    but the smallest of these products.

    Returns:
        Why products that are small enough are not brgemm's; empty where they are, or where there are none.
    """
    missing = ""
    for target in _TORCHS:
        for node in graph.graph.find_nodes(op="call_function", target=target):
            *bias, a, b = node.args
            product, reason = (None, "") if node.kwargs else _fastest(a.meta["val"], b.meta["val"])
            missing = missing or reason
            if product is None:
                continue
            with graph.graph.inserting_before(node):
                made = graph.graph.call_function(product, (a, b))
                if bias:
                    made.meta = dict(node.meta)
                    made = graph.graph.call_function(torch.ops.aten.add.Tensor, (made, *bias))
            made.meta = dict(node.meta)
            node.replace_all_uses_with(made)
            graph.graph.erase_node(node)
    if not graph.graph.find_nodes(op="call_function", target=torch.ops.aten.convolution.default):
        _add_updates_in_products(graph)  # which takes longer to call than it saves where the step is not replayed (replayed.py)
    graph.recompile()
    return missing


def _add_updates_in_products(graph: GraphModule) -> None:
    """Plain gradient descent of one run without the gradient: ``W -= lr * (a @ b)`` as ``W += (-lr * a) @ b`` by brgemm, which adds
    what it multiplies; equal up to rounding. To write the first layer's gradient and read it again is 3 % of the paper's step.
    """
    aten = torch.ops.aten

    def made(operation: Any, *given: Any, **named: Any) -> Node:
        return graph.graph.call_function(operation, given, named)

    for update in graph.graph.find_nodes(op="call_function", target=aten.sub_.Tensor):
        weight, change = update.args
        if getattr(change, "target", None) is not aten.mul.Tensor or not weight.meta["val"].is_contiguous():
            continue
        lr, product = change.args
        turns, shape = 0, weight.meta["val"].shape
        while getattr(product, "target", None) is aten.t.default and len(product.users) == 1:
            turns, product = turns + 1, product.args[0]
        if getattr(product, "target", None) is not torch.ops.bnexp.panel_product.default or turns % 2:
            continue
        one_rate = lr.meta["val"].numel() == 1
        if len(change.users) > 1 or len(product.users) > 1 or product.meta["val"].shape != shape or not one_rate:
            continue
        with graph.graph.inserting_before(update):
            a, b = product.args
            step = made(aten.mul.Tensor, a, made(aten.neg.default, lr))
            a, b = (made(aten.clone.default, x, memory_format=torch.contiguous_format) for x in (step, b))
            made(torch.ops.bnexp.add_panel_product_.default, weight, a, b)
        graph.graph.erase_node(update)
    graph.graph.eliminate_dead_code()


def named(graph: GraphModule) -> str:
    """What a graph is computed with: the processor's vectors, and how many products by which library."""
    ops = torch.ops.bnexp
    ours = {ops.panel_product.default: "brgemm", ops.add_panel_product_.default: "brgemm", ops.wide_product.default: "oneDNN"}
    found = [ours.get(node.target, "torch" if node.target in _TORCHS else "") for node in graph.graph.nodes]
    counts = [f"{name} {found.count(name)}" for name in ("brgemm", "oneDNN", "torch") if name in found]
    return torch.backends.cpu.get_cpu_capability() + (f"; products: {', '.join(counts)}" if counts else "")


def _fastest(a: Tensor, b: Tensor) -> tuple[Any, str]:
    """The operation that multiplies these, None for torch's own; and why it is not brgemm where that would fit."""
    if a.device.type != "cpu" or (a.dtype, b.dtype) != (torch.float32, torch.float32):
        return None, ""
    reason = ""
    if a.shape[-2] * a.shape[-1] * b.shape[-1] <= LARGEST:
        if b.stride(-1) != 1 and b.shape[-2] * b.shape[-1] > COPIED:
            return None, ""
        operator, reason = private(brgemm)
        if operator is not None:
            return torch.ops.bnexp.panel_product.default, ""
    wide = a.ndim == 2 and _is_wide(a, b) and private(wide_linear)[0] is not None
    return torch.ops.bnexp.wide_product.default if wide else None, reason


def fast_inference() -> AbstractContextManager[Any]:
    """While it is entered, linear layers with a wide float32 product on the CPU are computed by oneDNN; for inference only."""
    operator, _ = private(wide_linear)
    return _WideLayers(operator) if operator else nullcontext()


class _WideLayers(TorchFunctionMode):
    """Source: torch's notes, "Extending all torch API with Modes"."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._operator = operator

    def __torch_function__(
        self, func: Operator, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """``func``, or oneDNN's linear layer in place of torch's."""
        if func is F.linear and not kwargs:
            x, weight, *bias = args
            if _is_wide(x, weight) and not torch.is_autocast_enabled("cpu"):
                return self._operator(x, weight, *(bias or [None]))
        return func(*args, **(kwargs or {}))


def _is_wide(a: Tensor, b: Tensor) -> bool:
    return a.device.type == "cpu" and a.dtype == torch.float32 and max(*a.shape, *b.shape) >= WIDE
