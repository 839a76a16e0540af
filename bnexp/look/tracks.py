"""From a run's record to what is drawn: tracks of units, pooled distributions, and each picture in one computed sentence.

Legend: T looks, U units, Q = 3 percentiles (15, 50, 85), G bins of a distribution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnexp.errors import UserError
from bnexp.look.choose import PROBE, arm, labels, norm_words
from bnexp.records.archive import kept_targets
from bnexp.records.curves import Curve, time_to_target
from bnexp.records.reader import RunRecord

#: Where a layer is looked at, in words.
POINTS = {"pre_norm": "before the norm", "post_norm": "after the norm", "next_input": "into the next layer"}

#: Looks, layers and units (as tracks) that are drawn at most, and bins of a distribution.
MOST_LOOKS, MOST_LAYERS, NUM_TRACKS, NUM_BINS = 40, 6, 10, 80

#: A unit whose width is so many times smaller than what it is compared with has none to speak of.
NO_WIDTH = 1000

#: The accuracies that the sentence about speed may speak of; the highest that all runs reach counts.
TARGETS = (0.97, 0.95, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True)
class Place:
    """What one layer of one run received at one point.

    Attributes:
        quantiles: ``[T, U, Q]``, a percentile of each unit over the held-out examples.
        density: ``[T, G]``, of all units' values together, on bins of equal width between ``Scene.wide_limits``; its peak is 1.
        tracks_sentence, pooled_sentence: what the two pictures show.
    """

    quantiles: np.ndarray
    density: np.ndarray
    tracks_sentence: str
    pooled_sentence: str


@dataclass(frozen=True)
class Seen:
    """One run as it is drawn.

    Attributes:
        label: what it is called beside the others.
        name: its folder's.
        norm: the name of its norm.
        arm: what it shares with runs that differ in the seed only.
        steps: ``[T]``, when it was looked at.
        accuracy: on the validation split.
        places: layer and point to what was received there.
        has_histograms: False for an older record, whose distributions are put together from its units.
    """

    label: str
    name: str
    norm: str
    arm: str
    steps: np.ndarray
    accuracy: Curve
    places: Mapping[tuple[str, str], Place]
    has_histograms: bool


@dataclass(frozen=True)
class Scene:
    """Everything on one page.

    Attributes:
        runs: in the order of the columns.
        columns: place in ``runs`` of the first run of each arm.
        layers: names of the layers that are drawn, in the order of the net.
        num_layers: how many layers there are.
        points: those that every run has.
        limits: layer and point to the range of values that all runs' tracks share.
        wide_limits: the same for distributions, whose tails lie outside the tracks.
        sentence: what the accuracy curves show.
    """

    runs: Sequence[Seen]
    columns: Sequence[int]
    layers: Sequence[str]
    num_layers: int
    points: Sequence[str]
    limits: Mapping[tuple[str, str], tuple[float, float]]
    wide_limits: Mapping[tuple[str, str], tuple[float, float]]
    sentence: str


def read_scene(records: Sequence[RunRecord]) -> Scene:
    """Read the runs' arrays and curves.

    Raises:
        UserError: a record keeps no percentiles of units, or the runs have no layer in common.

    Layers are those that all runs have, at most ``MOST_LAYERS``, evenly spaced; looks at most ``MOST_LOOKS``, evenly spaced
    on the logarithmic axis.
    """
    arrays = [record.arrays(PROBE) for record in records]
    kept_percentiles = [any(key.endswith("/unit_quantiles") for key in one) for one in arrays]
    if not all(kept_percentiles):
        bare = records[kept_percentiles.index(False)].folder
        whole = [record.folder.name for record, has in zip(records, kept_percentiles, strict=True) if has]
        todo = f"bnexp look {bare.parent} {whole[0]}" if whole else "bnexp train probes=light"
        raise UserError("this record keeps no percentiles of units, which are what is drawn", got=bare, todo=todo)
    shared = [key for key in arrays[0] if key.endswith("/unit_quantiles") and all(key in one for one in arrays)]
    pairs = [tuple(key.removesuffix("/unit_quantiles").rsplit("/", 1)) for key in shared]
    everything = list(dict.fromkeys(layer for layer, _ in pairs))
    if not everything:
        what = "these runs have no hidden layer in common, so that nothing can stand side by side"
        raise UserError(what, got=f"{len(records)} runs", todo=f"bnexp look {records[0].folder}")
    layers = [everything[index] for index in _spaced(len(everything), MOST_LAYERS)]
    points = [point for point in POINTS if all((layer, point) in pairs for layer in layers)]
    kept = [_thinned(one["steps"]) for one in arrays]
    limits, wide = {}, {}
    for layer in layers:
        for point in points:
            values = [one[f"{layer}/{point}/unit_quantiles"][rows] for one, rows in zip(arrays, kept, strict=True)]
            limits[layer, point] = _limits(values)
            wide[layer, point] = _widened(
                limits[layer, point], [one.get(f"{layer}/{point}/pooled_range") for one in arrays]
            )
    runs = []
    for record, label, one, rows in zip(records, labels(records), arrays, kept, strict=True):
        norm = record.header["config"]["norm"]["name"]
        places = {
            (layer, point): _place(one, rows, layer, point, wide[layer, point], norm, everything.index(layer) + 1)
            for layer in layers
            for point in points
        }
        has_histograms = any(key.endswith("/pooled_histogram") for key in one)
        accuracy = record.curve("val/accuracy")
        runs.append(
            Seen(label, record.folder.name, norm, arm(record), one["steps"][rows], accuracy, places, has_histograms)
        )
    firsts = {run.arm: index for index, run in reversed(list(enumerate(runs)))}
    columns = sorted(firsts.values())
    named = labels([records[index] for index in columns])  # without what tells runs of one arm apart
    few = [kept_targets(record) for record in records if record.points_before("val/accuracy")]
    told = [target for target in TARGETS if all(target in kept for kept in few)]
    sentence = _speed([replace(runs[index], label=label) for index, label in zip(columns, named, strict=True)], told)
    return Scene(runs, columns, layers, len(everything), points, limits, wide, sentence)


def tracks(num_units: int) -> list[int]:
    """The units that are drawn: ten, evenly spaced by their number, so that arms of a seed show the same ones.

    Example:
        >>> tracks(100)
        [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]
    """
    return _spaced(num_units, NUM_TRACKS)


def _spaced(count: int, most: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, most))})


def _thinned(steps_T: np.ndarray) -> np.ndarray:
    """Which looks are drawn, by their index."""
    if len(steps_T) <= MOST_LOOKS:
        return np.arange(len(steps_T))
    places = np.log(steps_T + 0.5)
    wanted = np.linspace(places[0], places[-1], MOST_LOOKS)
    return np.unique(np.abs(places[None] - wanted[:, None]).argmin(axis=1))


def _limits(quantiles: Sequence[np.ndarray]) -> tuple[float, float]:
    """The range of values that shows 99 % of all units' 15th and 85th percentiles, of all runs, with a margin."""
    low, high = (np.concatenate([one[..., q].ravel() for one in quantiles]) for q in (0, 2))
    low, high = low[np.isfinite(low)], high[np.isfinite(high)]
    if not len(low) or not len(high):
        return -1.0, 1.0
    lowest, highest = float(np.quantile(low, 0.005)), float(np.quantile(high, 0.995))
    margin = 0.08 * (highest - lowest) or 0.5
    return lowest - margin, highest + margin


