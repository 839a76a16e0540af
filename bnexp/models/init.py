"""Initial weights, drawn layer by layer from named streams, so that two arms at one seed start from the same layers.

Legend: O outputs, I inputs of a layer, K K a convolution's kernel; a weight is ``[O, I]`` or ``[O, I, K, K]``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bnexp.rng import torch_stream


def initialize(model: nn.Module, family: str, scale: float, seed: int) -> None:
    """Draw every Linear and Conv2d weight from its own stream ``init/<layer name>`` and set every bias to zero.

    A layer's weight depends on its name, its shape and the seed alone: whatever norms stand between, arms share the
    weights of the layers they share, up to the factors that :func:`mark_factor` asked for. The parameters of norms (gamma 1,
    beta 0) are left as they are.

    Args:
        model: the network, changed in place.
        family: ``gaussian``, ``he``, ``lecun``, ``glorot`` or ``orthogonal``.
        scale: the standard deviation (gaussian), a factor on the family's own (he, lecun, glorot) or the gain
            (orthogonal).
        seed: the run's seed.

    Source: gaussian: Ioffe & Szegedy 2015, section 4.1; he: He et al. 2015 (rectifiers), eq. 10; lecun: LeCun et al.
        1998 (Efficient BackProp), section 4.6; glorot: Glorot & Bengio 2010, eq. 12; orthogonal: Saxe et al. 2014.
    Deviation: lecun and glorot are normal here; Glorot & Bengio draw from a uniform distribution of the same variance.
    """
    with torch.no_grad():
        for name, layer in _weight_layers(model):
            weight = draw_weight(family, scale, _shape(layer), torch_stream(seed, f"init/{name}"))
            _assign(layer, weight * getattr(layer, _FACTOR, 1.0))
            if layer.bias is not None:
                layer.bias.zero_()


_FACTOR = "initial_factor"


def mark_factor(layer: nn.Module, factor: float) -> None:
    """Ask :func:`initialize` for ``factor`` times the weight that it draws for a layer."""
    setattr(layer, _FACTOR, factor)


def draw_weight(family: str, scale: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """One weight of ``shape`` ``[O, I]`` or ``[O, I, K, K]``, as float32 on the CPU whatever device the model is on."""
    weight = torch.empty(shape)
    if family == "orthogonal":
        return nn.init.orthogonal_(weight, gain=scale, generator=generator)
    area = math.prod(shape[2:])
    deviation = _unit_deviation(family, fan_in=shape[1] * area, fan_out=shape[0] * area)
    return weight.normal_(0, scale * deviation, generator=generator)


def _unit_deviation(family: str, fan_in: int, fan_out: int) -> float:
    return {
        "gaussian": 1.0,
        "he": math.sqrt(2 / fan_in),
        "lecun": math.sqrt(1 / fan_in),
        "glorot": math.sqrt(2 / (fan_in + fan_out)),
    }[family]


def layer_hashes(model: nn.Module) -> dict[str, str]:
    """A short fingerprint of every Linear and Conv2d weight, by layer name; equal for arms that may be paired.

    A reparametrised layer is fingerprinted by the stored tensor that was drawn: the weight computed from it may differ
    from the drawn one in the last bit.
    """
    return {name: _digest(_stored(layer)) for name, layer in _weight_layers(model)}


def _weight_layers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield name, module


def _shape(layer: Any) -> tuple[int, ...]:
    # Read from the sizes, not from layer.weight: reading a reparametrised weight computes it and may move its buffers.
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    return layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size


def _assign(layer: Any, weight: Tensor) -> None:
    if parametrize.is_parametrized(layer, "weight"):
        layer.weight = weight.to(_stored(layer))  # the setter inverts the parametrisation
    else:
        layer.weight.copy_(weight)


def _stored(layer: Any) -> Tensor:
    if not parametrize.is_parametrized(layer, "weight"):
        return layer.weight
    # Weight norm stores g and then v; g has the weight's shape too when I = 1, and what was drawn is v, the last.
    stored = layer.parametrizations.weight.parameters(recurse=False)
    return [tensor for tensor in stored if tensor.shape == _shape(layer)][-1]


def _digest(weight: Tensor) -> str:
    values = weight.detach().to("cpu", torch.float32).contiguous().numpy()
    return hashlib.blake2b(values.tobytes(), digest_size=8).hexdigest()
