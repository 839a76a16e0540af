"""norm=none: no normalisation, the baseline of every comparison."""

from __future__ import annotations

from torch import nn

from bnexp.norms.factory import register


@register("none")
def none(num_features: int, dims: int) -> nn.Module:  # noqa: ARG001  every norm is called with both
    """The identity; layers keep their biases.

    Shape: any, kept.
    """
    return nn.Identity()
