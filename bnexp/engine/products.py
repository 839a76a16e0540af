"""Which library multiplies matrices on a CPU, in a compiled step and in evaluation.

torch gives every float32 product to MKL, which on processors that are not Intel's leaves wide vectors unused: the paper's first
layer (60 x 784 by 784 x 100) took 111 us there and 69 us in oneDNN on an AMD EPYC, the 100 x 100 products 16 and 19 us.
An evaluation of 10,000 digits took 29 and 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:  # takes a while to import, and most runs are eager
    from torch.fx import GraphModule

#: Products with a side of at least this many go to oneDNN; smaller ones are as fast in MKL.
WIDE = 256

_LIBRARY = torch.library.Library("bnexp", "DEF")
_LIBRARY.define("product(Tensor a, Tensor b) -> Tensor")


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` by oneDNN. Shape: ``[N, K]`` and ``[K, M]`` to ``[N, M]``."""
    return torch.ops.mkldnn._linear_pointwise.default(a, b.t(), None, "none", [], "")


_LIBRARY.impl("product", _product, "CPU")
_LIBRARY.impl("product", lambda a, b: a.new_empty(a.shape[0], b.shape[1]), "Meta")


def widest_by_onednn(graph: GraphModule) -> GraphModule:
    """``graph`` with its wide float32 products on the CPU done by oneDNN, where torch has it; equal up to rounding."""
    if torch.backends.mkldnn.is_available():
        for target in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            for node in graph.graph.find_nodes(op="call_function", target=target):
                *bias, a, b = node.args
                if _is_wide(a.meta["val"], b.meta["val"]) and not node.kwargs:
                    with graph.graph.inserting_before(node):
                        made = graph.graph.call_function(torch.ops.bnexp.product.default, (a, b))
                        if bias:
                            made = graph.graph.call_function(torch.ops.aten.add.Tensor, (made, *bias))
                    made.meta = dict(node.meta)
                    node.replace_all_uses_with(made)
                    graph.graph.erase_node(node)
        graph.recompile()
    return graph


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
