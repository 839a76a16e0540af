"""norm=detached: batch normalisation whose statistics are hidden from the gradient, the mistake the paper warns of.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register


@register("detached", needs_batch=True)
def detached(
    num_features: int, dims: int, *, detach: str, affine: str, eps: float, momentum: float | None
) -> nn.Module:
    """Batch normalisation forward, with the mean, the variance or both taken as constants by the gradient.

    It is not declared to centre: a bias before it has no effect on the output and yet gets a gradient, and so grows
    without bound. To show that is what this norm is for, hence the bias stays.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        detach: what the gradient does not see: mean, variance or both.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    checks.choice("norm.detach", detach, ("mean", "variance", "both"))
    return DetachedBatchNorm(num_features, dims, detach, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class DetachedBatchNorm(BatchStatistics):
    """Batch normalisation whose backward pass lacks one or both of its projections.

    With g = dL/dx_hat and means over the batch, batch normalisation has
    ``dL/dx = (g - mean(g) - x_hat * mean(g * x_hat)) / sd``; detaching the mean drops the second term, detaching the
    variance the third. The mean inside the variance makes no difference: the variance is smallest there, so its
    derivative with respect to it is 0.

    Source: Ioffe & Szegedy 2015, section 2 (the model that "blows up").
    Deviation: the source describes the experiment without its details; which statistics are detached is an option here.
    """

    def __init__(
        self, num_features: int, dims: int, detach: str, *, affine: str, eps: float, momentum: float | None
    ) -> None:
        super().__init__(num_features, dims, affine=affine, eps=eps, momentum=momentum)
        self.detach = detach

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased (1/m) variance over the batch, constants to the gradient where ``detach`` says so."""
        mean_1C, var_1C = super().batch_statistics(x)
        return (
            mean_1C if self.detach == "variance" else mean_1C.detach(),
            var_1C if self.detach == "mean" else var_1C.detach(),
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, detach={self.detach}"
