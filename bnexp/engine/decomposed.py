"""Operations that are traced as other operations, because Inductor makes slow code of torch's own rules for a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bnexp.engine.cpp import Operator

_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")


def _batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor | None, var: Tensor | None, training: bool, momentum: float,
    eps: float,
) -> Any:
    """torch's batch norm with 1/sd once for each feature, which Inductor by itself computes at every element: 10 us of the paper's
    step. It is no private name, but ``as_strided`` is here because Inductor puts what it reads into memory.
    """
    if not training or x.dtype != torch.float32 or x.device.type != "cpu":
        return NotImplemented
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    count = x.numel() // x.shape[1]
    batch_mean = x.sum(axes) * (1 / count)
    centred = x - batch_mean.view(shape)
    batch_var = (centred * centred).sum(axes) * (1 / count)
    inverse = (batch_var + eps).rsqrt().as_strided(batch_var.shape, batch_var.stride())
    if mean is not None and var is not None:
        mean.mul_(1 - momentum).add_(momentum * batch_mean)
        var.mul_(1 - momentum).add_(momentum * count / (count - 1) * batch_var)
    y = centred * inverse.view(shape)
    if weight is not None:
        y = y * weight.view(shape)
    if bias is not None:
        y = y + bias.view(shape)
    return y, batch_mean, inverse


#: How a step is traced, beside torch's own rules.
DECOMPOSED: dict[Any, Callable[..., Any]] = {torch.ops.aten.native_batch_norm.default: _batch_norm}


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


def _pool_by_halves(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    """As comparisons, which Inductor makes vectors of and puts into the kernels beside it: 3 % of a convolutional net's step.

    Shape: the maxima, and which of its window each is (0 to 3, the first of equals), ``[B, C, H/2, W/2]``.
    """
    largest = x[:, :, ::2, ::2]
    which = torch.zeros_like(largest)
    for number in (1, 2, 3):
        other = x[:, :, number // 2 :: 2, number % 2 :: 2]
        which = torch.where(other > largest, number, which)
        largest = torch.maximum(largest, other)
    return largest, which


def _pool_by_halves_backward(grad: Tensor, x: Tensor, *given: Any) -> Tensor:
    wide_grad, wide_which = (part[:, :, :, None, :, None] for part in (grad, given[-1]))
    spread = torch.where(wide_which == torch.arange(4.0).view(2, 1, 2), wide_grad, 0).reshape(x.shape)
    return spread.contiguous(memory_format=torch.channels_last) if x.stride(1) == 1 else spread.contiguous()


_left_alone(torch.ops.aten.max_pool2d_with_indices.default, slice(6), _pool_by_halves)
_left_alone(torch.ops.aten.max_pool2d_with_indices_backward.default, slice(1, 7), _pool_by_halves_backward)
