"""Probes: guests that look at a run without changing it. One import line each."""

from bnexp.probes.base import PROBES, Observation, Probe, View, register

__all__ = ["PROBES", "Observation", "Probe", "View", "register"]

from bnexp.probes import (  # noqa: F401
    depth,
    gradient_shift,
    gradients,
    jacobian,
    landscape,
    layer_inputs,
    saturation,
    scale,
    sharpness,
    shift,
    statistics,
)
