"""Operations that are traced as other operations, because Inductor makes slow code of torch's own rules for a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bnexp.engine import convolved
from bnexp.engine.convolved import in_memory
from bnexp.engine.cpp import Operator

_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, training: bool, momentum: float,
    eps: float,
) -> Any:
    """torch's batch norm with 1/sd once for each feature, which Inductor by itself computes at every element: 10 us of the paper's
    step.
    """
    if not training or x.dtype != torch.float32 or x.device.type != "cpu":
        return NotImplemented
    count = x.numel() // x.shape[1]
    if _of_pictures(x):
        batch_mean, batch_var, inverse = convolved.moments(x, eps)
        y = convolved.normalised(x, weight, bias, batch_mean, inverse)
    else:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        batch_mean = x.sum(axes) * (1 / count)
        centred = x - batch_mean.view(shape)
        batch_var = (centred * centred).sum(axes) * (1 / count)
        inverse = in_memory((batch_var + eps).rsqrt())
        y = centred * inverse.view(shape)
        y = y if weight is None else y * weight.view(shape)
        y = y if bias is None else y + bias.view(shape)
    if mean is not None and var is not None:
        mean.mul_(1 - momentum).add_(momentum * batch_mean)
        var.mul_(1 - momentum).add_(momentum * count / (count - 1) * batch_var)
    return y, batch_mean, inverse


def _of_pictures(x: Tensor) -> bool:
    """Whether this is a batch of pictures on a CPU; instance norm makes a single one of a batch, with as many more channels."""
    return x.dtype == torch.float32 and x.device.type == "cpu" and x.ndim == 4 and len(x) > 1


def _batch_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor | None, _mean: Any, _var: Any, batch_mean: Tensor, inverse: Tensor, training: bool,
    *_: Any,
) -> Any:
    ours = training and _of_pictures(x)
    return convolved.norm_backward(grad, x, weight, batch_mean, inverse) if ours else NotImplemented


#: How a step is traced, beside torch's own rules.
DECOMPOSED: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.native_batch_norm.default: _batch_norm,
    torch.ops.aten.native_batch_norm_backward.default: _batch_norm_backward,
}


def _left_alone(operator: Any, places: slice, unless: Operator) -> None:
    """On a CPU torch's own kernel does this, under a name that Inductor does not know, or ``unless`` does, where that fits.

    Max pooling's code by Inductor goes through the windows one number at a time: a quarter of a convolutional net's step.
    """
    name, _, overload = str(operator._schema).removeprefix("aten::").partition("(")
    _LIBRARY.define(f"{name}({overload}")
    for key in ("CPU", "Meta"):
        _LIBRARY.impl(name, operator, key)
    same = getattr(torch.ops.bnexp, name).default

    def traced(*given: Any) -> Any:
        on_cpu = given[0].device.type == "cpu"
        return (unless if _by_halves(*given[places]) else same)(*given) if on_cpu else NotImplemented

    DECOMPOSED[operator] = traced


def _by_halves(x: Tensor, size: Any, stride: Any = (), padding: Any = (), dilation: Any = (), ceil_mode: bool = False) -> bool:
    """Whether windows of 2 x 2 lie side by side and fill the picture. Shape: x ``[B, C, H, W]``."""
    fits = x.ndim == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0 and not ceil_mode
    return fits and {*size} == {2} and {*stride} <= {2} and {*padding} <= {0} and {*dilation} <= {1}


_left_alone(torch.ops.aten.max_pool2d_with_indices.default, slice(6), lambda x, *_: convolved.pool(x))
_left_alone(
    torch.ops.aten.max_pool2d_with_indices_backward.default, slice(1, 7), lambda grad, *given: convolved.spread(grad, given[-1])
)
