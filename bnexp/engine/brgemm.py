"""Small float32 products in a compiled step on a CPU, by the kernels that oneDNN makes for each size (brgemm).

They are called as Inductor calls its own kernels, without what other ways to a product do before they multiply. On one thread of an
AMD EPYC the paper's 100 x 100 products took 6 us (MKL 15, oneDNN's linear layer 18), that of its first layer 49 (110 and 63).

Legend: S products side by side, N K M sizes of a product.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

Kernel = Callable[..., None]

#: Multiplications of a product that one thread does in one go; the blocks of larger ones leave the caches.
LARGEST = 2**23

_SOURCE = """
#include <ATen/native/CPUBlas.h>
#ifndef CPUBLAS_BRGEMM_F32F32F32
#error "this torch has no float32 brgemm"
#endif
extern "C" void kernel(const float* a, const float* b, float* out, int64_t S, int64_t N, int64_t K, int64_t M) {
    for (int64_t s = 0; s < S; ++s)
        at::native::cpublas::brgemm(N, M, K, K, M, M, false, a + s * N * K, b + s * K * M, out + s * N * M, false);
}
"""
_ARGUMENTS = ["const float*", "const float*", "float*", "int64_t", "int64_t", "int64_t", "int64_t"]

_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")
_LIBRARY.define("small_product(Tensor a, Tensor b) -> Tensor")


@cache
def kernel() -> Kernel | None:
    """``kernel(a, b, out, S, N, K, M)``, built once on a machine; None where it cannot be built or this processor has none.

    Source: ``at::native::cpublas::brgemm``, which torch's own flex attention calls in the same way.
    """
    from torch._inductor.codecache import CppPythonBindingsCodeCache

    try:
        built: Kernel = CppPythonBindingsCodeCache.load_pybinding(_ARGUMENTS, _SOURCE)
        a, b, out = torch.ones(2, 3, 4), torch.ones(2, 4, 5), torch.full((2, 3, 5), float("nan"))
        built(a, b, out, 2, 3, 4, 5)
        right = torch.equal(out, torch.full_like(out, 4.0))
        if right:
            _teach_inductor(built)
    except Exception:  # no compiler, another torch, another processor: torch's own products are right everywhere
        return None
    return built if right else None


def fits(a: Tensor, b: Tensor) -> bool:
    """Whether this product, or each of these products side by side, is small and of the right kind."""
    right = a.device.type == "cpu" and a.dtype == b.dtype == torch.float32
    return right and a.shape[-2] * a.shape[-1] * b.shape[-1] <= LARGEST


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b``. Shape: ``[N, K]`` and ``[K, M]`` to ``[N, M]``, or all with S in front."""
    multiply = kernel()
    if multiply is None:
        return a @ b
    out = a.new_empty(*a.shape[:-1], b.shape[-1])
    multiply(a.contiguous(), b.contiguous(), out, *_sizes(a.shape, b.shape))
    return out


def _sizes(a: Any, b: Any) -> list[int]:
    side_by_side = int(a[0]) if len(a) > 2 else 1
    return [side_by_side, int(a[-2]), int(a[-1]), int(b[-1])]


_LIBRARY.impl("small_product", _product, "CPU")
_LIBRARY.impl("small_product", lambda a, b: a.new_empty(*a.shape[:-1], b.shape[-1]), "Meta")


def _teach_inductor(multiply: Kernel) -> None:
    """A compiled graph calls the kernel itself and not the operation, which goes through torch's dispatcher and back to Python."""
    from torch._inductor import ir
    from torch._inductor.lowering import register_lowering
    from torch._inductor.select_algorithm import ExternKernelChoice

    def into(a: Tensor, b: Tensor, *sizes: int, out: Tensor) -> None:
        multiply(a, b, out, *sizes)

    def lower(a: Any, b: Any) -> Any:
        a, b = (ir.ExternKernel.require_contiguous(ir.ExternKernel.realize_input(x)) for x in (a, b))
        layout = ir.FixedLayout(a.get_device(), a.get_dtype(), [*a.get_size()[:-1], b.get_size()[-1]])
        sizes = _sizes(a.get_size(), b.get_size())
        return ir.TensorBox.create(ir.ExternKernelOut(layout, [a, b], sizes, python_kernel_name=known.call_name()))

    known = ExternKernelChoice(into, name="bnexp_small_product")
    register_lowering(torch.ops.bnexp.small_product.default, type_promotion_kind=None)(lower)
