"""Softmax regression: the floor that every hidden layer has to beat."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from bnexp.errors import UserError
from bnexp.models.blocks import linear_layer
from bnexp.models.factory import register
from bnexp.norms import NORMS, NormFactory


@register("linear")
def build(input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory) -> nn.Module:
    """Softmax regression on the pixels: one linear layer.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Raises:
        UserError: any norm but ``none``, for which there is no place.
    """
    if norm.spec is not NORMS["none"]:
        names = [name for name in NORMS if NORMS[name] is norm.spec]
        raise UserError(
            "model=linear has no hidden layer, so there is nothing to normalise",
            got=f"norm={names[0]}" if names else None,
            todo="norm=none, or model=mlp, which has hidden layers",
        )
    return nn.Sequential(OrderedDict(flatten=nn.Flatten(), output=linear_layer(math.prod(input_shape), num_classes)))
