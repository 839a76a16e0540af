"""norm=batch: torch's own BatchNorm, the thing people use."""

from __future__ import annotations

from torch import nn

from bnexp.norms.base import check_eps, check_momentum, set_affine
from bnexp.norms.factory import register
from bnexp.norms.reference import ReferenceBatchNorm


@register("batch", centers=True, needs_batch=True)
def batch(num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> nn.Module:
    """``torch.nn.BatchNorm1d`` or ``BatchNorm2d``: each feature loses its batch mean and is divided by its batch sd.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2.
    Deviation: eval mode uses an exponential average of batch statistics, as torch does, not Algorithm 2's average over
    many batches at the final weights (``population.recompute_statistics`` gives that). With momentum None the module is
    that of ``norm=reference``, which computes the same.
    """
    if momentum is None:  # torch's reads its count as a Python number, which neither a graph nor runs side by side have
        return ReferenceBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=None)
    kind = nn.BatchNorm2d if dims else nn.BatchNorm1d
    norm = kind(num_features, eps=check_eps(eps), momentum=check_momentum(momentum), affine=affine != "none")
    set_affine(norm, num_features, affine)
    return norm
