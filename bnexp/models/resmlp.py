"""A pre-activation residual network of fully connected layers, which can do without a norm by SkipInit or by Fixup.

Legend: N batch, C units.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from bnexp.config.checks import choice, real, whole
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct, hidden_linear, linear_layer
from bnexp.models.factory import register
from bnexp.models.init import mark_factor
from bnexp.norms import NORMS, NormFactory

FIXUP = "fixup"


class ResidualBlock(nn.Module):
    """x + alpha W2 g(norm(W1 g(norm(x)))), with g = ReLU and alpha 1 or learnable.

    ``linear2`` feeds no norm by itself, but all that ever reads the sum is a :class:`NormAct`, so its bias is dropped
    where that of ``linear1`` is.
    """

    def __init__(self, norm: NormFactory, width: int, branch_scale: float | None) -> None:
        super().__init__()
        self.site1 = NormAct(norm, width, 0, "relu")
        self.linear1 = hidden_linear(norm, width, width)
        self.site2 = NormAct(norm, width, 0, "relu")
        self.linear2 = hidden_linear(norm, width, width)
        self.alpha = None if branch_scale is None else nn.Parameter(torch.tensor(branch_scale))

    def forward(self, x_NC: Tensor) -> Tensor:
        """Shape: ``[N, C]`` to ``[N, C]``."""
        branch_NC = self.linear2(self.site2(self.linear1(self.site1(x_NC))))
        return x_NC + (branch_NC if self.alpha is None else self.alpha * branch_NC)


class ScalarBias(nn.Module):
    """x + b, with one learnable number b that starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Shape: any, kept."""
        return x + self.bias


class FixupBlock(nn.Module):
    """x + a W2 (g(W1 (g(x + b1) + b2) + b3) + b4): a scalar bias before each layer and each g = ReLU, a scalar multiplier a.

    W1 starts at the init's own scale times depth^(-1/2), W2 at 0, a at 1, the biases at 0.

    Source: Zhang, Dauphin & Ma 2019 (Fixup), section 3, rules 1 to 3, with m = 2 layers in a branch: L^(-1/(2m-2)) = L^(-1/2).
    Deviation: pre-activation, as all blocks here; fully connected.
    """

    def __init__(self, norm: NormFactory, width: int, depth: int) -> None:
        super().__init__()
        self.bias1, self.bias2, self.bias3, self.bias4 = (ScalarBias() for _ in range(4))
        self.site1, self.site2 = (NormAct(norm, width, 0, "relu") for _ in range(2))
        self.linear1, self.linear2 = (linear_layer(width, width, bias=False) for _ in range(2))
        mark_factor(self.linear1, depth**-0.5)
        mark_factor(self.linear2, 0.0)
        self.multiplier = nn.Parameter(torch.ones(()))

    def forward(self, x_NC: Tensor) -> Tensor:
        """Shape: ``[N, C]`` to ``[N, C]``."""
        hidden_NC = self.linear1(self.bias2(self.site1(self.bias1(x_NC))))
        return x_NC + self.multiplier * self.linear2(self.bias4(self.site2(self.bias3(hidden_NC))))


@register("resmlp")
def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int,
    width: int,
    branch_scale: float | str | None,
) -> nn.Module:
    """A linear ``stem``, residual blocks ``block1``, ``block2``, ..., a last ``site`` (norm and ReLU), then ``output``.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of both sites of every block and of the last site.
        depth: number of residual blocks; each has two layers.
        width: units per layer.
        branch_scale: initial value of a learnable scalar alpha on each branch; ``fixup`` for Fixup's initialisation and scalars,
            without any norm; None for neither.

    Raises:
        UserError: an option out of its range, or Fixup together with a norm.

    Source: blocks: He et al. 2016 (identity mappings), Fig. 1b; ``branch_scale``: SkipInit of De & Smith 2020, who
        start alpha at 0 or at no more than 1/sqrt(depth); ``fixup``: see :class:`FixupBlock`, the last layer starting at 0 and
        a scalar bias before each layer and ReLU outside the blocks too.
    Deviation: fully connected where all three papers convolve, so that 64 blocks train in minutes on a CPU.
    """
    whole("model.depth", depth, least=1, example=8)
    whole("model.width", width, least=1, example=128)
    num_inputs = math.prod(input_shape)
    if isinstance(branch_scale, str):
        choice("model.branch_scale", branch_scale, (FIXUP,))
        return _with_fixup(num_inputs, num_classes, norm, depth, width)
    if branch_scale is not None:
        real("model.branch_scale", branch_scale, example=0)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    layers["stem"] = hidden_linear(norm, num_inputs, width)
    for index in range(1, depth + 1):
        layers[f"block{index}"] = ResidualBlock(norm, width, branch_scale)
    layers["site"] = NormAct(norm, width, 0, "relu")
    layers["output"] = linear_layer(width, num_classes)
    return nn.Sequential(layers)


def _with_fixup(num_inputs: int, num_classes: int, norm: NormFactory, depth: int, width: int) -> nn.Module:
    if norm.spec is not NORMS["none"]:
        raise UserError("Fixup is there to do without a norm", got="model.branch_scale=fixup with a norm", todo="norm=none")
    output = linear_layer(width, num_classes)
    mark_factor(output, 0.0)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten(), bias1=ScalarBias())
    layers["stem"] = linear_layer(num_inputs, width, bias=False)
    for index in range(1, depth + 1):
        layers[f"block{index}"] = FixupBlock(norm, width, depth)
    layers |= {"bias2": ScalarBias(), "site": NormAct(norm, width, 0, "relu"), "bias3": ScalarBias(), "output": output}
    return nn.Sequential(layers)
