"""What we take from torch that it does not promise to keep, each behind one guard that falls back on what it does promise.

torch gives every float32 product on a CPU to MKL, which leaves wide vectors unused on processors that are not Intel's. oneDNN,
which torch brings along, is faster in two ways: its linear layer for wide products (10,000 digits evaluated on one thread of an AMD
EPYC in 20 instead of 29 ms), and brgemm, kernels that it makes for each size, for the small products of a compiled step (a
100 x 100 product of the paper's network in 6 us; MKL 15, oneDNN's linear layer 18). Neither has a public name in torch.

Legend: S products side by side, N K M sizes of a product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:  # takes a while to import, and most runs are eager
    from torch.fx import GraphModule

Operator = Callable[..., Any]

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

#: Bytes that the kernels of a recorded step may be given: as long as it is called, none of them is free.
MOST_HELD = 2**25


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
        yield from (((a, right), a @ right) for right in (b, wide))
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
    """oneDNN's brgemm as ``operator(a, b)``. Shape: ``[N, K]`` and ``[K, M]`` to ``[N, M]``, or all with S in front.

    torch has it in C++ only, so four lines around it are built as Inductor builds its own kernels, once on a machine, and Inductor
    is told to call them.

    Source: ``at::native::cpublas::brgemm``, which torch's own flex attention calls in the same way.
    """
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    kernel = CppPythonBindingsCodeCache.load_pybinding(_ARGUMENTS, _SOURCE)

    def multiply(a: Tensor, b: Tensor) -> Tensor:
        out = a.new_empty(*a.shape[:-1], b.shape[-1])
        kernel(a.contiguous(), b.contiguous(), out, *_sizes(a.shape, b.shape))
        return out

    _teach_inductor(kernel)
    return multiply


_SOURCE = """
#include <ATen/native/CPUBlas.h>
#include <algorithm>
#ifndef CPUBLAS_BRGEMM_F32F32F32
#error "this torch has no float32 brgemm"
#endif
extern "C" void kernel(
    const float* a, const float* b, float* out, int64_t S, int64_t N, int64_t K, int64_t M, int64_t panel) {
    for (int64_t s = 0; s < S; ++s)
        for (int64_t m = 0; m < M; m += panel)
            at::native::cpublas::brgemm(
                N, std::min(panel, M - m), K, K, M, M, false, a + s * N * K, b + s * K * M + m, out + s * N * M + m, false);
}
"""
_ARGUMENTS = [*["const float*"] * 2, "float*", *["int64_t"] * 5]


def _sizes(a: Any, b: Any) -> list[int]:
    side_by_side, columns = int(a[0]) if len(a) > 2 else 1, int(b[-1])
    panel = PANEL if torch.backends.cpu.get_cpu_capability() == "AVX2" else columns
    return [side_by_side, int(a[-2]), int(a[-1]), columns, panel]


def _teach_inductor(kernel: Operator) -> None:
    """A compiled graph calls the kernel itself and not the operation, which goes through torch's dispatcher and back to Python."""
    from torch._inductor import ir
    from torch._inductor.lowering import register_lowering
    from torch._inductor.select_algorithm import ExternKernelChoice

    def into(a: Tensor, b: Tensor, *sizes: int, out: Tensor) -> None:
        kernel(a, b, out, *sizes)

    into.kernel = kernel  # type: ignore[attr-defined]

    def lower(a: Any, b: Any) -> Any:
        a, b = (ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x)) for x in (a, b))
        layout = ir.FixedLayout(a.get_device(), a.get_dtype(), [*a.get_size()[:-1], b.get_size()[-1]])
        sizes = _sizes(a.get_size(), b.get_size())
        return ir.TensorBox.create(ir.ExternKernelOut(layout, [a, b], sizes, python_kernel_name=known.call_name()))

    known = _known.get("kernel") or ExternKernelChoice(into, name=_PANEL_PRODUCT)
    _known["kernel"] = known
    register_lowering(torch.ops.bnexp.panel_product.default, type_promotion_kind=None)(lower)


#: Graphs on the disk are found by the names of their operations and call the kernel by its own: other arguments are other names.
_PANEL_PRODUCT = "bnexp_panel_product"
_known: dict[str, Any] = {}  # Inductor takes a name once