def _widened(limits: tuple[float, float], ranges: Sequence[np.ndarray | None]) -> tuple[float, float]:
    """Room for tails, but none where no run has a value."""
    tail = 0.4 * (limits[1] - limits[0])
    lowest, highest = limits[0] - tail, limits[1] + tail
    known = [one[np.isfinite(one).all(axis=1)] for one in ranges if one is not None]
    if len(known) == len(ranges) and all(map(len, known)):
        seen = np.concatenate(known)
        margin = 0.02 * (highest - lowest)
        lowest, highest = max(lowest, float(seen.min()) - margin), min(highest, float(seen.max()) + margin)
    return lowest, highest


def _place(
    arrays: Mapping[str, np.ndarray],
    rows: np.ndarray,
    layer: str,
    point: str,
    limits: tuple[float, float],
    norm: str,
    number: int,
) -> Place:
    def get(name: str) -> np.ndarray | None:
        found = arrays.get(f"{layer}/{point}/{name}")
        return None if found is None else found[rows].astype(np.float64)

    quantiles_TUQ = get("unit_quantiles")
    assert quantiles_TUQ is not None
    edges = np.linspace(*limits, NUM_BINS + 1)
    counted, spread = get("pooled_histogram"), get("pooled_range")
    if counted is not None and spread is not None:
        density = _from_histograms(counted, spread, edges)
    else:
        density = _from_units(quantiles_TUQ, edges)
    arm_words = norm_words(norm)
    steps_T = arrays["steps"][rows]
    return Place(
        quantiles_TUQ.astype(np.float32),
        density,
        _tracks_sentence(quantiles_TUQ, steps_T, arm_words, number),
        _pooled_sentence(quantiles_TUQ, get("pooled_quantiles"), steps_T),
    )


