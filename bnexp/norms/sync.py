"""norm=sync: batch normalisation by the whole batch where several processes share it.

Legend: N batch, C features, H W space, P processes; ``x`` is [N, C] or [N, C, H, W], this process's part of the batch; a suffix
_P1C means [P, 1, C] or [P, 1, C, 1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, distributed, nn

from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register


@register("sync", centers=True, needs_batch=True, whole_batch=True)
def sync(num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> nn.Module:
    """Batch normalisation whose statistics are those of the whole batch, though each process sees a part of it.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return SyncBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class SyncBatchNorm(BatchStatistics):
    """Batch normalisation by the statistics of all equal parts of a batch, inside :func:`shared_batch`; elsewhere by x itself.

    The parts' means and variances go to every process, in one exchange a pass. The batch has the mean of the means, and by the law
    of total variance the mean of the variances plus the variance of the means. Gradients go through the exchange.

    Source: ``torch.nn.SyncBatchNorm``, which computes the same and refuses a CPU.
    """

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased (1/m) variance of each feature over all parts. Shape: ``[1, C]`` or ``[1, C, 1, 1]`` each."""
        mean_1C, var_1C = super().batch_statistics(x)
        if not _Sharing.now:
            return mean_1C, var_1C
        mean_P1C, var_P1C = from_all(torch.stack([mean_1C, var_1C])).unbind(1)
        return mean_P1C.mean(0), var_P1C.mean(0) + mean_P1C.var(0, correction=0)

    def unbiased(self, var_C: Tensor, num_values: int) -> Tensor:
        """The Bessel (1/(m-1)) variance, m counting all parts' ``num_values``."""
        return super().unbiased(var_C, num_values * (distributed.get_world_size() if _Sharing.now else 1))


class _Sharing:
    """Whether x is a part of a batch: all processes are at the same pass, and none of them looks at something of its own."""

    now = False


@contextmanager
def shared_batch() -> Iterator[None]:
    """Inside, what passes through a net is this process's part of a batch, and every process passes its own."""
    _Sharing.now = True
    try:
        yield
    finally:
        _Sharing.now = False


def from_all(own: Tensor) -> Tensor:
    """Every process's tensor. Shape: ``[...]`` to ``[P, ...]``; its gradient is that of the sum of all processes' losses."""
    rank, size = distributed.get_rank(), distributed.get_world_size()
    row_P = torch.arange(size, device=own.device).eq(rank).to(own.dtype).view(-1, *[1] * own.dim())
    return _Sum.apply(row_P * own)


class _Sum(torch.autograd.Function):
    """The sum over processes; the gradient of a sum that all have is the sum of all gradients. (torch has none that is public.)"""

    @staticmethod
    def forward(_: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Any:
        return _Sum.apply(gradient)
