"""A step captured as one CUDA graph: a small net's step on a GPU is nearly all launches, and a graph is launched once."""

from __future__ import annotations

import torch
from torch import Tensor

from bnexp.engine.step import OnBatch

#: Calls before the capture, on a stream of their own, as torch's notes on CUDA graphs ask for.
WARM_UPS = 3


def capture(step: OnBatch, images: Tensor, labels: Tensor) -> OnBatch:
    """``step`` as a graph that is replayed on new batches of the same shape; what capturing trains has to be put back.

    Args:
        step: changes tensors in place that stay where they are, and never waits for the device.
        images, labels: a batch on a CUDA device.

    Source: PyTorch notes, "CUDA semantics", section "CUDA Graphs".
    """
    still_images, still_labels = images.clone(), labels.clone()
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(WARM_UPS):
            step(still_images, still_labels)
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, correct = step(still_images, still_labels)

    def replay(images: Tensor, labels: Tensor, _held: OnBatch = step) -> tuple[Tensor, Tensor]:
        """The graph knows addresses only: what ``step`` works on must not be given to anybody else."""
        still_images.copy_(images)
        still_labels.copy_(labels)
        graph.replay()
        return loss, correct

    return replay