@np.errstate(divide="ignore", invalid="ignore")
def _from_histograms(shares_TG: np.ndarray, range_T2: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Histograms that each have a range of their own, on shared bins: differences of the interpolated distribution function."""
    rows = []
    for shares, (lowest, highest) in zip(shares_TG, range_T2, strict=True):
        own = np.linspace(lowest, highest if highest > lowest else lowest + 1e-9, len(shares) + 1)
        rows.append(np.diff(np.interp(edges, own, np.concatenate([[0], np.cumsum(shares)]))))
    return _to_peak(np.array(rows))


def _from_units(quantiles_TUQ: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """For records without histograms: each unit as the normal distribution with its median and 15-85 band, all together."""
    from scipy.special import ndtr, ndtri

    sd_TU = (quantiles_TUQ[..., 2] - quantiles_TUQ[..., 0]) / (ndtri(0.85) - ndtri(0.15))
    sd_TU = np.maximum(sd_TU, (edges[1] - edges[0]) / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        standard = (edges[None, :, None] - quantiles_TUQ[:, None, :, 1]) / sd_TU[:, None]
        return _to_peak(np.diff(ndtr(standard).mean(axis=2), axis=1))


def _to_peak(density_TG: np.ndarray) -> np.ndarray:
    peak_T1 = density_TG.max(axis=1, keepdims=True)
    return np.where(peak_T1 > 0, density_TG / np.where(peak_T1 > 0, peak_T1, 1), density_TG)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _tracks_sentence(quantiles_TUQ: np.ndarray, steps_T: np.ndarray, arm_words: str, number: int) -> str:
    """How the median unit's band changed from first to last look and how far its centre moved, in widths of its first band."""
    start = f"{arm_words[0].upper()}{arm_words[1:]} the median unit of layer {number}"
    finite_T = np.isfinite(quantiles_TUQ).all(axis=(1, 2))
    if not finite_T.all():
        return f"{start} is not finite any more at step {steps_T[int(np.argmin(finite_T))]:,}."
    band_TU = quantiles_TUQ[..., 2] - quantiles_TUQ[..., 0]
    alive_U = band_TU[0] > 0
    if not alive_U.any() or len(steps_T) < 2:
        return f"{start} gives one and the same value at step {steps_T[0]:,}; there is no width to compare with."
    ratio = float(np.median(band_TU[-1, alive_U] / band_TU[0, alive_U]))
    moved_U = np.abs(quantiles_TUQ[-1, alive_U, 1] - quantiles_TUQ[0, alive_U, 1]) / band_TU[0, alive_U]
    moved = float(np.median(moved_U))
    if ratio < 1 / NO_WIDTH or max(ratio, moved) > NO_WIDTH:
        first, last = (float(np.median(band_U[alive_U])) for band_U in (band_TU[0], band_TU[-1]))
        when = steps_T[-1] if ratio < 1 / NO_WIDTH else steps_T[0]
        return (
            f"{start} is nearly constant at step {when:,}: its width is {first:.2g} at step {steps_T[0]:,} and {last:.2g} at step "
            f"{steps_T[-1]:,}."
        )
    return f"{start} {_width_words(ratio)} and moved by {f'{moved:.2g}' if moved < 10 else f'{moved:,.0f}'} widths."


def _width_words(ratio: float) -> str:
    if 0.95 < ratio < 1.05:
        return "kept its width"
    if ratio <= 0.05:
        return "all but collapsed"
    return f"widened {ratio:.{1 if ratio < 10 else 0}f} times" if ratio > 1 else f"narrowed to {ratio:.2f} of its width"


def _pooled_sentence(quantiles_TUQ: np.ndarray, pooled_TQ: np.ndarray | None, steps_T: np.ndarray) -> str:
    """Where 70 % of all units' values lay at the first look and at the last."""
    if pooled_TQ is None:
        return "Put together from the units: this record kept nothing of all of them at once."
    if not np.isfinite(pooled_TQ).all():
        return "All units together: not finite at the end."
    (a, _, b), (c, _, d) = pooled_TQ[0], pooled_TQ[-1]
    return (
        f"70 % of all {quantiles_TUQ.shape[1]} units' values: {a:.2f} to {b:.2f} at step {steps_T[0]:,}, "
        f"{c:.2f} to {d:.2f} at step {steps_T[-1]:,}."
    )


def _speed(runs: Sequence[Seen], targets: Sequence[float] = TARGETS) -> str:
    """Steps to the highest accuracy of ``targets`` that both reached, else that one did: the first run and the first with BN.

    Where there is no other run with BN, the second run.
    """
    if not targets:
        return ""
    first, *others = runs
    if not others:
        reached = [(target, time_to_target(first.accuracy, target)) for target in targets]
        words = [
            f"{target:.0%} accuracy: {first.label} after {time.steps:,} steps."
            for target, time in reached
            if time.observed
        ]
        return words[0] if words else f"{first.label} did not reach {targets[-1]:.0%} accuracy."
    second = next((run for run in others if run.norm == "batch"), others[0])
    times = [
        (target, time_to_target(first.accuracy, target), time_to_target(second.accuracy, target)) for target in targets
    ]
    for target, one, other in times:
        if one.observed and other.observed:
            text = (
                f"{target:.0%} accuracy: {first.label} after {one.steps:,} steps, {second.label} after {other.steps:,}"
            )
            ratio = max(one.steps, 1) / max(other.steps, 1)
            sooner = second.label if ratio > 1 else first.label
            return f"{text}: {max(ratio, 1 / ratio):.1f} times sooner {sooner}." if ratio != 1 else f"{text}."
    for target, one, other in times:
        if one.observed or other.observed:
            done, late = (first, second) if one.observed else (second, first)
            taken, ran = (one, other) if one.observed else (other, one)
            return (
                f"{target:.0%} accuracy: {done.label} after {taken.steps:,} steps, {late.label} not in {ran.steps:,}."
            )
    return f"Neither {first.label} nor {second.label} reached {targets[-1]:.0%} accuracy."
