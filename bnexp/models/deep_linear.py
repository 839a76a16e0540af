"""A deep linear network: what it can express is softmax regression, what it shows is how depth alone changes training."""

from __future__ import annotations

from torch import nn

from bnexp.models.factory import register
from bnexp.models.mlp import build as build_mlp
from bnexp.norms import NormFactory


@register("deep_linear")
def build(
    input_shape: tuple[int, int, int], num_classes: int, norm: NormFactory, *, depth: int, width: int
) -> nn.Module:
    """``depth`` hidden layers ``hidden1``, ``hidden2``, ... of ``width`` units without a nonlinearity, then ``output``.

    Layer by layer it is :func:`bnexp.models.mlp.build` with ``activation="identity"``. With a norm over the batch it is linear in
    eval mode only.

    Shape: ``[N, C, H, W]`` to ``[N, num_classes]``.

    Args:
        input_shape: (C, H, W) of one example.
        num_classes: number of logits.
        norm: normaliser of every hidden layer.
        depth: number of hidden layers.
        width: units per hidden layer.

    Raises:
        UserError: an option out of its range.

    Source: Saxe et al. 2014 (how it learns); Santurkar et al. 2018, section 2.2 (with BN).
    Deviation: the latter's net has 25 layers of 10 units and squared error on made-up regression targets, which is claim
        ``gradient_shift_linear``; this one reads images.
    """
    return build_mlp(input_shape, num_classes, norm, depth=depth, width=width, activation="identity", first_scale=1.0)
