"""norm=ghost: batch normalisation whose statistics come from small slices ("ghosts") of the training batch.

Legend: N batch, C features, H W space, G ghosts, n ghost size (N = G*n); ``x`` is [N, C] or [N, C, H, W]; a suffix _G1C
means [G, 1, C] or [G, 1, C, 1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps, values_per_feature
from bnexp.norms.factory import register


def check_batch(batch_size: int, options: Mapping[str, Any]) -> None:
    """Require that whole ghosts fill the training batch.

    Raises:
        UserError: ``norm.ghost_size`` is below 2 or does not divide ``train.batch_size``.
    """
    checks.whole("norm.ghost_size", options["ghost_size"], least=2, example=20)
    checks.divides("norm.ghost_size", options["ghost_size"], "train.batch_size", batch_size, least=2)


@register("ghost", centers=True, needs_batch=True, check_batch=check_batch)
def ghost(
    num_features: int, dims: int, *, ghost_size: int, affine: str, eps: float, momentum: float | None
) -> nn.Module:
    """Batch normalisation with each slice of ``ghost_size`` consecutive examples normalised by itself in train mode.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        ghost_size: examples per ghost, at least 2; divides the training batch.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    checks.whole("norm.ghost_size", ghost_size, least=2, example=20)
    return GhostBatchNorm(num_features, dims, ghost_size, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class GhostBatchNorm(BatchStatistics):
    """Batch normalisation per ghost; the running statistics take one step for each training batch.

    That step is towards the mean of the ghosts' means and of their Bessel (1/(n-1)) variances, so what runs remembers as
    many batches as that of ``norm=batch``, whatever the ghost size.

    Source: Hoffer, Hubara & Soudry 2017, Algorithm 1.
    Deviation: the source lets the ghosts of a batch in one after the other, so that many small ghosts leave nothing of
    earlier batches; running variances are averaged as in torch, where the source averages standard deviations.
    """

    needs_tracking: ClassVar[str] = "norm=ghost evaluates by running statistics: an evaluation batch need not be whole ghosts"

    def __init__(
        self, num_features: int, dims: int, ghost_size: int, *, affine: str, eps: float, momentum: float | None
    ) -> None:
        super().__init__(num_features, dims, affine=affine, eps=eps, momentum=momentum)
        self.ghost_size = ghost_size

    def normalize_batch(self, x: Tensor) -> Tensor:
        """x with each ghost normalised by itself.

        Raises:
            ValueError: the batch is not made of whole ghosts.
        """
        if x.shape[0] % self.ghost_size:
            raise ValueError(
                f"norm=ghost in train mode needs batches of a multiple of {self.ghost_size} examples "
                f"(norm.ghost_size), got {x.shape[0]}; use such a batch, or eval mode"
            )
        x_GnC = x.unflatten(0, (-1, self.ghost_size))
        axes = (1, *range(3, 3 + self.dims))
        var_G1C, mean_G1C = torch.var_mean(x_GnC, axes, correction=0, keepdim=True)
        x_hat = self.normalize(x_GnC, mean_G1C, var_G1C).flatten(0, 1)
        self.track(mean_G1C.mean(0).flatten(), var_G1C.mean(0).flatten(), values_per_feature(x_GnC[0]))
        return x_hat

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, ghost_size={self.ghost_size}"
