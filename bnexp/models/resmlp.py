"""A pre-activation residual network of fully connected layers, with or without SkipInit's learnable branch scale.

Legend: N batch, C units.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from bnexp.config.checks import real, whole
from bnexp.models.blocks import NormAct, hidden_linear, linear_layer
from bnexp.models.factory import register
from bnexp.norms import NormFactory


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


@register("resmlp")
def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int,
    width: int,
    branch_scale: float | None,
) -> nn.Module:
    """A linear ``stem``, residual blocks ``block1``, ``block2``, ..., a last ``site`` (norm and ReLU), then ``output``.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of both sites of every block and of the last site.
        depth: number of residual blocks; each has two layers.
        width: units per layer.
        branch_scale: initial value of a learnable scalar alpha on each branch, or None for no such scalar.

    Raises:
        UserError: an option out of its range.

    Source: blocks: He et al. 2016 (identity mappings), Fig. 1b; ``branch_scale``: SkipInit of De & Smith 2020, who
        start alpha at 0 or at no more than 1/sqrt(depth).
    Deviation: fully connected where both papers convolve, so that 64 blocks train in minutes on a CPU.
    """
    whole("model.depth", depth, least=1, example=8)
    whole("model.width", width, least=1, example=128)
    if branch_scale is not None:
        real("model.branch_scale", branch_scale, example=0)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    layers["stem"] = hidden_linear(norm, math.prod(input_shape), width)
    for index in range(1, depth + 1):
        layers[f"block{index}"] = ResidualBlock(norm, width, branch_scale)
    layers["site"] = NormAct(norm, width, 0, "relu")
    layers["output"] = linear_layer(width, num_classes)
    return nn.Sequential(layers)
