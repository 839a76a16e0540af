"""VGG for small images: the network of "How Does Batch Normalization Help Optimization?"."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from bnexp.config.checks import whole
from bnexp.errors import UserError
from bnexp.models.blocks import conv_block, linear_layer
from bnexp.models.factory import register
from bnexp.models.image_size import require_size
from bnexp.norms import NormFactory

#: Convolutions per stage, by depth (which counts the paper's three fully connected layers too): its A, B, D and E.
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
#: Channels of each stage as multiples of the width.
CHANNELS = (1, 2, 4, 8, 8)


@register("vgg")
def build(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, depth: int, width: int
) -> nn.Module:
    """Five stages of 3x3 convolutions with ReLU, each halved by max pooling, then ``output``.

    Layers are named ``stage1.hidden1.conv`` and so on.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example, H and W at least 32.
        num_classes: number of logits.
        norm: normaliser of every convolution.
        depth: 11, 13, 16 or 19.
        width: channels of the first stage; the others have 2, 4, 8 and 8 times as many.

    Raises:
        UserError: an option out of its range or an image too small.

    Source: Simonyan & Zisserman 2015, Table 1; on CIFAR-10: Santurkar et al. 2018, section 2 ("a standard VGG").
    Deviation: one linear layer after an average over space stands for the three fully connected layers made for 224x224
        images, so ``depth`` counts two layers that are not there; no dropout. Santurkar et al. give no such details.
    """
    if depth not in CONVOLUTIONS:
        close = min(CONVOLUTIONS, key=lambda known: abs(known - depth))
        raise UserError("model.depth of model=vgg must be 11, 13, 16 or 19", got=depth, todo=f"model.depth={close}")
    whole("model.width", width, least=1, example=64)
    require_size("vgg", input_shape, 2 ** len(CHANNELS))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    num_inputs = input_shape[0]
    for index, (count, multiple) in enumerate(zip(CONVOLUTIONS[depth], CHANNELS, strict=True), start=1):
        layers[f"stage{index}"] = _stage(norm, num_inputs, multiple * width, count)
        num_inputs = multiple * width
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = linear_layer(num_inputs, num_classes)
    return nn.Sequential(layers)


def _stage(norm: NormFactory, num_inputs: int, num_outputs: int, count: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index in range(1, count + 1):
        layers[f"hidden{index}"] = conv_block(norm, num_inputs, num_outputs, "relu")
        num_inputs = num_outputs
    layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)
