"""norm=renorm: batch renormalisation, which corrects the batch's statistics towards the running ones.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register


@register("renorm", centers=True, needs_batch=True)
def renorm(
    num_features: int,
    dims: int,
    *,
    r_max: float,
    d_max: float,
    warmup_steps: int,
    ramp_steps: int,
    affine: str,
    eps: float,
    momentum: float,
) -> nn.Module:
    """Batch normalisation whose train-mode output is moved towards what eval mode would give, within limits.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        r_max: largest correction of the scale, a factor of at least 1; 1 is none.
        d_max: largest correction of the mean, in running sds; 0 is none.
        warmup_steps: first steps, which are pure batch normalisation.
        ramp_steps: steps over which both limits then grow linearly; 1 is at once.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    norm = BatchRenorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)
    norm.r_max = checks.real("norm.r_max", r_max, least=1, example=3)
    norm.d_max = checks.real("norm.d_max", d_max, least=0, example=5)
    norm.warmup_steps = checks.whole("norm.warmup_steps", warmup_steps, least=0, example=500)
    norm.ramp_steps = checks.whole("norm.ramp_steps", ramp_steps, least=1, example=2000)
    return norm


@final
class BatchRenorm(BatchStatistics):
    """``x_hat = (x - mu_B) / sd_B * r + d`` in train mode, r and d being outside the gradient; eval mode as usual.

    Where the limits do not bind, train mode gives exactly what eval mode would with the running statistics before this
    batch.

    Source: Ioffe 2017, Algorithm 1; section 4 for the limits (r_max 1 to 3 and d_max 0 to 5 after 5,000 steps of pure
    BN).
    Deviation: running variances (Bessel, 1/(m-1)) are averaged as in torch, where the source averages standard
    deviations; both limits share one ramp, where the source ends d's after 25,000 steps and r's after 40,000.
    """

    r_max: float
    d_max: float
    warmup_steps: int
    ramp_steps: int

    def normalize(self, x: Tensor, mean_1C: Tensor, var_1C: Tensor) -> Tensor:
        """x normalised and, in train mode, corrected by r and d."""
        x_hat = super().normalize(x, mean_1C, var_1C)
        # a cumulative average is the pass of population.py, which starts from nothing that x could be corrected towards
        if not self.training or self.momentum is None:
            return x_hat
        r_1C, d_1C = self.correction(mean_1C, var_1C)
        return x_hat * r_1C + d_1C

    @torch.no_grad()
    def correction(self, mean_1C: Tensor, var_1C: Tensor) -> tuple[Tensor, Tensor]:
        """r and d: the ratio of sds and the difference of means, batch to running, clipped. Shape: as ``mean_1C``."""
        ramp = self.ramp(mean_1C)
        r_max, d_max = 1 + ramp * (self.r_max - 1), ramp * self.d_max
        running_sd_1C = torch.sqrt(self.expand(self.running_var) + self.eps)
        r_1C = torch.sqrt(var_1C + self.eps) / running_sd_1C
        d_1C = (mean_1C - self.expand(self.running_mean)) / running_sd_1C
        return torch.clamp(r_1C, 1 / r_max, r_max), torch.clamp(d_1C, -d_max, d_max)

    def ramp(self, like: Tensor) -> Tensor:
        """Share of the limits in force at this step: 0 during the warm-up, 1 after the ramp. Shape: ``[]``."""
        steps_after_warmup = self.num_batches_tracked + 1 - self.warmup_steps
        return (steps_after_warmup.to(like.dtype) / self.ramp_steps).clamp(0, 1)

    def extra_repr(self) -> str:
        steps = f"warmup_steps={self.warmup_steps}, ramp_steps={self.ramp_steps}"
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}, {steps}"
