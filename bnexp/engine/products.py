"""Which library multiplies matrices on a CPU, in a compiled step and in evaluation.

torch gives every float32 product to MKL, which on processors that are not Intel's leaves wide vectors unused. On one thread of an
AMD EPYC an evaluation of 10,000 digits took 29 ms with it and 20 ms with oneDNN; for the products of a step see ``brgemm.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.overrides import TorchFunctionMode

from bnexp.engine.brgemm import fits, kernel

if TYPE_CHECKING:  # takes a while to import, and most runs are eager
    from torch.fx import GraphModule

#: Products with a side of at least this many are faster in oneDNN's linear layer than in MKL.
WIDE = 256

_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")
_LIBRARY.define("wide_product(Tensor a, Tensor b) -> Tensor")


def _wide_product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` by oneDNN. Shape: ``[N, K]`` and ``[K, M]`` to ``[N, M]``."""
    return torch.ops.mkldnn._linear_pointwise.default(a, b.t(), None, "none", [], "")


_LIBRARY.impl("wide_product", _wide_product, "CPU")
_LIBRARY.impl("wide_product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]), "Meta")


def by_fastest(graph: GraphModule) -> GraphModule:
    """``graph`` with its float32 products on the CPU done by whichever library is fastest for them; equal up to rounding.

    Small ones, side by side or not, by brgemm; other wide ones by oneDNN's linear layer; the rest stays with torch.
    """
    aten = torch.ops.aten
    for target in (aten.mm.default, aten.bmm.default, aten.addmm.default):
        for node in graph.graph.find_nodes(op="call_function", target=target):
            *bias, a, b = node.args
            product = None if node.kwargs else _fastest(a.meta["val"], b.meta["val"])
            if product is None:
                continue
            with graph.graph.inserting_before(node):
                made = graph.graph.call_function(product, (a, b))
                if bias:
                    made.meta = dict(node.meta)
                    made = graph.graph.call_function(aten.add.Tensor, (made, *bias))
            made.meta = dict(node.meta)
            node.replace_all_uses_with(made)
            graph.graph.erase_node(node)
    graph.recompile()
    return graph


def _fastest(a: Tensor, b: Tensor) -> Any:
    """The operation that multiplies these; None for torch's own."""
    if fits(a, b) and kernel() is not None:
        return torch.ops.bnexp.small_product.default
    if a.ndim == 2 and _is_wide(a, b) and torch.backends.mkldnn.is_available():
        return torch.ops.bnexp.wide_product.default
    return None


class WidestByOneDNN(TorchFunctionMode):
    """While it is entered, linear layers with a wide float32 product on the CPU are computed by oneDNN; for inference only.

    Source: torch's notes, "Extending all torch API with Modes".
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """``func``, or oneDNN's linear layer in place of torch's."""
        if func is F.linear and not kwargs and torch.backends.mkldnn.is_available():
            x, weight, *bias = args
            if _is_wide(x, weight) and not torch.is_autocast_enabled("cpu"):
                return torch.ops.mkldnn._linear_pointwise.default(x, weight, *(bias or [None]), "none", [], "")
        return func(*args, **(kwargs or {}))


def _is_wide(a: Tensor, b: Tensor) -> bool:
    return a.device.type == "cpu" and a.dtype == torch.float32 and max(*a.shape, *b.shape) >= WIDE
