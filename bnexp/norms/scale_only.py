"""norm=scale_only: batch normalisation that scales and does not centre.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register


@register("scale_only", needs_batch=True)
def scale_only(num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> nn.Module:
    """Each feature is divided by its batch sd (in eval mode: its running sd) and keeps its mean, divided likewise.

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
    return ScaleOnlyBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class ScaleOnlyBatchNorm(BatchStatistics):
    """``x / sqrt(var + eps)``, with the variance about the mean; the running mean is kept for probes and does nothing.

    Source: Ioffe & Szegedy 2015, Algorithm 1, less its centring.
    Deviation: an ablation of ours. The sd is about the mean, not the root mean square about 0, so that it is the very
    divisor of ``norm=batch``.
    """

    def normalize(self, x: Tensor, mean_1C: Tensor, var_1C: Tensor) -> Tensor:  # noqa: ARG002
        """``x / sqrt(var + eps)``."""
        return x / torch.sqrt(var_1C + self.eps)
