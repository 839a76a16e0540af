"""norm=group: torch's group normalisation, over groups of features of one example."""

from __future__ import annotations

from torch import nn

from bnexp.config import checks
from bnexp.errors import UserError
from bnexp.norms.base import check_eps, set_affine
from bnexp.norms.factory import register


@register("group")
def group(num_features: int, dims: int, *, num_groups: int, affine: str, eps: float) -> nn.Module:
    """Layer normalisation done separately in each of ``num_groups`` groups of neighbouring features.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        num_groups: divides C; 1 is ``norm=layer``, C is ``norm=instance``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept; gamma and beta ``[C]``.

    Raises:
        UserError: groups that do not divide C or hold a single value, or an option out of its range.

    Source: Wu & He 2018, section 3.1, eq. 7.
    """
    checks.whole("norm.num_groups", num_groups, least=1, example=4)
    most = num_features if dims else max(1, num_features // 2)  # one value alone has no spread
    checks.divides("norm.num_groups", num_groups, "the number of features", num_features, most=most)
    if dims == 0 and num_groups == num_features:
        raise UserError(
            "norm=group with one feature in a group has no spread in a fully connected layer, where it is one value",
            got=f"norm.num_groups={num_groups} for {num_features} features",
            todo="norm.num_groups=1, or norm=layer, which is the same",
        )
    norm = nn.GroupNorm(num_groups, num_features, eps=check_eps(eps), affine=affine != "none")
    set_affine(norm, num_features, affine)
    return norm
