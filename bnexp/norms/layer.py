"""norm=layer: torch's layer normalisation, over all features of one example."""

from __future__ import annotations

from torch import nn

from bnexp.norms.base import check_eps, set_affine
from bnexp.norms.factory import register


@register("layer")
def layer(num_features: int, dims: int, *, affine: str, eps: float) -> nn.Module:
    """Each example loses the mean of its features and is divided by their sd; train and eval mode are the same.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept; gamma and beta ``[C]``.

    Raises:
        UserError: an option out of its range.

    Source: Ba, Kiros & Hinton 2016, section 3, eq. 3; for images, over C, H and W as Wu & He 2018, section 3.1, eq. 4.
    Deviation: on images gamma and beta are per channel (``GroupNorm`` of one group), not per pixel as in Ba et al., so
    that they are as many as batch normalisation's. eps is ours; the source has none.
    """
    if dims:
        norm: nn.Module = nn.GroupNorm(1, num_features, eps=check_eps(eps), affine=affine != "none")
    else:
        norm = nn.LayerNorm(num_features, eps=check_eps(eps), elementwise_affine=affine != "none")
    set_affine(norm, num_features, affine)
    return norm
