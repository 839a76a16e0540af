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

#: Square of the average norm of values over the given axes: of (mean |x|), sqrt(mean x^2) and max |x|. Squares,
#: because the square root of a mean square has no gradient at 0.
SQUARED_NORMS: dict[str, Callable[[Tensor, tuple[int, ...]], Tensor]] = {
    "l1": lambda x, axes: x.abs().mean(axes, keepdim=True).square(),
    "l2": lambda x, axes: x.square().mean(axes, keepdim=True),
    "linf": lambda x, axes: x.abs().amax(axes, keepdim=True).square(),
}


@register("lp", centers=True, needs_batch=True)
def lp(
    num_features: int, dims: int, *, p: str, order: str, affine: str, eps: float, momentum: float | None
) -> nn.Module:
    """Each feature loses its batch mean and is divided by an average l_p norm; l2 after the mean is ``norm=batch``.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        p: l1, l2 or linf.
        order: mean_first: the norm of what is left of x without its mean; norm_first: that of x with its mean.
        affine: full, scale, shift or none.
        eps: added to the squared norm, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    checks.choice("norm.p", p, tuple(SQUARED_NORMS))
    checks.choice("norm.order", order, ("mean_first", "norm_first"))
    norm = LpBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)
    norm.p, norm.order = p, order
    return norm


@final
class LpBatchNorm(BatchStatistics):
    """``(x - mean) / norm_p``, norm_p being mean ``|z|`` (l1), sqrt(mean z^2) (l2) or max ``|z|`` (linf).

    z is ``x - mean`` with ``order=mean_first`` and x itself with ``norm_first``. The buffer ``running_var`` averages the
    squared norm, with mean_first times m/(m-1): for l2 the Bessel (1/(m-1)) variance. With norm_first a mean square is
    about 0 and has no bias to mend.

    Source: Santurkar et al. 2018, 3.3, whose norm is taken before the mean shift (norm_first), so that its l2 is a root
    mean square and not batch normalisation.
    Deviation: mean_first is ours. Its m/(m-1) is exact for l2, right for l1 on normal data, and meaningless but harmless
    for linf. Squares are averaged and eps is added to the squared norm, of which the source says nothing.
    """

    p: str
    order: str

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and squared average norm over the batch. Shape: ``[1, C]`` or ``[1, C, 1, 1]`` each."""
        mean_1C = x.mean(self.batch_axes, keepdim=True)
        z = x - mean_1C if self.order == "mean_first" else x
        return mean_1C, SQUARED_NORMS[self.p](z, self.batch_axes)

    def unbiased(self, var_C: Tensor, num_values: int) -> Tensor:
        """The squared norm as it is stored."""
        return super().unbiased(var_C, num_values) if self.order == "mean_first" else var_C

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, p={self.p}, order={self.order}"
