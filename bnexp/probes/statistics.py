"""What a net reads of the same held-out examples with running, batch and recomputed statistics, while it trains.

Legend: M held-out examples, K batches, B examples that pass together, C features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bnexp.config.checks import wholes
from bnexp.data.batches import CLASSES, Batches
from bnexp.models.blocks import NormAct
from bnexp.norms.population import has_running_statistics, recompute_statistics
from bnexp.probes.base import Tracks, View, guest, register
from bnexp.rng import torch_stream

ACCURACY, LAG = "accuracy", "lag"
#: Ways of reading: in eval mode; in train mode, in batches as training has them and (where that is something else) in mixed ones.
EVAL, BATCH, MIXED = "eval", "batch", "mixed"


@register("statistics")
class Statistics(Tracks):
    """Accuracy on held-out examples in eval mode, by statistics of their own batches, and by recomputed running statistics.

    ``batch``: train mode, in batches of as many examples as pass together in training, with companions as training has them
    (``train.order``; of one class, say); ``mixed``: the same with companions drawn at random, where training sorts by class.
    ``recomputed N``: eval mode after statistics were averaged over N training batches at the present weights, for each N in
    ``batches``. ``lag``, of each norm: how far its running means are from those recomputed over the most batches, root of the
    mean over features of ((running - recomputed) / recomputed sd)². A net without running statistics is read in eval mode and by
    batches alone, which then agree unless a norm does something else in training.

    Only examples that fill whole batches are read, the same in every way but ``mixed`` and ``batch`` under an order that sorts by
    class, where a few others are left out.

    Source: Wu & Johnson 2021 (precise statistics; statistics of the mini-batch in evaluation). Deviation: the
    recomputed variance is the mean of the batches' (Ioffe & Szegedy 2015, Algorithm 2) and leaves out that of their means.
    """

    cost: ClassVar[str] = "heavy"

    def __init__(self, view: View, *, observations: int, steps_between: int, batches: object) -> None:
        super().__init__(view, "statistics", observations=observations, steps_between=steps_between)
        self._sizes = wholes("probes.statistics.batches", batches, least=1, example="[16]")
        sorts = view.order in CLASSES
        self._arranged = {EVAL: self._batches("shuffled"), BATCH: self._batches(view.order if sorts else "shuffled")}
        if sorts:
            self._arranged[MIXED] = self._arranged[EVAL]

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """``accuracy`` in [0, 1] for each way of reading, and ``lag`` of each norm in sds."""
        model = self._view.model
        with torch.no_grad():
            found = {EVAL: self._read(model.eval(), EVAL)}
            for way in [way for way in self._arranged if way != EVAL]:
                with guest(model, []):
                    found[way] = self._read(model.train(), way)
            if not has_running_statistics(model):
                return {ACCURACY: found}
            lag: dict[str, float] = {}
            for size in self._sizes:
                running = {name: norm.running_mean.clone() for name, norm in self._norms()}
                with guest(model, []):
                    recompute_statistics(model, self._training_batches(step, size))
                    found[f"recomputed {size}"] = self._read(model.eval(), EVAL)
                    if size == max(self._sizes):
                        lag = {name: distance(running[name], norm) for name, norm in self._norms()}
        return {ACCURACY: found, LAG: lag}

    def _batches(self, order: str) -> Tensor:
        """Held-out examples in whole batches, the same at every look. Shape: ``[K, B]`` int64."""
        labels_M, own = self._view.labels, torch_stream(self._view.seed, "probe/statistics")
        return Batches(len(labels_M), self._view.batch_size, own, labels_M.device, order=order, labels=labels_M).epoch()

    def _read(self, model: nn.Module, way: str) -> float:
        """Share of held-out examples that are read right in the model's present mode."""
        chosen_KB = self._arranged[way]
        right = [(model(self._view.inputs[some]).argmax(1) == self._view.labels[some]).sum() for some in chosen_KB]
        return float(torch.stack(right).sum()) / chosen_KB.numel()

    def _training_batches(self, step: int, count: int) -> Iterator[Tensor]:
        for index in range(count):
            x, _ = self._view.training_batch(f"probe/statistics/{step}/{index}")
            yield from x.split(self._view.batch_size)

    def _norms(self) -> list[tuple[str, Any]]:
        """Norms with running statistics, by the name of their layer."""
        return [
            (name.removesuffix(".site"), module.norm)
            for name, module in self._view.model.named_modules()
            if isinstance(module, NormAct) and isinstance(getattr(module.norm, "running_mean", None), Tensor)
        ]


def distance(running_C: Tensor, norm: Any) -> float:
    """How far ``running_C`` is from a norm's present running mean, in its running sds: root of the mean square over features."""
    sd_C = norm.running_sd if hasattr(norm, "running_sd") else (norm.running_var + norm.eps).sqrt()
    return float(((running_C - norm.running_mean) / sd_C).square().mean().sqrt())
