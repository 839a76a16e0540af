"""The training step as a function of tensors only: what can be compiled into one graph, captured, or run for many runs at once.

``step.py`` stays the definition and is this one's test.

Legend: S runs side by side, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.data.standardize import Standardizer
from bnexp.engine.update import Slots, slots_of, update_of


@dataclass(frozen=True)
class TrainingState:
    """Everything a step changes, in place: the very tensors of a model and its optimiser, or stacks of several runs' tensors.

    Shape: each tensor as in its model, with S in front where runs are side by side.
    """

    parameters: list[Tensor]
    buffers: list[Tensor]
    slots: Slots

    def tensors(self) -> list[Tensor]:
        """All of them, in a fixed order."""
        return [*self.parameters, *self.buffers, *(tensor for row in self.slots.values() for tensor in row)]

    def of(self, tensors: Sequence[Tensor]) -> TrainingState:
        """Other tensors in the places of these, in the order of :meth:`tensors`."""
        rest = iter(tensors)
        parameters, buffers = ([next(rest) for _ in mine] for mine in (self.parameters, self.buffers))
        return TrainingState(
            parameters, buffers, {name: [next(rest) for _ in row] for name, row in self.slots.items()}
        )  # fmt: skip


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training moves, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """One run's own tensors: changing them is training it."""
    parameters = trainable(model)
    slots = slots_of(optimizer, parameters)
    return TrainingState([p.detach() for p in parameters], list(model.buffers()), slots)


class PureStep:
    """``step(state, prepare, lr, images, labels) -> (loss, correct)``: standardise, then forward, backward and update of ``state``,
    in place.

    The model only lends its structure and the optimiser its kind and constants; what happens to either afterwards does not matter.

    Args:
        model: any model of the registry whose forward pass draws no random numbers.
        optimizer: SGD, Adam or AdamW of ``torch.optim``.
        side_by_side: whether state, rate and batch have S in front.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, side_by_side: bool) -> None:
        self._model = deepcopy(model).train()
        self._update = update_of(optimizer)
        self._parameter_names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._buffer_names = [name for name, _ in model.named_buffers()]
        places = {id(parameter): place for place, parameter in enumerate(trainable(model))}
        self._groups = [
            (
                {name: value for name, value in group.items() if name not in ("params", "lr")},
                [places[id(p)] for p in group["params"]],
            )
            for group in optimizer.param_groups
        ]
        gradients = grad_and_value(self._loss, has_aux=True)
        self._gradients = vmap(gradients) if side_by_side else gradients

    def __call__(
        self, state: TrainingState, prepare: Standardizer, lr: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shape: lr ``[S]``, images ``[S, B, C, H, W]`` bytes, labels ``[S, B]`` int64; loss and correct ``[S]``; without S for
        one run.
        """
        x = prepare(images.flatten(end_dim=-4)).view(images.shape)
        gradients, (loss, (correct, moved)) = self._gradients(tuple(state.parameters), tuple(state.buffers), x, labels)
        with torch.no_grad():
            for buffer, value in zip(state.buffers, moved, strict=True):
                buffer.copy_(value)
            for constants, places in self._groups:
                for place in places:
                    slots = {name: row[place] for name, row in state.slots.items()}
                    self._update(constants, state.parameters[place], gradients[place], slots, lr)
        return loss, correct

    def traced(self, function: Callable[..., Any], tensors: Sequence[Tensor]) -> GraphModule:
        """A ``function`` that calls this step, as a graph of tensor operations, which is what one call with ``tensors`` did.

        Raises:
            RuntimeError: a layer keeps count of something outside its buffers, so that the next call would do something else.
        """
        before = self._plain_attributes()
        graph = make_fx(function)(*tensors)
        after = self._plain_attributes()
        for name, value in after.items():
            if before.get(name) != value:
                raise RuntimeError(
                    f"{name} changes in every forward pass and is not a buffer, which a graph cannot hold"
                )
        return graph

    def _plain_attributes(self) -> dict[str, Any]:
        plain = (bool, int, float, str, tuple, type(None))
        return {
            f"{place}.{name}".lstrip("."): value
            for place, module in self._model.named_modules()
            for name, value in vars(module).items()
            if isinstance(value, plain)
        }

    def _loss(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, y: Tensor
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        moved = [buffer.clone() for buffer in buffers]  # a forward pass moves them in place
        named = dict(zip(self._parameter_names, parameters, strict=True))
        named |= dict(zip(self._buffer_names, moved, strict=True))
        logits = functional_call(self._model, named, (x,))
        return F.cross_entropy(logits, y), ((logits.argmax(1) == y).sum(), moved)
