"""The one block every model is made of: a normaliser and a nonlinearity, in either order, observable at three points.

Legend: N batch, C features or channels, H W space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bnexp.norms.factory import NormFactory

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}


class NormAct(nn.Module):
    """A normaliser and a nonlinearity g: ``g(norm(x))`` when placed before, ``norm(g(x))`` when placed after.

    Probes observe it at ``pre_norm`` (what enters ``self.norm``), ``post_norm`` (what leaves it) and ``next_input``
    (what leaves this module and enters the next layer). A norm may bring a ``post_activation`` module, which acts after
    g.

    Args:
        norm: factory; called with ``num_features`` and ``dims``.
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        activation: a key of ``ACTIVATIONS``.
    """

    def __init__(self, norm: NormFactory, num_features: int, dims: int, activation: str) -> None:
        super().__init__()
        self.norm = norm(num_features, dims)
        self.activation = ACTIVATIONS[activation]()
        self.before = norm.placement == "before"
        self.frozen = False

    def train(self, mode: bool = True) -> NormAct:
        """Train or eval mode; a frozen norm stays in eval mode, its noise, if it draws any, does not."""
        super().train(mode)
        if self.frozen:
            self.norm.training = False
        return self

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """Shape: x and shortcut ``[N, C]`` or ``[N, C, H, W]``; a residual block's shortcut is added right before g."""
        if self.before:
            x = self.norm(x)
        x = self.activation(x if shortcut is None else x + shortcut)
        post_activation = getattr(self.norm, "post_activation", None)
        if post_activation is not None:
            x = post_activation(x)
        return x if self.before else self.norm(x)


def freeze_norms(model: nn.Module) -> None:
    """From now on every norm of ``model`` normalises by its running statistics in train mode too and leaves them as they are.

    gamma and beta train on. What is known as frozen BN in detection, where they are often frozen as well (not here).

    Source: He et al. 2016 (fine-tuning of a detector with fixed statistics); ``FrozenBatchNorm2d`` of torchvision, which also fixes
    gamma and beta.
    """
    for module in model.modules():
        if isinstance(module, NormAct):
            module.frozen = True
            module.norm.training = False


def linear_layer(num_inputs: int, num_outputs: int, *, bias: bool = True) -> nn.Module:
    """A plain fully connected layer, such as the output of every model: never normalised."""
    return _undrawn(nn.Linear, num_inputs, num_outputs, bias=bias)


def hidden_linear(norm: NormFactory, num_inputs: int, num_outputs: int) -> nn.Module:
    """A fully connected layer that feeds a :class:`NormAct`: no bias where the norm would remove it (IS 2015, 3.2)."""
    return norm.layer(linear_layer(num_inputs, num_outputs, bias=norm.keeps_bias))


def hidden_conv(
    norm: NormFactory,
    num_inputs: int,
    num_outputs: int,
    kernel: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
) -> nn.Module:
    """A convolution that feeds a :class:`NormAct`; ``padding`` null keeps the size at stride 1."""
    padding = kernel // 2 if padding is None else padding
    conv = _undrawn(nn.Conv2d, num_inputs, num_outputs, kernel, stride, padding, bias=norm.keeps_bias)
    return norm.layer(conv)


def linear_block(norm: NormFactory, num_inputs: int, num_outputs: int, activation: str) -> nn.Sequential:
    """A hidden fully connected layer: ``linear``, then ``site``, its :class:`NormAct`.

    Shape: ``[N, num_inputs]`` to ``[N, num_outputs]``.
    """
    linear = hidden_linear(norm, num_inputs, num_outputs)
    return nn.Sequential(OrderedDict(linear=linear, site=NormAct(norm, num_outputs, 0, activation)))


def conv_block(
    norm: NormFactory, num_inputs: int, num_outputs: int, activation: str, kernel: int = 3, *, stride: int = 1
) -> nn.Sequential:
    """A hidden convolution: ``conv``, then ``site``, its :class:`NormAct`.

    Shape: ``[N, num_inputs, H, W]`` to ``[N, num_outputs, ceil(H / stride), ceil(W / stride)]`` for odd kernels.
    """
    conv = hidden_conv(norm, num_inputs, num_outputs, kernel, stride=stride)
    return nn.Sequential(OrderedDict(conv=conv, site=NormAct(norm, num_outputs, 2, activation)))


def _undrawn(layer_class: type[nn.Module], *sizes: int, **options: Any) -> nn.Module:
    """A layer whose parameters are all 1 until :func:`bnexp.models.init.initialize` draws them."""
    # The constructors of torch's layers draw from the global generator unless they are on no device. torch's skip_init does
    # the rest in a way that imports sympy, 0.4 s. Ones rather than zeros, because a reparametrisation may divide by the norm
    # of what it wraps.
    layer = layer_class(*sizes, device="meta", **options)
    for name, parameter in list(layer.named_parameters()):
        setattr(layer, name, nn.Parameter(torch.ones(parameter.shape)))
    return layer
