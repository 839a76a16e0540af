"""One training batch, and the loss and its gradients at other weights than the run's own: what probes that try steps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.probes.base import View

#: Parameter name to its values; never the run's own tensors.
Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layer:
    """A linear layer or convolution.

    Attributes:
        name: as probes call it, e.g. ``"hidden1"``.
        own: names of its weights, without its bias, which a layer in front of a norm lacks.
        before: names of all trainable parameters that come before it in the model, gamma and beta of earlier norms included.
    """

    name: str
    own: tuple[str, ...]
    before: tuple[str, ...]


def layers_of(model: nn.Module) -> list[Layer]:
    """Every linear layer and convolution that has trainable weights, in the order in which the model registers them."""
    order = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    found = []
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        inside = {f"{name}.{inner}": p for inner, p in module.named_parameters() if p.requires_grad}
        own = tuple(inner for inner, p in inside.items() if p.ndim >= 2)
        if own:
            short = name.removesuffix(".linear").removesuffix(".conv")
            found.append(Layer(short, own, tuple(order[: order.index(next(iter(inside)))])))
    return found


class OneBatch:
    """The loss of one training batch as a function of the weights.

    In train mode, in micro-batches where training goes in those; statistics and noise of norms are those of the batch, and the
    same at every weights that are asked for. Neither the run's weights nor its buffers are touched.

    Args:
        view: of the run.
        stream: names the batch, which is drawn by a stream of its own.
    """

    def __init__(self, view: View, stream: str) -> None:
        self._model = view.model.train()
        x, labels = view.training_batch(stream)
        self._parts = list(zip(x.split(view.batch_size), labels.split(view.batch_size), strict=True))
        self._buffers = {name: buffer.detach().clone() for name, buffer in view.model.named_buffers()}
        drawing = (getattr(module, "generator", None) for module in view.model.modules())
        self._noise = [(one, one.get_state()) for one in drawing if isinstance(one, torch.Generator)]

    def weights(self) -> dict[str, Tensor]:
        """The run's trainable parameters as they are, in the model's order; not copied, so not to be changed in place."""
        return {name: p.detach() for name, p in self._model.named_parameters() if p.requires_grad}

    def gradient(self, weights: Weights, of: Sequence[str] | None = None) -> tuple[float, dict[str, Tensor]]:
        """The loss (mean cross-entropy, nats) at ``weights`` and its gradient with respect to those named ``of``, or to all."""
        from torch.func import functional_call  # takes a while to import, and most runs need it not

        wanted = list(weights) if of is None else list(of)
        leaves = {name: value.detach().requires_grad_(name in wanted) for name, value in weights.items()}
        buffers = {name: value.clone() for name, value in self._buffers.items()}
        for generator, state in self._noise:
            generator.set_state(state)
        total = {name: torch.zeros_like(leaves[name]) for name in wanted}
        loss, num_examples = 0.0, sum(len(labels) for _, labels in self._parts)
        for part, labels in self._parts:
            logits = functional_call(self._model, {**leaves, **buffers}, (part,))
            share = F.cross_entropy(logits, labels) * (len(labels) / num_examples)
            loss += share.item()
            for name, value in zip(wanted, torch.autograd.grad(share, [leaves[name] for name in wanted]), strict=True):
                total[name] += value
        return loss, total


def flat(gradient: Weights, names: Sequence[str]) -> Tensor:
    """These entries as one float64 vector."""
    return torch.cat([gradient[name].flatten() for name in names]).double()


def cosine(a: Tensor, b: Tensor) -> float:
    """Of two vectors; NaN where one of them is zero or not finite."""
    return float(a @ b / (a.norm() * b.norm()))
