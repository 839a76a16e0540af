"""C3. Santurkar et al.: with BN loss and gradient vary less along the gradient, so that a step finds what was promised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Runs, Verdicts, register
from bnexp.claims.causes import COMPARED, GRIDS, OWN, SAME, absent, arm, over_looks, tracks
from bnexp.claims.contrast import by_seed, contrast
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.places import PLACES, PLACES_AT_QUICK
from bnexp.claims.words import ending, rates_words, times_words
from bnexp.figures.arms import draw_panels
from bnexp.figures.style import plain_log_axis
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

LAYERS, WHOLE, RATE = "layers 0.01", "whole 0.01", "rate"
FREE, TOGETHER, EQUAL_LOSS = "gradient change", "gradient change, layers together", "gradient change at equal loss"
LOSS_FREE, LOSS_RAW, RAW, BETA = "loss change", "raw loss range", "raw gradient change", "raw smoothness"

#: Endpoint to the probe's array that it averages, and what that is in words.
QUANTITIES = {
    FREE: (f"relative_gradient_change/{LAYERS}", "share of its gradient by which a layer's gradient changes when each layer moves "
           "by 1 % of its weights' length along its own gradient"),
    TOGETHER: (f"relative_gradient_change/{WHOLE}", "the same when all weights together move by 1 % of their length along it"),
    EQUAL_LOSS: (f"relative_gradient_change/{LAYERS}", "the first one, at equal training loss instead of equal steps"),
    LOSS_FREE: (f"relative_loss_range/{LAYERS}", "share of the loss by which it changes at the step of the first one"),
    LOSS_RAW: (f"loss_range/{RATE}", "range of the loss in nats over 1/2 to 4 times the learning rate along the gradient"),
    RAW: (f"gradient_change/{RATE}", "largest change of the gradient over the same steps"),
    BETA: (f"smoothness/{RATE}", "largest change of the gradient by length of step, over the same steps"),
}  # fmt: skip
#: What is compared at own rates, and what at the same one: raw numbers grow with the length of the step.
ASKED = {OWN: (FREE, TOGETHER, EQUAL_LOSS, LOSS_FREE, BETA), SAME: (FREE, LOSS_RAW, RAW, BETA)}
PRIMARY = f"ReLU, {OWN}: {FREE}"
SMALLEST = 1.5

#: Training losses, in nats, between which arms are compared at equal loss; all chosen runs pass through all of them.
LOSSES = np.geomspace(1.6, 0.4, 5)
LEAST = 1e-12


def _log(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """log of a quantity at each look, ``[T]``."""
    values_T = np.asarray(arrays[name], float)
    return np.log(np.maximum(values_T, LEAST))


def _number(record: RunRecord, endpoint: str) -> float:
    """Geometric mean over looks of what an endpoint averages; at equal loss, over ``LOSSES``, between looks along the log loss."""
    name, _ = QUANTITIES[endpoint]
    if endpoint != EQUAL_LOSS:
        return math.exp(over_looks(record, "landscape", partial(_log, name=name)))
    arrays = record.arrays("landscape")
    logs_T, fallen_T = _log(arrays, name), np.minimum.accumulate(np.nan_to_num(arrays["loss/here"], nan=np.inf))
    kept = np.isfinite(logs_T) & np.isfinite(fallen_T)
    if not kept.any():
        raise ValueError(f"{record.folder.name} {record.status} and has no look at which its gradients are numbers")
    return float(np.exp(np.interp(np.log(LOSSES), np.log(fallen_T[kept][::-1]), logs_T[kept][::-1]).mean()))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Without over with BN, by place, regime of the rate and quantity; each a geometric mean over looks."""
    samples, numbers, drawn = {}, {}, {}
    out_of_reach: dict[str, str] = {}
    for place, regimes in COMPARED.items():
        if why := absent(runs, place):
            out_of_reach |= runs.out_of_reach(f"{place},", why)
            continue
        for regime in regimes:
            with_bn, without = arm(SUBJECT, place, regime), arm(CONTROL, place, regime)
            for endpoint in ASKED[regime]:
                name, read = f"{place}, {regime}: {endpoint}", partial(_number, endpoint=endpoint)
                samples[name] = contrast(runs, with_bn, without, read)
                means = [float(np.exp(np.log(by_seed(runs, one, read)).mean())) for one in (without, with_bn)]
                numbers[name] = f"{means[0]:.3g} without, {means[1]:.3g} with BN"
        rates = " and ".join(rates_words(runs, name, grid=without.grid) for name in (CONTROL, SUBJECT))
        numbers |= {f"{place}: learning rates without and with BN": rates, **_other_steps(runs, place)}
        drawn[place] = _tracks(runs, place)
    return Evidence(
        samples=samples,
        out_of_reach=out_of_reach,
        gates=runs.tuning_gate() | runs.finished_gate(),
        numbers=numbers,
        data={"tracks": drawn},
    )