def _product(find: Callable[[], Operator], a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` by this operator; by torch's own where it is not to be trusted."""
    operator, _ = private(find)
    if operator is None:
        return a @ b
    return operator(a, b) if find is brgemm else operator(a, b.t(), None)


_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")
for _name, _find in {"panel_product": brgemm, "wide_product": wide_linear}.items():
    _LIBRARY.define(f"{_name}(Tensor a, Tensor b) -> Tensor")
    _LIBRARY.impl(_name, lambda a, b, find=_find: _product(find, a, b), "CPU")
    _LIBRARY.impl(_name, lambda a, b: a.new_empty(*a.shape[:-1], b.shape[-1]), "Meta")


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
    graph.recompile()
    return missing


def named(graph: GraphModule) -> str:
    """What a graph is computed with: the processor's vectors, and how many products by which library."""
    ours = {torch.ops.bnexp.panel_product.default: "brgemm", torch.ops.bnexp.wide_product.default: "oneDNN"}
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


def recorded(run: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
    """The kernels that ``run`` calls, to be called again on the same memory, and its answer, which they write anew.

    What Inductor makes is Python that allocates each intermediate result, checks each input and calls some twenty kernels. Without
    all but the latter the paper's step takes 330 instead of 375 us. Whatever is no kernel is not done again: the caller compares.

    Args:
        run: a call of what Inductor compiled for a CPU, on tensors that stay where they are.

    Raises:
        RuntimeError: there are no kernels, or they are given more than ``MOST_HELD``, which Inductor would use several times over.
    """
    from torch._inductor.codecache import PyCodeCache

    calls: list[tuple[Operator, tuple[Any, ...], dict[str, Any]]] = []

    def noting(kernel: Operator) -> Operator:
        def call(*given: Any, **named: Any) -> Any:
            calls.append((kernel, given, named))
            return kernel(*given, **named)

        return call

    class Externs:
        def __init__(self, externs: Any) -> None:
            self._externs = externs

        def __getattr__(self, name: str) -> Operator:
            kernel = getattr(self._externs, name)
            if name == _PANEL_PRODUCT:  # itself, and not the function that puts its arguments in order
                return lambda a, b, *sizes, out: noting(kernel.kernel)(a, b, out, *sizes)
            return noting(kernel)

    before = [(vars(module), dict(vars(module))) for module in PyCodeCache.modules]
    try:
        for names, own in before:
            names |= {name: noting(kernel) for name, kernel in own.items() if name.startswith("cpp_fused")}
            names["extern_kernels"] = Externs(own.get("extern_kernels"))
        answer = run()
    finally:
        for names, own in before:
            names |= own
    storages = [x.untyped_storage() for _, given, named in calls for x in (*given, *named.values()) if isinstance(x, Tensor)]
    held = sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())
    if not calls or held > MOST_HELD:
        raise RuntimeError(f"{len(calls)} kernels on {held:,} bytes")

    def again() -> None:
        for kernel, given, named in calls:
            kernel(*given, **named)

    return again, answer


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


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, training: bool, momentum: float,
    eps: float,
) -> Any:
    """torch's batch norm with 1/sd once for each feature, which Inductor by itself computes at every element: 10 us of the paper's
    step. It is no private name, but ``as_strided`` is here because Inductor puts what it reads into memory.
    """
    if not training or x.dtype != torch.float32 or x.device.type != "cpu":
        return NotImplemented
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    count = x.numel() // x.shape[1]
    batch_mean = x.sum(axes) * (1 / count)
    centred = x - batch_mean.view(shape)
    batch_var = (centred * centred).sum(axes) * (1 / count)
    inverse = (batch_var + eps).rsqrt().as_strided(batch_var.shape, batch_var.stride())
    if mean is not None and var is not None:
        mean.mul_(1 - momentum).add_(momentum * batch_mean)
        var.mul_(1 - momentum).add_(momentum * count / (count - 1) * batch_var)
    y = centred * inverse.view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    return y, batch_mean, inverse


#: How a step is traced, beside torch's own rules.
DECOMPOSED: dict[Any, Callable[..., Any]] = {torch.ops.aten.native_batch_norm.default: _batch_norm}


def _left_alone(operator: Any, places: slice, unless: Operator) -> None:
    """On a CPU torch's own kernel does this, under a name that Inductor does not know, or ``unless`` does, where that fits.

    Max pooling's code by Inductor goes through the windows one number at a time: a quarter of a convolutional net's step.
    """
    name, _, overload = str(operator._schema).removeprefix("aten::").partition("(")
    _LIBRARY.define(f"{name}({overload}")
    for key in ("CPU", "Meta"):
        _LIBRARY.impl(name, operator, key)
    same = getattr(torch.ops.bnexp, name).default

    def traced(*given: Any) -> Any:
        on_cpu = given[0].device.type == "cpu"
        return (unless if _by_halves(*given[places]) else same)(*given) if on_cpu else NotImplemented

    DECOMPOSED[operator] = traced


def _by_halves(x: Tensor, size: Any, stride: Any = (), padding: Any = (), dilation: Any = (), ceil_mode: bool = False) -> bool:
    """Whether windows of 2 x 2 lie side by side and fill the picture. Shape: x ``[B, C, H, W]``."""
    fits = x.ndim == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0 and not ceil_mode
    return fits and {*size} == {2} and {*stride} <= {2} and {*padding} <= {0} and {*dilation} <= {1}


def _pool_by_halves(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """As comparisons, which Inductor makes vectors of and puts into the kernels beside it: 3 % of a convolutional net's step.

    Shape: the maxima, and which of its window each is (0 to 3, the first of equals), ``[B, C, H/2, W/2]``.
    """
    largest = x[:, :, ::2, ::2]
    which = torch.zeros_like(largest)
    for number in (1, 2, 3):
        other = x[:, :, number // 2 :: 2, number % 2 :: 2]
        which = torch.where(other > largest, number, which)
        largest = torch.maximum(largest, other)
    return largest, which


def _pool_by_halves_backward(grad: Tensor, x: Tensor, *given: Any) -> Tensor:
    wide_grad, wide_which = (part[:, :, :, None, :, None] for part in (grad, given[-1]))
    spread = torch.where(wide_which == torch.arange(4.0).view(2, 1, 2), wide_grad, 0).reshape(x.shape)
    return spread.contiguous(memory_format=torch.channels_last) if x.stride(1) == 1 else spread.contiguous()


_left_alone(torch.ops.aten.max_pool2d_with_indices.default, slice(6), _pool_by_halves)
_left_alone(torch.ops.aten.max_pool2d_with_indices_backward.default, slice(1, 7), _pool_by_halves_backward)
