"""A small convolutional network for experiments of minutes on a CPU."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bnexp.config.checks import whole
from bnexp.models.blocks import conv_block, linear_layer
from bnexp.models.factory import register
from bnexp.models.image_size import require_size
from bnexp.norms import NormFactory


@register("cnn")
def build(input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, width: int) -> nn.Module:
    """Five 3x3 convolutions ``hidden1`` to ``hidden5`` with ReLU, pooled twice, averaged over space, then ``output``.

    At the default width of 16 their channels are 16, 16, pool, 32, 32, pool, 64.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example, H and W at least 4.
        num_classes: number of logits.
        norm: normaliser of every hidden layer.
        width: channels of the first two layers; the next have twice, the last four times as many.

    Raises:
        UserError: an option out of its range or an image too small.

    Source: our own; the plainest network with more than one scale.
    """
    whole("model.width", width, least=1, example=16)
    require_size("cnn", input_shape, 4)
    return nn.Sequential(
        OrderedDict(
            hidden1=conv_block(norm, input_shape[0], width, "relu"),
            hidden2=conv_block(norm, width, width, "relu"),
            pool1=nn.MaxPool2d(2),
            hidden3=conv_block(norm, width, 2 * width, "relu"),
            hidden4=conv_block(norm, 2 * width, 2 * width, "relu"),
            pool2=nn.MaxPool2d(2),
            hidden5=conv_block(norm, 2 * width, 4 * width, "relu"),
            average=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            output=linear_layer(4 * width, num_classes),
        )
    )
