"""The distributions of every hidden layer's inputs over training: the measurement behind Fig. 1b,c of the 2015 paper.

Legend: M examples, U units (features or channels), K values a unit, T observations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bnexp.config.checks import real, whole, wholes
from bnexp.models.blocks import NormAct
from bnexp.probes.base import Observation, Probe, View, register
from bnexp.records.drift import drift_summary
from bnexp.rng import numpy_stream
from bnexp.schedule import observation_steps

QUANTILES = (0.15, 0.50, 0.85)
LABELS = ("p15", "p50", "p85")
POINTS = ("pre_norm", "post_norm", "next_input")

#: Bins of a pooled histogram, and those that it is counted in.
NUM_BINS, NUM_FINE = 64, 512


@register("layer_inputs")
class LayerInputs(Probe):
    """Exact 15/50/85 percentiles, mean and sd of what enters each hidden layer, per unit and pooled over the layer's units.

    Three points of every :class:`~bnexp.models.blocks.NormAct`: ``pre_norm`` enters the norm, ``post_norm`` leaves it (with
    ``norm.placement=before`` this is what enters the nonlinearity), ``next_input`` enters the next layer. The held-out examples
    go through in training batches and in train mode, so a batch-normalised net is seen with the statistics it trains with;
    buffers are put back afterwards. With ``eval_too`` mean and sd are taken in eval mode as well, of the same examples, so a net
    with running statistics is seen as it predicts. A percentile is the linear interpolation between the two neighbouring order
    statistics of all K values; sd is biased (1/K).

    Source: Ioffe & Szegedy 2015, section 4.1, Fig. 1b,c. Deviation: the paper shows one unit of the last hidden layer on the test
    set; here every unit of every layer is kept, on validation examples.
    """

    cost: ClassVar[str] = "light"

    def __init__(
        self, view: View, *, examples: int, values_per_unit: int, observations: int, steps_between: int, early: float,
        histograms: int, looks: tuple[int, ...] | None, eval_too: bool,
    ) -> None:  # fmt: skip
        whole("probes.layer_inputs.examples", examples, least=1, example=240)
        whole("probes.layer_inputs.values_per_unit", values_per_unit, least=1, example=4096)
        whole("probes.layer_inputs.observations", observations, least=2, example=60)
        whole("probes.layer_inputs.steps_between", steps_between, least=1, example=250)
        whole("probes.layer_inputs.histograms", histograms, least=0, example=10)
        real("probes.layer_inputs.early", early, above=0, below=1, example=0.75)
        self._view = view
        num_batches = max(1, min(-(-examples // view.batch_size), len(view.inputs) // view.batch_size))
        self._batches = view.inputs[: num_batches * view.batch_size].split(view.batch_size)
        self._values_per_unit = values_per_unit
        named = view.model.named_modules()
        self._sites = {name.removesuffix(".site"): module for name, module in named if isinstance(module, NormAct)}
        self._places: dict[str, Tensor] = {}
        self._eval_too = eval_too
        if looks is None:
            steps = observation_steps(view.steps, min(observations, max(view.steps // steps_between, 12)), early)
        else:
            fixed = wholes("probes.layer_inputs.looks", looks, least=0, example="[0,10,100]")
            steps = sorted({step for step in fixed if step <= view.steps})
        self._steps = steps if self._sites else []
        spacing = max(1, -(-len(self._steps) // histograms)) if histograms else 0
        self._histogram_steps = set(self._steps[::-1][::spacing]) if spacing else set()
        self._seen: list[dict[str, np.ndarray]] = []
        self._seen_steps: list[int] = []
        self._last_sorted: dict[str, np.ndarray] = {}

    def steps(self) -> Sequence[int]:
        """``looks`` up to the last step; without any, at most ``observations`` steps, on average ``steps_between`` apart, of which
        the share ``early`` is log-spaced. None without hidden layers.
        """
        return self._steps

    # On the way to divergence the numbers are inf and nan, which is a result and no reason to warn.
    @np.errstate(over="ignore", invalid="ignore")
    def observe(self, step: int) -> list[Observation]:
        """Percentiles of each site and point; a histogram as well at a few of the steps."""
        row: dict[str, np.ndarray] = {}
        observations = []
        if self._eval_too:  # first, because a pass in train mode moves the running statistics
            for name, values_UK in self._collect(training=False).items():
                row |= {f"{name}/eval_unit_mean": values_UK.mean(axis=1), f"{name}/eval_unit_sd": values_UK.std(axis=1)}
        counted: dict[int, _Counted] = {}
        for name, values_UK in self._collect().items():
            if id(values_UK) not in counted:
                counted[id(values_UK)] = _counted(values_UK)
            sorted_UK, statistics, counts = counted[id(values_UK)]
            row |= {f"{name}/{key}": value for key, value in statistics.items()}
            row[f"{name}/unit_w1"] = self._moved(name, sorted_UK)
            shown = None
            if step in self._histogram_steps and counts is not None:
                shown = counts, _edges(*row[f"{name}/pooled_range"].tolist())
            quantiles = tuple(float(q) for q in row[f"{name}/pooled_quantiles"])
            site, point = name.rsplit("/", 1)
            observations.append(
                Observation(
                    step=step, name=f"layer_inputs/{point}/{site}", labels=LABELS, values=quantiles, histogram=shown
                )
            )
        self._seen.append(row)
        self._seen_steps.append(step)
        return observations

    def arrays(self) -> dict[str, np.ndarray]:
        """``<site>/<point>/<statistic>`` with the observation as first axis, and ``steps``.

        Shape: ``unit_quantiles`` [T, U, 3]; ``unit_mean``, ``unit_sd``, ``unit_w1`` [T, U]; ``pooled_quantiles`` [T, 3];
        ``pooled_mean``, ``pooled_sd`` [T]; ``pooled_histogram`` [T, 64], the share of all values in each of 64 bins of equal width
        between ``pooled_range`` [T, 2], the least and the greatest (NaN where a value is not finite); with ``eval_too`` also
        ``eval_unit_mean``, ``eval_unit_sd`` [T, U]. ``unit_w1`` is the Wasserstein-1 distance to the observation before (NaN at the
        first).
        """
        names = self._seen[0] if self._seen else {}
        return {"steps": np.array(self._seen_steps)} | {
            name: np.stack([row[name] for row in self._seen]) for name in names
        }

    def summary(self) -> dict[str, Any]:
        """Drift numbers of claim A5, for each point, over all hidden units."""
        return {point: drift_summary(self.arrays(), point) for point in POINTS} if self._seen else {}

    def state(self) -> dict[str, Any]:
        """All observations so far and the last sorted values."""
        return {"seen": self._seen, "steps": self._seen_steps, "last_sorted": self._last_sorted}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`."""
        self._seen, self._seen_steps = list(state["seen"]), list(state["steps"])
        self._last_sorted = dict(state["last_sorted"])

    def _collect(self, *, training: bool = True) -> dict[str, np.ndarray]:
        """``<site>/<point>`` to values ``[U, K]`` of one pass over the probe batches, in train or in eval mode.

        Without a norm what leaves it is what enters it: two names for one array, unless it is sampled.
        """
        captured: dict[str, list[Tensor]] = {f"{site}/{point}": [] for site in self._sites for point in POINTS}
        handles = [handle for site, module in self._sites.items() for handle in _hooks(site, module, captured)]
        try:
            self._view.model.train(training)
            with torch.no_grad():
                for batch in self._batches:
                    self._view.model(batch)
        finally:
            for handle in handles:
                handle.remove()
        taken: dict[tuple[int, ...], np.ndarray] = {}
        found: dict[str, np.ndarray] = {}
        for name, parts in captured.items():
            tensors = tuple(map(id, parts))
            found[name] = taken[tensors] if tensors in taken else self._sample(name, torch.cat(parts))
            if name not in self._places:
                taken[tensors] = found[name]
        return found

    def _sample(self, name: str, values: Tensor) -> np.ndarray:
        """``[M, U]`` or ``[M, U, H, W]`` as ``[U, K]``, at the same random places every time when there are too many."""
        values_UK = values.movedim(1, 0).flatten(1)
        if values_UK.shape[1] > self._values_per_unit:
            if name not in self._places:
                generator = numpy_stream(self._view.seed, f"probe/{name}")
                places = np.sort(generator.choice(values_UK.shape[1], self._values_per_unit, replace=False))
                self._places[name] = torch.from_numpy(places).to(values.device)
            values_UK = values_UK[:, self._places[name]]
        return np.ascontiguousarray(values_UK.float().cpu().numpy())

    def _moved(self, name: str, sorted_UK: np.ndarray) -> np.ndarray:
        """Wasserstein-1 distance of each unit to its last observation: the mean distance between equal ranks."""
        last = self._last_sorted.get(name)
        self._last_sorted[name] = sorted_UK
        if last is None:
            return np.full(len(sorted_UK), np.nan, np.float32)
        return np.abs(sorted_UK - last).mean(axis=1)


