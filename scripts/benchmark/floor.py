"""The arithmetic floor: the bare products of a step's forward and backward pass, and nothing else.

Weight gradients of every layer, input gradients of every layer but the first. No data, no norm, no nonlinearity, no update.

Legend: B batch, F features, C channels, H W space.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from benchmark.job import Job, Took
from benchmark.loops import take_turns
from bnexp.engine import kernels
from bnexp.engine.device import keep_memory

Kernel = Callable[[], object]

#: Inputs and outputs of the MLP's layers; channels in, channels out and side of the image of the CNN's.
LINEAR_LAYERS = ((784, 100), (100, 100), (100, 100), (100, 10))
CONVOLUTIONS = ((3, 16, 32), (16, 16, 32), (16, 32, 16), (32, 32, 16), (32, 64, 8))

#: Calls of each kernel that decide which is fastest.
TRIALS = 30


def as_torch(job: Job, took: Took) -> None:
    """Each product by the kernel torch takes for it."""
    _run([kernels[0] for kernels in products(job)], job, took)


def fastest(job: Job, took: Took) -> None:
    """Each product by the fastest float32 kernel in torch: MKL, oneDNN, its brgemm; for convolutions either memory format."""
    torch.set_num_threads(1)
    _run([min(kernels, key=_seconds) for kernels in products(job)], job, took)


def _run(kernels: Sequence[Kernel], job: Job, took: Took) -> None:
    torch.set_num_threads(1)
    keep_memory()

    def step() -> None:
        for kernel in kernels:
            kernel()

    with torch.inference_mode():
        take_turns(job, took, step)


def products(job: Job) -> list[tuple[Kernel, ...]]:
    """For every product of a step the kernels that can do it, torch's own choice first."""
    generator = torch.Generator().manual_seed(0)
    draw = partial(torch.randn, generator=generator)
    found: list[tuple[Kernel, ...]] = []
    if job.network == "mlp":
        for place, (inputs, outputs) in enumerate(LINEAR_LAYERS):
            found += linear_products(draw, job.batch_size, inputs, outputs, first=place == 0)
        return found
    for place, layer in enumerate(CONVOLUTIONS):
        found += conv_products(draw, job.batch_size, layer, first=place == 0)
    return found


def linear_products(
    draw: Callable[..., Tensor], batch: int, inputs: int, outputs: int, first: bool
) -> list[tuple[Kernel, ...]]:
    """Output, weight gradient and, unless it is the first layer, input gradient."""
    x_BF, weight, grad_BF = draw(batch, inputs), draw(outputs, inputs), draw(batch, outputs)
    pairs = [(x_BF, weight.t()), (grad_BF.t(), x_BF)] + ([] if first else [(grad_BF, weight)])
    return [(partial(torch.mm, a, b), *_onednn(a, b), *_brgemm(a, b)) for a, b in pairs]


def _brgemm(a: Tensor, b: Tensor) -> tuple[Kernel, ...]:
    """With everything laid out as it needs it; empty where there is none."""
    multiply, _ = kernels.private(kernels.brgemm)
    return () if multiply is None else (partial(multiply, a.contiguous(), b.contiguous()),)


def _onednn(a: Tensor, b: Tensor) -> tuple[Kernel, ...]:
    """By its linear layer; empty where there is none."""
    linear, _ = kernels.private(kernels.wide_linear)
    return () if linear is None else (partial(linear, a.contiguous(), b.t(), None),)


def conv_products(
    draw: Callable[..., Tensor], batch: int, layer: tuple[int, int, int], first: bool
) -> list[tuple[Kernel, ...]]:
    """Output, then both gradients in one call, as torch has them."""
    inputs, outputs, side = layer
    tensors = draw(batch, inputs, side, side), draw(outputs, inputs, 3, 3), draw(batch, outputs, side, side)
    formats = (torch.contiguous_format, torch.channels_last)
    laid_out = [[tensor.contiguous(memory_format=form) for tensor in tensors] for form in formats]
    forward = tuple(partial(torch.conv2d, x, weight, padding=1) for x, weight, _ in laid_out)
    backward = tuple(partial(_conv_backward, *three, first) for three in laid_out)
    return [forward, backward]


def _conv_backward(x_BCHW: Tensor, weight: Tensor, grad_BCHW: Tensor, first: bool) -> object:
    one, wanted = [1, 1], [not first, True, False]
    return torch.ops.aten.convolution_backward(grad_BCHW, x_BCHW, weight, None, one, one, one, False, [0, 0], 1, wanted)


def _seconds(kernel: Kernel) -> float:
    kernel()
    with torch.inference_mode():
        start = time.perf_counter()
        for _ in range(TRIALS):
            kernel()
        return time.perf_counter() - start
