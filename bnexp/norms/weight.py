"""norm=weight: weight normalisation, which acts on a layer's weights and leaves its outputs alone."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from bnexp.norms.factory import register


def wrap_layer(layer: nn.Module) -> nn.Module:
    """``layer`` with ``weight = g * v / ||v||`` for each output unit or channel; its bias stays.

    ``layer.weight`` becomes a computed tensor: assign to it (``layer.weight = W``), since a change in place is lost.

    Shape: g (``parametrizations.weight.original0``) ``[C, 1]`` or ``[C, 1, 1, 1]``, v (``original1``) that of the
    weight.

    Source: Salimans & Kingma 2016, section 2, eq. 2.
    Deviation: g starts at ||v||, so the network starts as the one without normalisation at the same weights; the source
    sets g and b from the statistics of a first batch (section 3). For that idea alone see ``norm=one_shot``.
    """
    return weight_norm(layer, name="weight", dim=0)


@register("weight", wrap_layer=wrap_layer)
def weight(num_features: int, dims: int) -> nn.Module:  # noqa: ARG001  every norm is called with both
    """The identity on a layer's outputs; the work is done by :func:`wrap_layer`.

    Shape: any, kept.
    """
    return nn.Identity()