def _hooks(site: str, module: NormAct, captured: dict[str, list[Tensor]]) -> list[Any]:
    pre_norm, post_norm, next_input = (captured[f"{site}/{point}"] for point in POINTS)

    def normalised(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        pre_norm.append(inputs[0])
        post_norm.append(output)

    def pass_on(_: nn.Module, __: Any, output: Tensor) -> None:
        next_input.append(output)

    return [module.norm.register_forward_hook(normalised), module.register_forward_hook(pass_on)]


#: Sorted values ``[U, K]``, everything that is kept of them by name, and how many are in each bin; None where one is not finite.
_Counted = tuple[np.ndarray, dict[str, np.ndarray], np.ndarray | None]


def _counted(values_UK: np.ndarray) -> _Counted:
    sorted_UK = np.sort(values_UK, axis=1)
    units = _statistics(sorted_UK)
    pooled, counts = _pooled(values_UK.ravel())
    return (
        sorted_UK,
        {f"unit_{key}": value for key, value in units.items()}
        | {f"pooled_{key}": value for key, value in pooled.items()},
        counts,
    )


def _pooled(values_N: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Exact percentiles, mean, biased (1/N) sd, least and greatest and shares of bins; and the bins' counts.

    The shares tell where the percentiles lie, so that only the values around each have to be sorted: an eighth of the time.
    """
    lowest, highest = float(values_N.min()), float(values_N.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        statistics = {key: value[0] for key, value in _statistics(np.sort(values_N)[None]).items()}
        nothing = {"histogram": np.full(NUM_BINS, np.nan, np.float32), "range": np.full(2, np.nan, np.float32)}
        return statistics | nothing, None
    places_N, fine = _binned(values_N, lowest, highest)
    upto = np.cumsum(fine)
    ranks, shares = _ranks(len(values_N))
    bins = upto.searchsorted(ranks, side="right")
    quantiles = []
    for low, high, first, last, share in zip(*ranks.tolist(), *bins.tolist(), shares, strict=True):
        around = values_N[places_N == first if first == last else (places_N >= first) & (places_N <= last)]
        around.sort()
        before = upto[first] - fine[first]
        below, above = around[low - before], around[high - before]
        quantiles.append(below + (above - below) * share)
    counts = fine.reshape(NUM_BINS, -1).sum(axis=1)
    pooled = {
        "quantiles": np.array(quantiles, np.float32),
        "mean": (mean := values_N.mean(keepdims=True))[0],
        "sd": _sd(values_N, mean),
        "histogram": (counts / len(values_N)).astype(np.float32),
        "range": np.array([lowest, highest], np.float32),
    }
    return pooled, counts


def _binned(values_N: np.ndarray, lowest: float, highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``NUM_FINE`` bins each value is in, and how many are in each."""
    width = (highest - lowest) / NUM_FINE or 1.0
    scaled_N = values_N.astype(np.float64)  # in place from here on: this is what a look costs most
    scaled_N -= lowest
    scaled_N /= width
    places_N = np.minimum(scaled_N, NUM_FINE - 1, out=scaled_N).astype(np.int16)
    return places_N, np.bincount(places_N, minlength=NUM_FINE)


def _edges(lowest: float, highest: float) -> np.ndarray:
    """Of the shown bins, in float64: float32 has no room for 64 bins between two values that are nearly equal."""
    if lowest == highest:
        lowest, highest = lowest - 0.5, highest + 0.5
    return np.linspace(lowest, highest, NUM_BINS + 1)


def _statistics(sorted_UK: np.ndarray) -> dict[str, np.ndarray]:
    """Percentiles, mean and biased (1/K) sd along the last axis of sorted values."""
    (low, high), shares = _ranks(sorted_UK.shape[1])
    below, above = sorted_UK.take(low, axis=1), sorted_UK.take(high, axis=1)
    mean = sorted_UK.mean(axis=1, keepdims=True)
    return {"quantiles": below + (above - below) * shares, "mean": mean[:, 0], "sd": _sd(sorted_UK, mean)}


@cache
def _ranks(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The order statistics around each of ``QUANTILES``, ``[2, 3]``, and how far between the two it lies, ``[3]``."""
    positions = np.array(QUANTILES) * (count - 1)
    ranks = np.array([np.floor(positions), np.ceil(positions)]).astype(int)
    return ranks, (positions - ranks[0]).astype(np.float32)


def _sd(values: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """``values.std(axis=-1, mean=mean)``, to the bit; most of that is numpy's own asking about its arguments."""
    centred = values - mean
    centred *= centred
    return np.sqrt(centred.sum(axis=-1) / values.shape[-1])
