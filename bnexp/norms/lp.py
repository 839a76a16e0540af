"""norm=lp: batch normalisation that divides by an average l1, l2 or l-infinity norm instead of the standard deviation.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register

#: Square of the average norm of centred values over the given axes: of (mean |x|), sqrt(mean x^2) and max |x|. Squares,
#: because the square root of a mean square has no gradient at 0.
SQUARED_NORMS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "l1": lambda centred, axes: centred.abs().mean(axes, keepdim=True).square(),
    "l2": lambda centred, axes: centred.square().mean(axes, keepdim=True),
    "linf": lambda centred, axes: centred.abs().amax(axes, keepdim=True).square(),
}


@register("lp", centers=True, needs_batch=True)
def lp(num_features: int, dims: int, *, p: str, affine: str, eps: float, momentum: float | None) -> nn.Module:
    """Each feature loses its batch mean and is divided by the average l_p norm of what is left; l2 is ``norm=batch``.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        p: l1, l2 or linf.
        affine: full, scale, shift or none.
        eps: added to the squared norm, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    checks.choice("norm.p", p, tuple(SQUARED_NORMS))
    return LpBatchNorm(num_features, dims, p, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class LpBatchNorm(BatchStatistics):
    """``(x - mean) / norm_p(x - mean)``, norm_p being mean ``|x|`` (l1), sqrt(mean x^2) (l2) or max ``|x|`` (linf).

    The buffer ``running_var`` averages m/(m-1) times the squared norm: for l2 the Bessel (1/(m-1)) variance.

    Source: Santurkar et al. 2018, 3.3.
    Deviation: the norm is taken after the mean shift; the source takes it before, of the values with their mean, which
    makes its l2 a root mean square and not batch normalisation. m/(m-1) is exact for l2, right for l1 on normal data,
    and meaningless but harmless for linf.
    """

    def __init__(
        self, num_features: int, dims: int, p: str, *, affine: str, eps: float, momentum: float | None
    ) -> None:
        super().__init__(num_features, dims, affine=affine, eps=eps, momentum=momentum)
        self.p = p

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and squared average norm about it, over the batch. Shape: ``[1, C]`` or ``[1, C, 1, 1]`` each."""
        mean_1C = x.mean(self.batch_axes, keepdim=True)
        return mean_1C, SQUARED_NORMS[self.p](x - mean_1C, self.batch_axes)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}"
