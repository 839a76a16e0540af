"""Internal covariate shift of gradients: how far a layer's gradient moves when only the layers before it make their step."""

from __future__ import annotations

from typing import ClassVar

from bnexp.errors import UserError
from bnexp.probes.base import Tracks, View, register
from bnexp.probes.one_batch import OneBatch, cosine, flat, layers_of


@register("gradient_shift")
class GradientShift(Tracks):
    """G against G' of every layer but the first: |G - G'|, |G - G'| / |G| and the cosine of the two.

    G is dL/dW_i at the weights as they are; G' the same on the same batch after all parameters before W_i, norms' gamma and beta
    included, made the step that plain SGD at the run's rate makes on that batch. L is the mean cross-entropy (nats) of one training
    batch, drawn anew at each look by a stream of the probe's own, in train mode. Momentum and weight decay are not in the step.

    Source: Santurkar et al. 2018, Definition 2.1.
    Deviation: G is of a layer's weights alone, without its bias, gamma and beta, which only one of two arms may have. Layers come
    in the order in which the model registers them, so that a shortcut's convolution may count as before the branch beside it.

    Raises:
        UserError: a model with a single layer, or an option out of its range.
    """

    cost: ClassVar[str] = "medium"

    def __init__(self, view: View, *, observations: int, steps_between: int) -> None:
        super().__init__(view, "gradient_shift", observations=observations, steps_between=steps_between)
        self._layers = layers_of(view.model)[1:]
        if not self._layers:
            raise UserError("probes=gradient_shift needs a layer that has another one before it", todo="model=mlp")

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """``shift`` (nats per unit of weight), ``relative_shift`` and ``cosine`` of each layer; NaN where a gradient is zero."""
        batch, rate = OneBatch(self._view, f"probe/gradient_shift/{step}"), self._view.rate(step)
        weights = batch.weights()
        gradient = batch.gradient(weights)[1]
        found: dict[str, dict[str, float]] = {"shift": {}, "relative_shift": {}, "cosine": {}}
        for layer in self._layers:
            stepped = {**weights, **{name: weights[name] - rate * gradient[name] for name in layer.before}}
            before, after = (flat(of, layer.own) for of in (gradient, batch.gradient(stepped, layer.own)[1]))
            shift = float((before - after).norm())
            length = float(before.norm())
            found["shift"][layer.name] = shift
            found["relative_shift"][layer.name] = shift / length if length else float("nan")
            found["cosine"][layer.name] = cosine(before, after)
        return found
