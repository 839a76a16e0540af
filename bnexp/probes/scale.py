"""How long each layer's weights are, and by what angle an update turns them: of a scale-invariant weight only the direction
counts, and its length says how far a step turns it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bnexp.probes.base import Observation, Tracks, View, register


@register("scale")
class Scale(Tracks):
    """Of the weights of each linear layer and convolution: length, effective learning rate and the angle of the last update.

    ``weight_norm`` is the L2 norm ||w|| of all weights of a layer as one vector, no biases. ``effective_rate`` is lr / ||w||^2,
    lr being the rate of the last update (of the first one at step 0): what a scale-invariant weight learns by. ``update_angle``,
    in radians, is the angle between the weights before and after that update; NaN at step 0. Weights are kept after the update
    before each look, which is all that it takes: no gradient and no pass through the net. A run that ends early, at a goal,
    right before a look has the look before that as its last.

    Source: van Laarhoven 2017 (effective rate); Wan et al. 2021 (angular update).
    """

    cost: ClassVar[str] = "light"

    def __init__(self, view: View, *, observations: int, steps_between: int) -> None:
        super().__init__(view, "scale", observations=observations, steps_between=steps_between)
        kinds = nn.Linear | nn.Conv2d
        self._layers = {
            name.removesuffix(".linear").removesuffix(".conv"): layer
            for name, layer in view.model.named_modules()
            if isinstance(layer, kinds)
        }
        self._looks = set(self._steps)
        self._before = {step - 1 for step in self._looks if step > 0}
        self._kept: tuple[int, list[Tensor]] | None = None

    def steps(self) -> Sequence[int]:
        """The steps after which it wants to look, and those before, whose weights it keeps."""
        return sorted(self._looks | self._before)

    def observe(self, step: int) -> list[Observation]:
        """An observation a kind, or none where weights are only kept; an angle that is not known is left out."""
        only_kept = step in self._before and step not in self._looks
        seen = [] if only_kept else super().observe(step)
        if step in self._before:
            self._kept = step, [weight.clone() for weight in self._weights()]
        return [one for one in seen if not all(map(math.isnan, one.values))]

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """``weight_norm``, ``effective_rate`` and ``update_angle`` of each layer, the first one first."""
        weights = self._weights()
        before = self._kept[1] if self._kept and self._kept[0] == step - 1 else [None] * len(weights)
        rate = self._view.rate(max(step - 1, 0))
        lengths = [float(weight.double().norm()) for weight in weights]
        found = {
            "weight_norm": lengths,
            "effective_rate": [rate / length**2 if length > 0 else math.inf for length in lengths],
            "update_angle": [
                math.nan if old is None else angle(old, new) for old, new in zip(before, weights, strict=True)
            ],
        }
        return {what: dict(zip(self._layers, values, strict=True)) for what, values in found.items()}

    def state(self) -> dict[str, Any]:
        """All looks so far, and after which step weights were kept: the checkpoint's own, if they still matter."""
        return {**super().state(), "kept": None if self._kept is None else self._kept[0]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`, when the model has its weights again."""
        super().restore(state)
        self._kept = None if state["kept"] is None else (state["kept"], [weight.clone() for weight in self._weights()])

    def _weights(self) -> list[Tensor]:
        return [layer.weight.detach() for layer in self._layers.values()]


def angle(before: Tensor, after: Tensor) -> float:
    """Between two weights of one shape, as vectors, in radians; exact for small angles too. NaN where one of them is 0.

    Example:
        >>> round(angle(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2.0])), 9)
        0.785398163
    """
    u, v = (weight.double() / weight.double().norm() for weight in (before, after))
    return float(2 * torch.atan2((u - v).norm(), (u + v).norm()))
