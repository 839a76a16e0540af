"""A step captured as one CUDA graph: a small net's step on a GPU is nearly all launches, and a graph is launched once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Calls before the capture, on a stream of their own, as torch's notes on CUDA graphs ask for.
WARM_UPS = 3

Advance = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def capture(step: Advance, x: Tensor, y: Tensor) -> Advance:
    """``step`` as a graph that is replayed on new batches of the same shape; what capturing trains has to be put back.

    Args:
        step: changes tensors in place that stay where they are, and never waits for the device.
        x, y: a batch on a CUDA device.

    Source: PyTorch notes, "CUDA semantics", section "CUDA Graphs".
    """
    still_x, still_y = x.clone(), y.clone()
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            step(still_x, still_y)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, correct = step(still_x, still_y)

    def replay(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        still_x.copy_(x)
        still_y.copy_(y)
        graph.replay()
        return loss.clone(), correct.clone()

    return replay
