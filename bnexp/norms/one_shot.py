"""norm=one_shot: normalised by the first training batch for ever, so well conditioned at the start and then on its own.

Legend: N batch, C features, H W space; ``x`` is [N, C] or [N, C, H, W]; suffix _C means [C], suffix _1C [1, C] or [1,
C, 1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import torch
from torch import Tensor, nn

from bnexp.errors import UserError
from bnexp.norms.base import FeatureAffine, check_eps, values_per_feature
from bnexp.norms.factory import register


def check_placement(placement: str, options: Mapping[str, Any]) -> None:
    """Require a place right after the layer that is to take the normalisation.

    Raises:
        UserError: ``norm.fold`` with the norm after the nonlinearity.
    """
    if options["fold"] and placement == "after":
        raise UserError(
            "norm=one_shot cannot be folded into a layer across the nonlinearity",
            got="norm.placement=after norm.fold=true",
            todo="norm.placement=before, or norm.fold=false",
        )


def needs_bias(options: Mapping[str, Any]) -> bool:
    """Whether the layer before needs a bias of its own to fold the mean into: where there is no beta to take it."""
    return options["fold"] and options["affine"] in ("scale", "none")


@register("one_shot", centers=True, needs_batch=True, needs_bias=needs_bias, check_placement=check_placement)
def one_shot(num_features: int, dims: int, *, fold: bool, affine: str, eps: float) -> nn.Module:
    """Batch normalisation at the first training step, and the same fixed map before gamma and beta ever after.

    It is declared to centre, so that a bias before it is dropped as with ``norm=batch``: it would only be a second
    beta.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        fold: before the first step the fixed map becomes part of the layer's W and of beta (or b), which then train as
            those of a plain net; else it stays a map of its own.
        affine: full, scale, shift or none.
        eps: added to the variance, in units of x squared.

    Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

    Raises:
        UserError: an option out of its range.
    """
    norm = FoldedOneShot if fold else OneShotNorm
    return norm(num_features, dims, affine=affine, eps=check_eps(eps))


@final
class FoldedOneShot(FeatureAffine):
    """``gamma * x + beta``: what is left of the norm when :func:`fold_first_batch` has put the rest into the layer before.

    Source: Salimans & Kingma 2016, section 3 (data-dependent initialisation), of W and b instead of g and b.
    Deviation: biased (1/m) variance with eps, as in Ioffe & Szegedy 2015, Algorithm 1.
    """

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept."""
        return self.scale_and_shift(x)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"


@torch.no_grad()
def fold_first_batch(model: nn.Module, x: Tensor) -> None:
    """Normalise ``model`` by the batch ``x``, once, through its weights: W / sd, and -mean / sd in beta or else in b.

    The layers are taken in the order of the pass, each behind layers that are folded already. gamma is taken to be 1. A
    model without :class:`FoldedOneShot` is left alone.

    Shape: ``x`` is what ``model`` takes.

    Raises:
        UserError: as :func:`foldable`.
    """
    layers = foldable(model, x)
    hooks = [norm.register_forward_pre_hook(partial(_fold, layer)) for norm, layer in layers.items()]
    try:
        if layers:
            model(x)
    finally:
        for hook in hooks:
            hook.remove()


def foldable(model: nn.Module, x: Tensor) -> dict[FoldedOneShot, nn.Linear | nn.Conv2d]:
    """The layer right before each :class:`FoldedOneShot`, found by a pass of ``x``.

    Raises:
        UserError: something stands between a norm and the layer before it, such as the sum of a residual block.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, FoldedOneShot)}
    if not names:
        return {}
    found: dict[FoldedOneShot, nn.Linear | nn.Conv2d] = {}
    latest: list[tuple[Any, Tensor]] = []

    def leave(layer: Any, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        latest[:] = [(layer, output)]

    def enter(norm: Any, inputs: tuple[Tensor, ...]) -> None:
        if not latest or latest[0][1] is not inputs[0]:
            raise UserError(
                "norm=one_shot can be folded into a linear layer or convolution right before it only",
                got=f"{names[norm]}, whose input comes from no such layer",
                todo="norm.fold=false, or model=mlp",
            )
        found[norm] = latest[0][0]

    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    hooks = [layer.register_forward_hook(leave) for layer in layers]
    hooks += [norm.register_forward_pre_hook(enter) for norm in names]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _fold(layer: nn.Linear | nn.Conv2d, norm: FoldedOneShot, inputs: tuple[Tensor]) -> Tensor:
    """What the folded layer would have given in place of ``inputs``."""
    x = inputs[0].to(layer.weight.dtype)
    values_per_feature(x)
    var_C, mean_C = torch.var_mean(x, norm.batch_axes, correction=0)
    sd_C = torch.sqrt(var_C + norm.eps)
    layer.weight.div_(sd_C.view(-1, *[1] * (layer.weight.ndim - 1)))
    x = x / norm.expand(sd_C)
    if norm.bias is not None:
        norm.bias.sub_(mean_C / sd_C)
        return x
    assert layer.bias is not None
    layer.bias.sub_(mean_C).div_(sd_C)
    return x - norm.expand(mean_C / sd_C)


@final
class OneShotNorm(FeatureAffine):
    """``gamma * (x - first_mean) / first_sd + beta``, where first means the first batch seen in train mode.

    Until ``has_seen_batch`` the statistics are 0 and 1, so eval mode is the identity up to gamma and beta. They are
    constants: no gradient passes through them, not even at the first step, and they are not running statistics that
    ``population.py`` would redo.

    Source: Salimans & Kingma 2016, section 3 (data-dependent initialisation), applied to the layer's outputs.
    Deviation: not folded into the layer's W and b, so W's gradient is scaled by gamma / first_sd as under batch
    normalisation (:class:`FoldedOneShot` is). Biased (1/m) variance with eps, as in Ioffe & Szegedy 2015, Algorithm 1.
    """

    first_mean: Tensor
    first_sd: Tensor
    has_seen_batch: Tensor

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.eps = eps
        self.register_buffer("first_mean", torch.zeros(num_features))
        self.register_buffer("first_sd", torch.ones(num_features))
        self.register_buffer("has_seen_batch", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

        Raises:
            ValueError: train mode with a single value per feature.
        """
        if self.training:
            values_per_feature(x)
            self.look(x)
        x_hat = (x - self.expand(self.first_mean)) * self.expand(self.first_sd).reciprocal()
        return self.scale_and_shift(x_hat)

    @torch.no_grad()
    def look(self, x: Tensor) -> None:
        """Keep the statistics of ``x`` if it is the first batch; no branch, so that stacked seeds share the call."""
        var_C, mean_C = torch.var_mean(x, self.batch_axes, correction=0)
        self.first_mean.copy_(torch.where(self.has_seen_batch, self.first_mean, mean_C))
        self.first_sd.copy_(torch.where(self.has_seen_batch, self.first_sd, torch.sqrt(var_C + self.eps)))
        self.has_seen_batch.fill_(True)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}"
