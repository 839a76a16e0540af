"""Population statistics: what Algorithm 2 of the paper uses where torch uses running averages.

Legend: N batch, C features, H W space; m = values per feature in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


def has_running_statistics(model: nn.Module) -> bool:
    """Whether any module of ``model`` keeps statistics of the batches it was trained on for eval mode."""
    return bool(_tracking_modules(model))


def recompute_statistics(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace all running statistics by plain averages over ``batches`` at the present weights.

    One pass in train mode without gradients: the mean becomes the average of the mu_B, the variance that of m/(m-1)
    times the biased (1/m) variances. Momentum and train/eval flags are as before afterwards; so is
    ``num_batches_tracked`` where a momentum is set and the count plays no part in the average, so that the ramp of
    ``norm=renorm`` goes on where it was. A model without running statistics is left alone and ``batches`` unread.

    A norm that draws noise draws it here too: hand it a copy of its generator, or put the state back, if its stream
    must not move.

    Args:
        model: any network; torch's own BatchNorm counts as much as ours.
        batches: inputs of ``model``, on its device.

    Shape: each batch ``[N, C, H, W]``, or what ``model`` takes.

    Raises:
        ValueError: ``batches`` is empty.

    Source: Ioffe & Szegedy 2015, Algorithm 2, line 10.
    Deviation: every batch weighs the same, so batches of unequal sizes do not average exactly; all layers are measured
    in one pass, each behind layers that normalise by their own batch, as in the source's training network.
    """
    modules = _tracking_modules(model)
    if not modules:
        return
    with _averaging(model, modules), torch.no_grad():
        num_batches = 0
        for x in batches:
            model(x)
            num_batches += 1
    if num_batches == 0:
        raise ValueError("recompute_statistics got no batches, so there is nothing to average; give it at least one")


def _tracking_modules(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(getattr(module, "running_mean", None), Tensor)]


@contextmanager
def _averaging(model: nn.Module, modules: list[Any]) -> Iterator[None]:
    """Train mode with cumulative averages from zero; flags, momentum and counts put back at the end."""
    flags = [(module, module.training) for module in model.modules()]
    saved = [(module, module.momentum, module.num_batches_tracked.clone()) for module in modules]
    try:
        model.train()
        for module in modules:
            module.train()  # a frozen one too
            module.momentum = None
            module.reset_running_stats()
        yield
    finally:
        for module, training in flags:
            module.training = training
        for module, momentum, count in saved:
            module.momentum = momentum
            if momentum is not None:
                module.num_batches_tracked.copy_(count)
