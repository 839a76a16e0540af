"""norm=renorm: batch renormalisation, which corrects the batch's statistics towards the running ones.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps, values_per_feature
from bnexp.norms.factory import register


@register("renorm", centers=True, needs_batch=True)
def renorm(
    num_features: int,
    dims: int,
    *,
    r_max: float,
    d_max: float,
    warmup_steps: int,
    r_ramp_steps: int,
    d_ramp_steps: int,
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
        r_ramp_steps: steps over which the limit of the scale then grows linearly; 1 is at once.
        d_ramp_steps: the same of the mean's.
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
    norm.r_ramp_steps = checks.whole("norm.r_ramp_steps", r_ramp_steps, least=1, example=3500)
    norm.d_ramp_steps = checks.whole("norm.d_ramp_steps", d_ramp_steps, least=1, example=2000)
    return norm


@final
class BatchRenorm(BatchStatistics):
    """``x_hat = (x - mu_B) / sd_B * r + d`` in train mode, r and d being outside the gradient; eval mode as usual.

    ``sd_B`` is the root of the biased (1/m) variance plus eps, and what runs is the average of ``sd_B`` itself: the
    buffer ``running_sd`` stands where other norms have ``running_var``. So r is 1 on average once the net is steady.
    Where the limits do not bind, train mode gives exactly what eval mode would with the running statistics before this
    batch.

    Source: Ioffe 2017, Algorithm 1; section 4 for the limits (r_max 1 to 3 from step 5,000 to 40,000, d_max 0 to 5 from
    step 5,000 to 25,000, pure BN before).
    """

    needs_tracking: ClassVar[str] = "norm=renorm corrects towards its running statistics, so it cannot do without"
    running_sd: Tensor
    r_max: float
    d_max: float
    warmup_steps: int
    r_ramp_steps: int
    d_ramp_steps: int

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> None:
        super().__init__(num_features, dims, affine=affine, eps=eps, momentum=momentum)
        del self.running_var
        self.register_buffer("running_sd", torch.ones(num_features))

    def reset_running_stats(self) -> None:
        """Forget every batch seen: mean 0, sd 1, count 0."""
        self.running_mean.zero_()
        self.running_sd.fill_(1)
        self.num_batches_tracked.zero_()

    def normalize_batch(self, x: Tensor) -> Tensor:
        """x normalised by its own batch and corrected by r and d; the batch then enters the running statistics."""
        values_per_feature(x)
        mean_1C, var_1C = self.batch_statistics(x)
        sd_1C = torch.sqrt(var_1C + self.eps)
        x_hat = (x - mean_1C) / sd_1C
        # a cumulative average is the pass of population.py, which starts from nothing that x could be corrected towards
        if self.momentum is not None:
            r_1C, d_1C = self.correction(mean_1C, sd_1C)
            x_hat = x_hat * r_1C + d_1C
        self.track_sd(mean_1C.flatten(), sd_1C.flatten())
        return x_hat

    def normalize_by_running(self, x: Tensor) -> Tensor:
        """x normalised by the running mean and sd, in which eps is already."""
        # by a tensor of its own: the gradient must not meet a running sd that a later batch has moved
        return (x - self.expand(self.running_mean)) * self.expand(self.running_sd).reciprocal()

    @torch.no_grad()
    def correction(self, mean_1C: Tensor, sd_1C: Tensor) -> tuple[Tensor, Tensor]:
        """r and d: the ratio of sds and the difference of means, batch to running, clipped. Shape: as ``mean_1C``."""
        r_max = 1 + self.ramp(self.r_ramp_steps, mean_1C) * (self.r_max - 1)
        d_max = self.ramp(self.d_ramp_steps, mean_1C) * self.d_max
        running_sd_1C = self.expand(self.running_sd)
        r_1C = sd_1C / running_sd_1C
        d_1C = (mean_1C - self.expand(self.running_mean)) / running_sd_1C
        return torch.clamp(r_1C, 1 / r_max, r_max), torch.clamp(d_1C, -d_max, d_max)

    @torch.no_grad()
    def track_sd(self, mean_C: Tensor, sd_C: Tensor) -> None:
        """Let one batch into the running mean and sd."""
        self.num_batches_tracked.add_(1)
        weight = self.newest_weight(mean_C)
        self.running_mean.add_((mean_C - self.running_mean) * weight)
        self.running_sd.add_((sd_C - self.running_sd) * weight)

    def ramp(self, steps: int, like: Tensor) -> Tensor:
        """Share of a limit in force at this step: 0 during the warm-up, 1 after ``steps`` more. Shape: ``[]``."""
        steps_after_warmup = self.num_batches_tracked + 1 - self.warmup_steps
        return (steps_after_warmup.to(like.dtype) / steps).clamp(0, 1)

    def extra_repr(self) -> str:
        ramps = f"r_ramp_steps={self.r_ramp_steps}, d_ramp_steps={self.d_ramp_steps}"
        limits = f"r_max={self.r_max}, d_max={self.d_max}, warmup_steps={self.warmup_steps}, {ramps}"
        return f"{super().extra_repr()}, {limits}"
