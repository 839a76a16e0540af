"""The layer-to-layer Jacobian of a net in training: how large its singular values are, and how evenly they are spread.

Legend: E examples, N values of one example behind a layer.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bnexp.config.checks import whole
from bnexp.models.blocks import NormAct
from bnexp.probes.base import Tracks, View, register
from bnexp.rng import torch_stream


@register("jacobian")
class Jacobian(Tracks):
    """Two numbers of J = d y_next / d y for what leaves the norms of consecutive layers, one example at a time, in eval mode.

    ``mean_square`` is the mean of the squared singular values s, over as many as the smaller side of J has: 1 where a layer keeps
    the length of a gradient. ``evenness`` is (sum s^2)^2 / (n sum s^4), from 1 / n (one of them is all) to 1 (all are the same).
    Both are means over ``examples`` held-out examples, estimated with ``probes`` random vectors v, E |J'v|^2 = sum s^2 and
    E |JJ'v|^2 = sum s^4, drawn anew at each look by a stream of the probe's own. Running statistics hold still in eval mode, so
    that examples do not mix. A pair of layers that no path connects has no number.

    Source: Ioffe & Szegedy 2015, section 3.3 (singular values near 1); Hutchinson 1989 (traces by random vectors).
    """

    cost: ClassVar[str] = "medium"

    def __init__(self, view: View, *, examples: int, probes: int, observations: int, steps_between: int) -> None:
        super().__init__(view, "jacobian", observations=observations, steps_between=steps_between)
        whole("probes.jacobian.examples", examples, least=1, example=20)
        self._num_probes = whole("probes.jacobian.probes", probes, least=1, example=4)
        self._inputs = view.inputs[:examples]
        named = view.model.named_modules()
        self._norms = {name.removesuffix(".site"): site.norm for name, site in named if isinstance(site, NormAct)}
        if len(self._norms) < 2:
            self._steps = []

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """``mean_square`` and ``evenness`` of each layer's Jacobian with respect to the layer before it."""
        left: dict[str, Tensor] = {}

        def leave(name: str, _module: nn.Module, _inputs: Any, y: Tensor) -> None:
            left[name] = y

        hooks = [module.register_forward_hook(partial(leave, name)) for name, module in self._norms.items()]
        try:
            self._view.model.eval()(self._inputs.clone().requires_grad_())
        finally:
            for hook in hooks:
                hook.remove()
        generator = torch_stream(self._view.seed, f"probe/jacobian/{step}")
        found: dict[str, dict[str, float]] = {"mean_square": {}, "evenness": {}}
        for (_, before), (name, after) in pairwise(left.items()):
            powers = self._powers(before, after, generator)
            if powers:
                second_E, fourth_E = powers
                rank = min(before[0].numel(), after[0].numel())
                found["mean_square"][name] = float(second_E.mean() / rank)
                found["evenness"][name] = float((second_E.square() / fourth_E).mean() / rank)
        return found

    def _powers(self, before: Tensor, after: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
        """Sums of s^2 and of s^4 of each example's Jacobian, each ``[E]``; None where nothing connects the two."""
        second, fourth = [], []
        for _ in range(self._num_probes):
            v = torch.randn(after.shape, generator=generator).to(after).requires_grad_()
            (pulled,) = torch.autograd.grad(after, before, v, create_graph=True, allow_unused=True)
            if pulled is None:
                return None
            (pushed,) = torch.autograd.grad(pulled, v, pulled.detach(), retain_graph=True)
            second.append(pulled.detach().double().flatten(1).square().sum(1))
            fourth.append(pushed.double().flatten(1).square().sum(1))
        return torch.stack(second).mean(0), torch.stack(fourth).mean(0)
