"""What a batch is like behind each hidden layer, and what comes back to it: moments, rank, orthogonality, gradient.

Legend: B examples of a batch, D values of one example.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.models.blocks import NormAct
from bnexp.probes.base import Tracks, View, register


@register("depth")
class Depth(Tracks):
    """Five numbers of what leaves every hidden layer, for one training batch in train mode.

    ``mean`` and ``sd`` are over all examples and values. ``soft_rank`` is tr(M)^2 / ||M||_F^2 of M = H'H / B, from 1 (all examples
    are multiples of one) to min(B, D). ``orthogonality_gap`` is ||G / tr(G) - C / (B - 1)||_F of the batch's centred Gram matrix G,
    C being the centring matrix: 0 where the examples are orthogonal but for their mean, NaN where all are the same.
    ``gradient_norm`` is the L2 norm of the mean cross-entropy's gradient (nats) with respect to H.

    The batch is drawn anew at each look by a stream of the probe's own; of micro-batches it is the first one. Maps of a convolution
    are one vector an example. Nothing is updated.

    Source: Daneshmand et al. 2020 (soft rank) and 2021 (gap, of layers that are not centred); Yang et al. 2019 (gradients).
    """

    cost: ClassVar[str] = "light"

    def __init__(self, view: View, *, observations: int, steps_between: int) -> None:
        super().__init__(view, "depth", observations=observations, steps_between=steps_between)
        named = view.model.named_modules()
        self._sites = {name.removesuffix(".site"): module for name, module in named if isinstance(module, NormAct)}
        if not self._sites:
            self._steps = []

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """Each of the five to layer to number, the first layer first."""
        left: dict[str, Tensor] = {}

        def leave(name: str, _module: nn.Module, _inputs: Any, h: Tensor) -> None:
            left[name] = h

        hooks = [module.register_forward_hook(partial(leave, name)) for name, module in self._sites.items()]
        try:
            x, labels = self._view.training_batch(f"probe/depth/{step}")
            size = self._view.batch_size
            loss = F.cross_entropy(self._view.model.train()(x[:size]), labels[:size])
        finally:
            for hook in hooks:
                hook.remove()
        gradients = torch.autograd.grad(loss, list(left.values()))
        found: dict[str, dict[str, float]] = {}
        for (name, h), gradient in zip(left.items(), gradients, strict=True):
            numbers = {**of_batch(h.detach().flatten(1)), "gradient_norm": float(gradient.double().norm())}
            for what, value in numbers.items():
                found.setdefault(what, {})[name] = value
        return found


def of_batch(h_BD: Tensor) -> dict[str, float]:
    """Mean, sd, soft rank and orthogonality gap, the last two from the eigenvalues of the Gram matrices. Shape: ``[B, D]``."""
    h_BD = h_BD.double()
    if not h_BD.isfinite().all():  # of which there are no eigenvalues
        return dict.fromkeys(("mean", "sd", "soft_rank", "orthogonality_gap"), math.nan)
    raw_B, centred_B = (torch.linalg.eigvalsh(one @ one.T) for one in (h_BD, h_BD - h_BD.mean(0)))
    num = len(h_BD) - 1
    spectrum_B = centred_B[1:] / centred_B.sum()  # the smallest belongs to the mean and is 0
    return {
        "mean": float(h_BD.mean()),
        "sd": float(h_BD.std(correction=0)),
        "soft_rank": float(raw_B.sum().square() / raw_B.square().sum()),
        "orthogonality_gap": float((spectrum_B - 1 / num).square().sum().sqrt()),
    }
