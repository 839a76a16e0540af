"""norm=one_shot: normalised by the first training batch for ever, so well conditioned at the start and then on its own.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; suffix _C means [C], suffix _1C [1, C] or [1,
C, 1, 1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.norms.base import FeatureAffine, check_eps, values_per_feature
from bnexp.norms.factory import register


@register("one_shot", centers=True, needs_batch=True)
def one_shot(num_features: int, dims: int, *, affine: str, eps: float) -> nn.Module:
    """Batch normalisation at the first training step, and the same fixed map before gamma and beta ever after.

    It is declared to centre, so that a bias before it is dropped as with ``norm=batch``: it would only be a second
    beta.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return OneShotNorm(num_features, dims, affine=affine, eps=eps)


@final
class OneShotNorm(FeatureAffine):
    """``gamma * (x - first_mean) / first_sd + beta``, where first means the first batch seen in train mode.

    Until ``has_seen_batch`` the statistics are 0 and 1, so eval mode is the identity up to gamma and beta. They are
    constants: no gradient passes through them, not even at the first step, and they are not running statistics that
    ``population.py`` would redo.

    Source: Salimans & Kingma 2016, section 3 (data-dependent initialisation), applied to the layer's outputs.
    Deviation: not folded into the layer's W and b, so W's gradient is scaled by gamma / first_sd as under batch
    normalisation. Biased (1/m) variance with eps, as in Ioffe & Szegedy 2015, Algorithm 1.
    """

    first_mean: Tensor
    first_sd: Tensor
    has_seen_batch: Tensor

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.eps = check_eps(eps)
        self.register_buffer("first_mean", torch.zeros(num_features))
        self.register_buffer("first_sd", torch.ones(num_features))
        self.register_buffer("has_seen_batch", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

        Raises:
            ValueError: train mode with a single value per feature.
        """
        if self.training:
            values_per_feature(x)
            self.look(x)
        x_hat = (x - self.expand(self.first_mean)) * self.expand(self.first_sd).reciprocal()
        return self.scale_and_shift(x_hat)

    @torch.no_grad()
    def look(self, x: Tensor) -> None:
        """Keep the statistics of ``x`` if it is the first batch; no branch, so that stacked seeds share the call."""
        var_C, mean_C = torch.var_mean(x, self.batch_axes, correction=0)
        self.first_mean.copy_(torch.where(self.has_seen_batch, self.first_mean, mean_C))
        self.first_sd.copy_(torch.where(self.has_seen_batch, self.first_sd, torch.sqrt(var_C + self.eps)))
        self.has_seen_batch.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"
