"""Inductor: a traced graph as fused kernels, kept on the disk for every process of this machine.

Private names of torch: ``torch._inductor.compile``, where whatever stops it leaves the eager step, with the reason; and those of
:func:`kept_on_disk`, without which every process compiles for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from torch import Tensor
from torch.fx import GraphModule


def fused(graph: GraphModule, tensors: Sequence[Tensor]) -> Callable[..., Any]:
    """The kernels that Inductor makes of a graph of ``tensors``."""
    # a torch built for GPUs complains of their absence
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    # here, so that a torch without it can still train side by side
    from torch._inductor import compile as inductor

    with kept_on_disk() as options:
        return inductor(graph, list(tensors), options)


@contextmanager
def kept_on_disk() -> Iterator[dict[str, Any]]:
    """Inductor finds again what any process made of the same graph, in a second instead of ten: what it has to be told for that.

    It looks only where there is something to note shapes in. Its key for a graph leaves out the processor's vectors, by which
    the kernels count, so these are among the options. A torch that has none of this compiles every time.
    """
    try:
        from torch._guards import TracingContext, tracing
        from torch._inductor.cpu_vec_isa import pick_vec_isa
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        context: AbstractContextManager[Any] = tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True)))
        options = {"cpp.simdlen": pick_vec_isa().bit_width() or None}
    except (ImportError, AttributeError, TypeError):
        context, options = nullcontext(), {}
    with context:
        yield options
