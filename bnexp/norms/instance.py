"""norm=instance: torch's instance normalisation, over the space of each channel of one image."""

from __future__ import annotations

from torch import nn

from bnexp.errors import UserError
from bnexp.norms.base import check_eps, set_affine
from bnexp.norms.factory import register


@register("instance", centers=True)
def instance(num_features: int, dims: int, *, affine: str, eps: float) -> nn.Module:
    """Each channel of each image loses its mean over space and is divided by its sd; train and eval mode are the same.

    Args:
        num_features: C.
        dims: 2; a fully connected layer has no space.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.

    Shape: ``[N, C, H, W]`` with H*W above 1, kept; gamma and beta ``[C]``.

    Raises:
        UserError: ``dims`` is 0, or an option out of its range.

    Source: Ulyanov, Vedaldi & Lempitsky 2016, eq. 3.
    Deviation: gamma and beta as in batch normalisation; eq. 3 has none.
    """
    if dims == 0:
        raise UserError(
            "norm=instance averages over the space of one image, and a feature of a fully connected layer is one value",
            got=f"norm=instance on {num_features} features without space",
            todo="norm=layer, which averages over features, or a model whose hidden layers are all convolutions",
        )
    norm = nn.InstanceNorm2d(num_features, eps=check_eps(eps), affine=affine != "none")
    set_affine(norm, num_features, affine)
    return norm
