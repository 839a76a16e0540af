"""BN-Inception, the network of the paper's ImageNet experiments, for small images.

Legend: N batch, C channels, H W space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from bnexp.config.checks import choice, whole
from bnexp.models.blocks import ACTIVATIONS, conv_block, linear_layer
from bnexp.models.factory import register
from bnexp.norms import NormFactory

#: ``block(num_inputs, num_outputs, kernel=3, stride=1)``: a convolution with its norm and nonlinearity.
Block = Callable[..., nn.Sequential]


@dataclass(frozen=True)
class Plan:
    """One row of the paper's table of modules.

    Attributes:
        name: the paper's name of the module.
        one: channels of the 1x1 branch; 0 in a module that halves the image.
        three: channels of the 3x3 branch: reduced by a 1x1 convolution, then final.
        three_twice: the same of the branch with two 3x3 convolutions.
        pool: ``"avg"`` or ``"max"``.
        project: channels of the 1x1 convolution after the pool; 0 in a module that halves the image.
    """

    name: str
    one: int
    three: tuple[int, int]
    three_twice: tuple[int, int]
    pool: str
    project: int

    @property
    def stride(self) -> int:
        """2 in the modules that the paper calls "stride 2" and "pass through"."""
        return 1 if self.one else 2

    def __mul__(self, unit: int) -> Plan:
        (reduced, three), (reduced_twice, twice) = self.three, self.three_twice
        return replace(
            self,
            one=unit * self.one,
            three=(unit * reduced, unit * three),
            three_twice=(unit * reduced_twice, unit * twice),
            project=unit * self.project,
        )


#: Channels in units of half the width: of 32, at the paper's width of 64.
PLANS = (
    Plan("3a", 2, (2, 2), (2, 3), "avg", 1),
    Plan("3b", 2, (2, 3), (2, 3), "avg", 2),
    Plan("3c", 0, (4, 5), (2, 3), "max", 0),
    Plan("4a", 7, (2, 3), (3, 4), "avg", 4),
    Plan("4b", 6, (3, 4), (3, 4), "avg", 4),
    Plan("4c", 5, (4, 5), (4, 5), "avg", 3),
    Plan("4d", 3, (4, 6), (5, 6), "avg", 3),
    Plan("4e", 0, (4, 6), (6, 8), "max", 0),
    Plan("5a", 11, (6, 10), (5, 7), "avg", 4),
    Plan("5b", 11, (6, 10), (6, 7), "max", 4),
)


class InceptionModule(nn.ModuleDict):
    """Branches side by side, joined along the channels: 1x1, 3x3, 3x3 twice, and a pool.

    They are named ``one``, ``three``, ``three_twice`` and ``pool``; a module that halves the image has no ``one``.

    Args:
        block: makes a convolution with its norm and nonlinearity.
        num_inputs: C.
        plan: the module's row of the table, in channels.
    """

    def __init__(self, block: Block, num_inputs: int, plan: Plan) -> None:
        super().__init__()
        (reduced, three), (reduced_twice, twice) = plan.three, plan.three_twice
        if plan.one:
            self["one"] = _chain(hidden1=block(num_inputs, plan.one, kernel=1))
        self["three"] = _chain(
            reduce=block(num_inputs, reduced, kernel=1),
            hidden1=block(reduced, three, stride=plan.stride),
        )
        self["three_twice"] = _chain(
            reduce=block(num_inputs, reduced_twice, kernel=1),
            hidden1=block(reduced_twice, twice),
            hidden2=block(twice, twice, stride=plan.stride),
        )
        self["pool"] = _chain(spread=_pool(plan.pool, plan.stride))
        if plan.project:
            self["pool"].add_module("project", block(num_inputs, plan.project, kernel=1))
        self.num_outputs = plan.one + three + twice + (plan.project or num_inputs)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Shape: ``[N, C, H, W]`` to ``[N, num_outputs, ceil(H / stride), ceil(W / stride)]``."""
        return torch.cat([branch(x_NCHW) for branch in self.values()], dim=1)


def _chain(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def _pool(kind: str, stride: int) -> nn.Module:
    if kind == "avg":
        return nn.AvgPool2d(3, stride, padding=1, count_include_pad=False)
    return nn.MaxPool2d(3, stride, padding=1)


@register("inception")
def build(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, width: int, activation: str
) -> nn.Module:
    """A stem of three convolutions, the modules ``inception3a`` to ``inception5b``, an average, then ``output``.

    Images of 32x32 reach the modules as 16x16 (3a-3c), 8x8 (4a-4e) and 4x4 (5a, 5b).

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of every convolution.
        width: channels of the first convolution; 64 in the paper, and all others scale with it.
        activation: nonlinearity of every convolution; the paper tries relu and sigmoid.

    Raises:
        UserError: an option out of its range.

    Source: Ioffe & Szegedy 2015, section 4.2 and appendix, Fig. 5.
    Deviation: the stem begins with a plain 3x3 convolution, not a separable 7x7 one, and halves the image once, not
        three times, since it starts from 32x32 and not from 224x224. The pool projections of 4c and 4d have 96 channels
        at width 64, as in TF-Slim's version, which adds up to the figure's 576 outputs; versions with 128 give 608. No
        auxiliary classifiers, no dropout, no local response normalisation.
    """
    whole("model.width", width, least=2, example=16)
    choice("model.activation", activation, tuple(ACTIVATIONS))
    block: Block = partial(conv_block, norm, activation=activation)
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        stem1=block(input_shape[0], width),
        stem2=block(width, width, kernel=1),
        stem3=block(width, 3 * width),
        pool=_pool("max", 2),
    )
    num_channels = 3 * width
    for plan in PLANS:
        module = InceptionModule(block, num_channels, plan * (width // 2))
        layers[f"inception{plan.name}"] = module
        num_channels = module.num_outputs
    layers["average"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["output"] = linear_layer(num_channels, num_classes)
    return nn.Sequential(layers)
