"""The residual network for small images with 6n+2 layers.

Legend: N batch, C channels, H W space.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn.functional import pad

from bnexp.config.checks import whole
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct, conv_block, hidden_conv, linear_layer
from bnexp.models.factory import register
from bnexp.norms import NormFactory


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which joins right before the second nonlinearity.

    Where the block changes shape the shortcut takes every second pixel and adds channels of zeros (option A of He et
    al., their choice for CIFAR-10): it has no weights, so nothing on it needs a norm.
    """

    def __init__(self, norm: NormFactory, num_inputs: int, num_outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.new_channels = stride, num_outputs - num_inputs
        self.conv1 = hidden_conv(norm, num_inputs, num_outputs, stride=stride)
        self.site1 = NormAct(norm, num_outputs, 2, "relu")
        self.conv2 = hidden_conv(norm, num_outputs, num_outputs)
        self.site2 = NormAct(norm, num_outputs, 2, "relu")

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape: ``[N, num_inputs, H, W]`` to ``[N, num_outputs, ceil(H / stride), ceil(W / stride)]``."""
        branch_NCHW = self.conv2(self.site1(self.conv1(x_NCHW)))
        return self.site2(branch_NCHW, self._shortcut(x_NCHW))

    def _shortcut(self, x_NCHW: Tensor) -> Tensor:
        if self.stride == 1 and self.new_channels == 0:
            return x_NCHW
        return pad(x_NCHW[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))


@register("resnet")
def build(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, depth: int, width: int
) -> nn.Module:
    """A convolution ``stem``, three stages of n blocks at full, half and quarter size, an average, then ``output``.

    Layers are named ``stage2.block1.conv1`` and so on, their norms and nonlinearities ``stage2.block1.site1``.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of every convolution.
        depth: number of weighted layers, 6n+2.
        width: channels of the first stage; the others have twice and four times as many.

    Raises:
        UserError: an option out of its range.

    Source: He et al. 2015 (deep residual learning), section 4.2; shortcut option A of their section 4.1.
    Deviation: none in the network; with ``norm.placement=after`` the norm follows the sum and its nonlinearity.
    """
    whole("model.depth", depth, least=8, example=20)
    if depth % 6 != 2:
        close = 6 * max(1, round((depth - 2) / 6)) + 2
        raise UserError(
            "model.depth of model=resnet must be 6n+2: a stem, three stages of n two-layer blocks and the output",
            got=depth,
            todo=f"model.depth={close}",
        )
    whole("model.width", width, least=1, example=16)
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=conv_block(norm, input_shape[0], width, "relu"))
    num_blocks = (depth - 2) // 6
    layers["stage1"] = _stage(norm, width, width, num_blocks, stride=1)
    layers["stage2"] = _stage(norm, width, 2 * width, num_blocks, stride=2)
    layers["stage3"] = _stage(norm, 2 * width, 4 * width, num_blocks, stride=2)
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = linear_layer(4 * width, num_classes)
    return nn.Sequential(layers)


def _stage(norm: NormFactory, num_inputs: int, num_outputs: int, num_blocks: int, *, stride: int) -> nn.Sequential:
    blocks: OrderedDict[str, nn.Module] = OrderedDict(block1=BasicBlock(norm, num_inputs, num_outputs, stride))
    for index in range(2, num_blocks + 1):
        blocks[f"block{index}"] = BasicBlock(norm, num_outputs, num_outputs, 1)
    return nn.Sequential(blocks)
