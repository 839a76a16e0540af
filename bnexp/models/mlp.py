"""The fully connected network of the paper's first experiment, at any depth, width and nonlinearity."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

from bnexp.config.checks import choice, real, whole
from bnexp.models.blocks import ACTIVATIONS, linear_block, linear_layer
from bnexp.models.factory import register
from bnexp.models.init import mark_factor
from bnexp.norms import NormFactory


@register("mlp")
def build(
    input_shape: tuple[int, int, int],
    num_classes: int,
    norm: NormFactory,
    *,
    depth: int,
    width: int,
    activation: str,
    first_scale: float,
) -> nn.Module:
    """``depth`` hidden layers ``hidden1``, ``hidden2``, ... of ``width`` units each, then ``output``.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of every hidden layer.
        depth: number of hidden layers.
        width: units per hidden layer.
        activation: nonlinearity of every hidden layer.
        first_scale: factor on the first layer's initial weights alone, to give inputs of another size the same
            pre-activations at the start.

    Raises:
        UserError: an option out of its range.

    Source: Ioffe & Szegedy 2015, section 4.1: 28x28 binary inputs, 3 hidden layers of 100 sigmoid units, 10 outputs.
    """
    whole("model.depth", depth, least=1, example=3)
    whole("model.width", width, least=1, example=100)
    choice("model.activation", activation, tuple(ACTIVATIONS))
    real("model.first_scale", first_scale, above=0, example=1.0)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    num_inputs = math.prod(input_shape)
    for index in range(1, depth + 1):
        block = linear_block(norm, num_inputs, width, activation)
        if index == 1:
            mark_factor(block.get_submodule("linear"), first_scale)
        layers[f"hidden{index}"] = block
        num_inputs = width
    layers["output"] = linear_layer(width, num_classes)
    return nn.Sequential(layers)
