"""How many units of each layer do nothing: ReLUs that are off for every example, sigmoids and tanhs at the ends of their range.

Legend: N examples, U units (features or channels), H W space.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bnexp.config.checks import real, whole
from bnexp.models.blocks import NormAct
from bnexp.probes.base import Tracks, View, register

#: Least and largest value of each nonlinearity that saturates.
RANGES: dict[type[nn.Module], tuple[float, float]] = {nn.Sigmoid: (0.0, 1.0), nn.Tanh: (-1.0, 1.0)}


@register("saturation")
class Saturation(Tracks):
    """Share of dead units (ReLU) or of saturated values (sigmoid, tanh) of every hidden layer, both in [0, 1].

    A ReLU unit (a channel of a convolution) is dead if its output is 0 for every one of the ``examples``, at every place. A value
    is saturated if it is nearer to an end of its nonlinearity's range than the share ``margin`` of that range: at 0.05 a sigmoid
    below 0.05 or above 0.95, a tanh below -0.9 or above 0.9; all values of a layer count alike. Held-out examples go through in
    training batches and in train mode, as in ``layer_inputs``. Layers with another nonlinearity have no number.

    Source: Glorot & Bengio 2010, section 3 (saturation of sigmoid and tanh); Lu et al. 2020 (dying ReLU). The margin is ours.
    """

    cost: ClassVar[str] = "light"

    def __init__(self, view: View, *, examples: int, margin: float, observations: int, steps_between: int) -> None:
        super().__init__(view, "saturation", observations=observations, steps_between=steps_between)
        whole("probes.saturation.examples", examples, least=1, example=240)
        self._margin = real("probes.saturation.margin", margin, above=0, below=0.5, example=0.05)
        num_batches = max(1, min(-(-examples // view.batch_size), len(view.inputs) // view.batch_size))
        self._batches = view.inputs[: num_batches * view.batch_size].split(view.batch_size)
        named = view.model.named_modules()
        sites = {name.removesuffix(".site"): module for name, module in named if isinstance(module, NormAct)}
        self._layers = {name: site.activation for name, site in sites.items() if _kind(site.activation)}
        if not self._layers:
            self._steps = []

    def look(self, step: int) -> dict[str, dict[str, float]]:  # noqa: ARG002 - the same examples at every step
        """``dead`` and ``saturated`` of each layer that can be it."""
        found: dict[str, list[Tensor]] = {name: [] for name in self._layers}

        def leave(name: str, activation: nn.Module, _: Any, y: Tensor) -> None:
            found[name].append(self._of_batch(activation, y))

        hooks = [module.register_forward_hook(partial(leave, name)) for name, module in self._layers.items()]
        try:
            self._view.model.train()
            with torch.no_grad():
                for batch in self._batches:
                    self._view.model(batch)
        finally:
            for hook in hooks:
                hook.remove()
        shares: dict[str, dict[str, float]] = {}
        for name, activation in self._layers.items():
            by_batch = torch.stack(found[name])
            units = by_batch.all(0) if isinstance(activation, nn.ReLU) else by_batch
            shares.setdefault(_kind(activation), {})[name] = float(units.double().mean())
        return shares

    def _of_batch(self, activation: nn.Module, y: Tensor) -> Tensor:
        """Whether each ReLU unit is off in the whole batch, ``[U]`` bool; else the share of saturated values, ``[]``."""
        if isinstance(activation, nn.ReLU):
            return (y <= 0).movedim(1, 0).flatten(1).all(1)
        low, high = RANGES[type(activation)]
        width = self._margin * (high - low)
        return ((y < low + width) | (y > high - width)).double().mean()


def _kind(activation: nn.Module) -> str:
    """What is counted of a nonlinearity; empty for one that does neither."""
    return "dead" if isinstance(activation, nn.ReLU) else "saturated" if type(activation) in RANGES else ""
