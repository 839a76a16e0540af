"""norm=reference: batch normalisation written out with the paper's names, to be read and to be tested against.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; a quantity per feature is [1, C] or [1, C, 1,
1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.norms.base import BatchStatistics, check_eps, values_per_feature
from bnexp.norms.factory import register


@register("reference", centers=True, needs_batch=True)
def reference(num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> nn.Module:
    """Batch normalisation as the paper writes it; equal to ``norm=batch`` forward, backward and in its buffers.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    return ReferenceBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)


@final
class ReferenceBatchNorm(BatchStatistics):
    """Algorithm 1 in train mode, the second half of Algorithm 2 in eval mode.

    The gradient needs no line of its own: mu_B and var_B are computed from x inside the graph, so autograd
    differentiates through them, which is what section 3 of the paper asks for. ``norm=detached`` shows what happens
    otherwise.

    Source: Ioffe & Szegedy 2015, Algorithms 1 and 2; 3.2 for convolutions, whose statistics run over N, H and W.
    Deviation: E[x] and Var[x] are exponential averages kept during training, as in torch (see ``population.py`` for
    Algorithm 2's).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

        Raises:
            ValueError: train mode with a single value per feature.
        """
        return self.algorithm_1(x) if self.training or not self.tracks else self.algorithm_2(x)

    def algorithm_1(self, x: Tensor) -> Tensor:
        """y_i = BN_{gamma,beta}(x_i) over the mini-batch B = {x_1 ... x_m}."""
        m = values_per_feature(x)
        mu_B = x.sum(self.batch_axes, keepdim=True) / m  # mini-batch mean
        var_B = ((x - mu_B) ** 2).sum(self.batch_axes, keepdim=True) / m  # mini-batch variance, biased (1/m)
        x_hat = (x - mu_B) / torch.sqrt(var_B + self.eps)  # normalise
        y = self.scale_and_shift(x_hat)  # scale and shift: gamma * x_hat + beta
        if self.tracks:
            self.remember(mu_B.detach().flatten(), var_B.detach().flatten(), m)
        return y

    def algorithm_2(self, x: Tensor) -> Tensor:
        """Inference: E[x] and Var[x] are constants, so BN is one linear map per feature (lines 10 and 11)."""
        E_x, Var_x = self.expand(self.running_mean), self.expand(self.running_var)
        x_hat = (x - E_x) / torch.sqrt(Var_x + self.eps)
        return self.scale_and_shift(x_hat)

    @torch.no_grad()
    def remember(self, mu_B: Tensor, var_B: Tensor, m: int) -> None:
        """Running averages of mu_B, and of m/(m-1) var_B: the Bessel (1/(m-1)) variance of Algorithm 2, line 10."""
        self.num_batches_tracked += 1
        newest = self.newest_weight(mu_B)
        self.running_mean.copy_((1 - newest) * self.running_mean + newest * mu_B)
        self.running_var.copy_((1 - newest) * self.running_var + newest * var_B * m / (m - 1))
