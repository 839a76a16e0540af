"""The updates of SGD, Adam and AdamW written out on tensors, in place: for one run, or for many runs side by side.

``torch.optim`` wants its learning rate as a Python number, which neither a compiled graph nor runs with different rates can have;
the tests hold these few lines against it.

Legend: S runs side by side (the axis is absent for one run).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

#: State tensors by name, in the order of the parameters; ``torch.optim`` keeps them under the same names.
Slots = dict[str, list[Tensor]]


def slot_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What an optimiser remembers of each parameter."""
    if isinstance(optimizer, torch.optim.SGD):
        return ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
    return ("exp_avg", "exp_avg_sq", "step")


def slots_of(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> Slots:
    """The optimiser's own state tensors; where a fresh optimiser has none yet they are made, and are its own from then on."""
    for parameter in parameters:
        held = optimizer.state[parameter]
        for name in slot_names(optimizer):
            if held.get(name) is None:
                held[name] = torch.zeros((), device=parameter.device) if name == "step" else torch.zeros_like(parameter)
    return {name: [optimizer.state[parameter][name] for parameter in parameters] for name in slot_names(optimizer)}


Update = Callable[[Mapping[str, Any], Tensor, Tensor, Mapping[str, Tensor], Tensor], None]


def update_of(optimizer: torch.optim.Optimizer) -> Update:
    """The optimiser's update of one parameter as ``update(group, parameter, gradient, slots, lr)``.

    Shape: ``parameter``, ``gradient`` and slots ``[S, ...]``, ``lr`` and the slot ``step`` ``[S]``; all without S for one run.

    Source: ``torch.optim.SGD``, ``Adam`` (Kingma & Ba 2015, Algorithm 1) and ``AdamW`` (Loshchilov & Hutter 2019, Algorithm 2).
    """
    return next(update for kind, update in _KINDS.items() if isinstance(optimizer, kind))


def _sgd(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor
) -> None:
    if group["weight_decay"]:
        gradient = gradient + group["weight_decay"] * parameter
    if group["momentum"]:
        velocity = slots["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
    parameter.sub_(_beside(lr, parameter) * gradient)


def _adam(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor
) -> None:
    if group["weight_decay"]:
        gradient = gradient + group["weight_decay"] * parameter
    _adam_without_decay(group, parameter, gradient, slots, lr)


def _adamw(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor
) -> None:
    parameter.mul_(1 - _beside(lr, parameter) * group["weight_decay"])
    _adam_without_decay(group, parameter, gradient, slots, lr)


def _adam_without_decay(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor
) -> None:
    beta1, beta2 = group["betas"]
    step = _beside(slots["step"].add_(1), parameter)
    mean = slots["exp_avg"].mul_(beta1).add_(gradient * (1 - beta1))
    square = slots["exp_avg_sq"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
    spread = (square / (1 - beta2**step)).sqrt() + group["eps"]
    parameter.sub_(_beside(lr, parameter) / (1 - beta1**step) * mean / spread)


def _beside(per_run: Tensor, parameter: Tensor) -> Tensor:
    """``[S]`` as ``[S, 1, ...]``, or ``[]`` as ``[1, ...]``, to be multiplied with a parameter."""
    return per_run.view(per_run.shape + (1,) * (parameter.ndim - per_run.ndim))


#: The first that fits: torch's AdamW is an Adam.
_KINDS: Mapping[type, Update] = {
    torch.optim.SGD: _sgd,
    torch.optim.AdamW: _adamw,
    torch.optim.Adam: _adam,
}
