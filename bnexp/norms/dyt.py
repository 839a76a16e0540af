"""norm=dyt: dynamic tanh, a bounded map of each value that computes no statistics at all.

Legend: N batch, C features, H W space.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.config.checks import real
from bnexp.norms.base import FeatureAffine
from bnexp.norms.factory import register


@register("dyt")
def dyt(num_features: int, dims: int, *, alpha: float, affine: str) -> nn.Module:
    """Each value goes through tanh with one learnable slope for the whole layer; train and eval mode are the same.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        alpha: the slope that training starts from, in units of 1 / x.
        affine: full, scale, shift or none; the source has full.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return DynamicTanh(num_features, dims, alpha=alpha, affine=affine)


@final
class DynamicTanh(FeatureAffine):
    """``gamma * tanh(alpha * x) + beta``, with a scalar alpha.

    Source: Zhu et al. 2025 (Transformers without Normalization), section 4, eq. 3 and Algorithm 1.
    Deviation: on images gamma and beta are per channel; the source has tokens alone.
    """

    def __init__(self, num_features: int, dims: int, *, alpha: float, affine: str) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.alpha = nn.Parameter(torch.tensor(real("norm.alpha", alpha, above=0, example=0.5)))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept."""
        return self.scale_and_shift(torch.tanh(self.alpha * x))
