"""How large the gradient of each layer is over training: does it vanish or explode from the output down to the first layer?

Legend: A examples of an update.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.probes.base import Tracks, View, register

WHAT = "gradient_norm"


@register("gradients")
class Gradients(Tracks):
    """L2 norm of the loss's gradient with respect to the weights and bias of each linear layer and convolution.

    The loss is the mean cross-entropy (nats) of one training batch, drawn anew at each look by a stream of the probe's own, in
    train mode, so that a batch-normalised net is seen with the gradient that it trains by; in micro-batches where training goes in
    those. gamma and beta are not in it, and neither is weight decay. Nothing is updated: gradients of the run are not touched.

    Source: Glorot & Bengio 2010, section 4.2 (back-propagated gradients by layer). Deviation: norms of the gradients of weights.
    """

    cost: ClassVar[str] = "light"

    def __init__(self, view: View, *, observations: int, steps_between: int) -> None:
        super().__init__(view, "gradients", observations=observations, steps_between=steps_between)
        kinds = nn.Linear | nn.Conv2d
        layers = [(name, module) for name, module in view.model.named_modules() if isinstance(module, kinds)]
        self._layers: list[tuple[str, list[Any]]] = [
            (name.removesuffix(".linear").removesuffix(".conv"), [p for p in layer.parameters() if p.requires_grad])
            for name, layer in layers
        ]

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """``gradient_norm`` of each layer, the first one first, in nats per unit of weight."""
        model = self._view.model.train()
        x, labels = self._view.training_batch(f"probe/gradients/{step}")
        parameters = [parameter for _, own in self._layers for parameter in own]
        total = [torch.zeros_like(parameter) for parameter in parameters]
        for part, answers in zip(x.split(self._view.batch_size), labels.split(self._view.batch_size), strict=True):
            loss = F.cross_entropy(model(part), answers) * (len(answers) / len(labels))
            for whole, gradient in zip(total, torch.autograd.grad(loss, parameters), strict=True):
                whole += gradient
        rest = iter(total)
        squares = torch.stack([sum((next(rest).square().sum() for _ in own), torch.zeros(())) for _, own in self._layers])
        return {WHAT: dict(zip((name for name, _ in self._layers), squares.sqrt().tolist(), strict=True))}
