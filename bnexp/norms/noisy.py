"""norm=noisy: batch normalisation followed by noise whose own distribution changes at every step.

Legend: N batch, C features, H W space; ``a`` is [N, C] or [N, C, H, W]; a suffix _1C means [1, C] or [1, C, 1, 1].
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from bnexp.config import checks
from bnexp.norms.base import BatchStatistics, check_eps
from bnexp.norms.factory import register

#: The paper's n_mu, n_sigma - 1, r_mu and r_sigma: ranges of a unit's mean and scale, then spreads of the elements.
UNIT_MEAN, UNIT_SCALE, ELEMENT_MEAN, ELEMENT_SCALE = 0.5, 0.25, 0.1, 0.1


@register("noisy", centers=True, needs_batch=True, uses_noise=True)
def noisy(
    num_features: int,
    dims: int,
    *,
    amplitude: float,
    where: str,
    in_eval: bool,
    affine: str,
    eps: float,
    momentum: float | None,
    generator: torch.Generator,
) -> nn.Module:
    """Batch normalisation with a distribution that is made unstable again on purpose.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        amplitude: factor on the paper's four spreads; 0 is ``norm=batch``.
        where: ``before`` the nonlinearity (right after gamma and beta) or ``after`` it (what the next layer receives).
        in_eval: noise in eval mode too.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.
        generator: the run's ``noise`` stream, on the CPU or on the model's device; all noisy layers draw from it.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    checks.choice("norm.where", where, ("before", "after"))
    norm = NoisyBatchNorm(num_features, dims, affine=affine, eps=check_eps(eps), momentum=momentum)
    noise = UnitNoise(checks.real("norm.amplitude", amplitude, least=0, example=1), in_eval, generator)
    setattr(norm, "noise" if where == "before" else "post_activation", noise)
    return norm


@final
class NoisyBatchNorm(BatchStatistics):
    """Batch normalisation with a :class:`UnitNoise` as its child: ``noise``, applied here, or ``post_activation``.

    ``post_activation`` is called by ``models.blocks.NormAct`` after the nonlinearity.
    """

    noise: UnitNoise

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept."""
        y = super().forward(x)
        return self.noise(y) if hasattr(self, "noise") else y


@final
class UnitNoise(nn.Module):
    """Noise that shifts and stretches each unit anew at each step, and each element a little more: ``a <- s * a + m``.

    At every call, per unit j (shared by the batch): mu_j ~ U(-0.5, 0.5), sigma_j ~ U(1, 1.25); then per element:
    m ~ U(mu_j - 0.1, mu_j + 0.1), s ~ N(sigma_j, 0.1). ``amplitude`` scales the four spreads, so 0 is the identity
    exactly.

    Source: Santurkar et al. 2018, 2.2 and appendix A ("noisy" BatchNorm).
    Deviation: the source leaves three things open. A unit is a channel in a convolution, as it is for the statistics,
    while each element of its map draws its own m and s; 0.1 is taken as the sd of s; noise is off in eval mode unless
    asked for. A step is a call in train mode, so a second pass over the same batch draws again. A copy of the model
    (``copy.deepcopy``) takes a copy of the generator with it and leaves the original's stream where it was.
    """

    def __init__(self, amplitude: float, in_eval: bool, generator: torch.Generator) -> None:
        super().__init__()
        self.amplitude, self.in_eval, self.generator = amplitude, in_eval, generator

    def forward(self, a: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept."""
        if not (self.training or self.in_eval):
            return a
        unit = (1, a.shape[1], *[1] * (a.dim() - 2))
        mu_1C = UNIT_MEAN * self.amplitude * (2 * self._uniform(unit, a) - 1)
        sigma_1C = 1 + UNIT_SCALE * self.amplitude * self._uniform(unit, a)
        m = mu_1C + ELEMENT_MEAN * self.amplitude * (2 * self._uniform(a.shape, a) - 1)
        s = sigma_1C + ELEMENT_SCALE * self.amplitude * self._normal(a.shape, a)
        return s * a + m

    def _uniform(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        drawn = torch.rand(shape, generator=self.generator, device=self.generator.device, dtype=like.dtype)
        return drawn.to(like.device)

    def _normal(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        drawn = torch.randn(shape, generator=self.generator, device=self.generator.device, dtype=like.dtype)
        return drawn.to(like.device)

    def extra_repr(self) -> str:
        return f"amplitude={self.amplitude}, in_eval={self.in_eval}"
