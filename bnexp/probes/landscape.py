"""How smooth the loss is along a training step: how far the loss and its gradient move, raw and free of scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bnexp.config.checks import real, several
from bnexp.probes.base import Tracks, View, register
from bnexp.probes.one_batch import OneBatch, Weights, cosine, flat, layers_of


@register("landscape")
class Landscape(Tracks):
    """Loss and gradient along steps against the gradient of one training batch, at several lengths.

    Three kinds of steps, each with a word for the arrays' names:

    * ``rate``: w - eta g for every trainable parameter, eta being each of ``times`` the run's learning rate. The loss's range
      is over all of these, other numbers are the largest (the cosine the smallest) of them.
    * ``whole R``, for each R of ``relative``: the weights of linear layers and convolutions move together along -g by R times
      their length; biases, gamma and beta stay.
    * ``layers R``: each layer's weights move along their own -g by R times their own length, so that stretching a layer whose
      output does not depend on its weights' length changes nothing; what is reported is the mean over layers.

    ``loss`` is that of the batch at w. ``loss_range`` in nats and ``relative_loss_range`` as a share of the loss;
    ``gradient_change`` |g(w') - g(w)|, ``relative_gradient_change`` as a share of |g(w)|, and ``cosine`` of the two gradients;
    ``smoothness`` |g(w') - g(w)| / |w' - w| ("effective beta"). One training batch a look, in train mode, by a stream of the
    probe's own.

    Source: Santurkar et al. 2018, section 3.1 and Fig. 4, for ``rate``.
    Deviation: relative steps are ours: with BN any raw smoothness can be had by rescaling weights that it is indifferent to.
    """

    cost: ClassVar[str] = "medium"

    def __init__(
        self, view: View, *, times: Sequence[float], relative: Sequence[float], observations: int, steps_between: int
    ) -> None:
        super().__init__(view, "landscape", observations=observations, steps_between=steps_between)
        self._times, self._relative = (
            [real(f"probes.landscape.{key}", one, above=0, example=example, listed=True)
             for one in several(f"probes.landscape.{key}", value, example=f"[{example}]")]
            for key, value, example in (("times", times, 1), ("relative", relative, 0.01))
        )  # fmt: skip
        self._layers = layers_of(view.model)

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """Each quantity by kind of step; NaN where the gradient is zero."""
        batch, rate = OneBatch(self._view, f"probe/landscape/{step}"), self._view.rate(step)
        weights = batch.weights()
        loss, gradient = batch.gradient(weights)
        found: dict[str, dict[str, float]] = {"loss": {"here": loss}}
        kinds = dict(self._relative_steps(weights, gradient))
        if self._times:
            everything = [list(weights)]
            scaled: list[Weights] = [{name: times * rate * value for name, value in gradient.items()} for times in self._times]
            kinds = {"rate": (everything, scaled), **kinds}
        for kind, (groups, steps) in kinds.items():
            losses, rows = [], []
            for one in steps:
                there = {name: value - one[name] if name in one else value for name, value in weights.items()}
                new_loss, new_gradient = batch.gradient(there)
                losses.append(new_loss)
                rows.append(_compare(groups, gradient, new_gradient, one))
            far = max(losses) - min(losses) if len(losses) > 1 else abs(losses[0] - loss)
            worst = torch.tensor(rows).max(dim=0).values.tolist()
            told = ("gradient_change", "relative_gradient_change", "smoothness", "cosine")
            values = (far, far / loss if loss else float("nan"), *worst[:3], -worst[3])
            for name, value in zip(("loss_range", "relative_loss_range", *told), values, strict=True):
                found.setdefault(name, {})[kind] = value
        return found

    def _relative_steps(self, weights: Weights, gradient: Weights) -> Iterator[tuple[str, tuple[list[list[str]], list[Weights]]]]:
        """Name of a kind of step to the groups whose gradients are compared, one after the other, and the step itself."""
        by_layer = [list(layer.own) for layer in self._layers]
        together = [[name for own in by_layer for name in own]]
        for word, groups in (("whole", together), ("layers", by_layer)):
            for share in self._relative:
                step: dict[str, Tensor] = {}
                for names in groups:
                    factor = share * flat(weights, names).norm() / flat(gradient, names).norm()
                    step |= {name: factor.to(gradient[name].dtype) * gradient[name] for name in names}
                yield f"{word} {share:g}", (groups, [step])


def _compare(groups: Sequence[Sequence[str]], old: Weights, new: Weights, step: Weights) -> tuple[float, ...]:
    """Mean over groups of the change of the gradient, raw, relative and per length of step, and of minus the cosine."""
    rows = []
    for names in groups:
        before, after = flat(old, names), flat(new, names)
        change = float((after - before).norm())
        length, moved = float(before.norm()), float(flat(step, names).norm())
        nothing = float("nan")
        rows.append((change, change / length if length else nothing, change / moved if moved else nothing, -cosine(before, after)))
    return tuple(float(column) for column in torch.tensor(rows, dtype=torch.float64).mean(dim=0))
