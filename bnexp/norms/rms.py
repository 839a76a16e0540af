"""norm=rms: root-mean-square normalisation, layer normalisation without the centring.

Legend: N batch, C features, H W space; a suffix _N11 means [N, 1] or [N, 1, 1, 1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.norms.base import FeatureAffine, check_eps
from bnexp.norms.factory import register


@register("rms")
def rms(num_features: int, dims: int, *, affine: str, eps: float) -> nn.Module:
    """Each example is divided by the root mean square of its features; train and eval mode are the same.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none; the source has scale.
        eps: added to the mean square, in units of x squared.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return RMSNorm(num_features, dims, affine=affine, eps=eps)


@final
class RMSNorm(FeatureAffine):
    """``x / sqrt(mean(x^2) + eps)`` over C, or over C, H and W.

    Source: Zhang & Sennrich 2019, section 4, eq. 4.
    Deviation: on images the mean runs over C, H and W with one gain per channel; the source has no images. eps is ours.
    """

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.eps = check_eps(eps)
        self.example_axes = tuple(range(1, 2 + dims))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept."""
        mean_square_N11 = x.square().mean(self.example_axes, keepdim=True)
        return self.scale_and_shift(x * torch.rsqrt(mean_square_N11 + self.eps))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"