def _other_steps(runs: Runs, place: str) -> dict[str, str]:
    """The scale-free change of the gradient at shorter and longer steps, without over with BN."""
    ratios: dict[str, str] = {}
    tried = runs.reported(SUBJECT, grid=arm(SUBJECT, place).grid)[0].arrays("landscape")
    for share in [name.rpartition(" ")[2] for name in tried if name.startswith("relative_gradient_change/layers ")]:
        track = partial(_log, name=f"relative_gradient_change/layers {share}")
        read = partial(over_looks, probe="landscape", track=track)
        without, with_bn = (by_seed(runs, arm(name, place), read).mean() for name in (CONTROL, SUBJECT))
        ratios[f"{float(share):.2g}"] = f"{math.exp(without - with_bn):.2g}"
    steps = ", ".join(f"{100 * float(share):g} %" for share in ratios)
    return {f"{place}: gradient change without over with BN at steps of {steps}": ", ".join(ratios.values())}


def _tracks(runs: Runs, place: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Looks of a place and label to the scale-free change of the gradient in percent at each of them, ``[S, T]``."""
    track = partial(_log, name=QUANTITIES[FREE][0])
    arms = {"with BN": arm(SUBJECT, place), "without BN": arm(CONTROL, place)}
    found = {label: tracks(runs, one, "landscape", track) for label, one in arms.items()}
    return found["with BN"][0], {label: 100 * np.exp(rows) for label, (_, rows) in found.items()}


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The scale-free change of the gradient in the ReLU net, in the others, and the raw smoothness."""

    def times(name: str) -> str:
        effect = verdicts[name].effect
        return times_words(effect, "less", "more") if effect else ""

    verdict = verdicts[PRIMARY]
    last = ending(verdict, "so there the landscape is smoother with BN, free of scale",
                  too_small=f"so there it is not smoother with BN by the {SMALLEST:g} times that would matter",
                  reversed_="so there the landscape is less smooth with BN, free of scale")  # fmt: skip
    others = {place: times(f"{place}, {OWN}: {FREE}") for place in COMPARED if place != "ReLU"}
    elsewhere = "; ".join(f"{PLACES[place].words}: {found}" for place, found in others.items() if found)
    return (
        f"When each layer of {PLACES['ReLU'].words} moves by 1 % of its weights' length along its gradient, the gradient changes "
        f"{times(PRIMARY)} with BN than without, {last} ({elsewhere}); the raw smoothness constant at the same learning "
        f"rate is {times(f'ReLU, {SAME}: {BETA}').replace('less', 'smaller').replace('more', 'larger')} with BN."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Change of a layer's gradient, in percent, when each layer moves by 1 % of its weights' length, over training."""
    figure.set_size_inches(3.4 * len(evidence.data["tracks"]) + 0.6, 3.6)
    panels = {PLACES[place].words: found for place, found in evidence.data["tracks"].items()}
    shown = [value for _, series in panels.values() for rows in series.values() for value in rows.ravel()]
    ylabel = "change of a layer's gradient after a step\nof 1 % of its weights' length, %"
    for axes in draw_panels(figure, panels, xlabel="training step", ylabel=ylabel):
        axes.set_xscale("symlog", linthresh=1)
        plain_log_axis(axes, [value for value in shown if np.isfinite(value)])


_RULE = Difference(null=1, smallest=SMALLEST, scale="ratio")
#: The first is primary.
_ASKED = [f"{place}, {regime}: {what}" for place, regimes in COMPARED.items() for regime in regimes for what in ASKED[regime]]
_NAMES = tuple(dict.fromkeys([PRIMARY, *_ASKED]))

CLAIM = register(Claim(
    id="smoother_landscape", section="C3",
    statement="Batch normalisation makes the loss landscape smoother: along a step of the same relative length the gradient "
    "changes less.",
    source="Santurkar et al. 2018, section 3 and Fig. 4, for raw ranges along the gradient at equal learning rates",
    disputed_by="Yang et al. 2019 at initialisation; Cohen et al. 2021: along training smoothness follows 2 / learning rate",
    formula="|g(w') - g(w)| / |g(w)|, mean over layers, w' = w with each layer moved by 1 % of the length of its weights along "
    "its own -g, on one training batch; geometric mean over the looks of a run, without over with BN, paired by seed; beside it "
    "the source's raw numbers over 1/2 to 4 times the run's rate",
    control="norm=none", subject="norm=batch",
    grids=GRIDS,
    endpoints={name: Endpoint(f"{QUANTITIES[name.partition(': ')[2]][1]}; without over with BN", _RULE) for name in _NAMES},
    caveats=(
        "Smoothness is measured where training has brought each net, and two nets that learn at other speeds are at other places "
        "after equal steps; the endpoint at equal training loss holds that against it.",
        "Raw numbers depend on the length of weights, to which a net with BN is indifferent, and can be had as one likes by "
        "stretching them; they are judged as the source has them and carry no weight here.",
        "That it is smoother would not say that this is why BN helps.",
    ),
    overturn="Another net: bnexp reproduce smoother_landscape model.depth=10, or another relative length of the step",
    deviations=(
        "Relative steps are taken layer by layer, which no stretching of a layer before a norm changes; with all weights "
        "together, as docs/claims.md, C3 can also be read, they are an endpoint of their own.",
        "Twelve looks on fresh training batches, six at the convolutional place, instead of twenty on one.", PLACES_AT_QUICK,
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
