"""norm=mean_only: batch normalisation that centres and does not scale.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from bnexp.norms.base import BatchStatistics
from bnexp.norms.factory import register


@register("mean_only", centers=True, needs_batch=True)
def mean_only(num_features: int, dims: int, *, affine: str, momentum: float | None) -> nn.Module:
    """Each feature loses its batch mean (in eval mode: its running mean) and keeps its scale.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return MeanOnlyBatchNorm(num_features, dims, affine=affine, eps=0.0, momentum=momentum)


@final
class MeanOnlyBatchNorm(BatchStatistics):
    """``x - mean``; the running variance is kept for probes and does nothing.

    Source: Salimans & Kingma 2016, section 4.
    Deviation: without weight normalisation, which the source combines it with, and with a gamma that it lacks, so that
    the division by the sd is all that differs from ``norm=batch``.
    """

    def normalize(self, x: Tensor, mean_1C: Tensor, var_1C: Tensor) -> Tensor:  # noqa: ARG002
        """``x - mean``."""
        return x - mean_1C
