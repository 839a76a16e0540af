"""A1. The blog: normalising the input features makes gradient descent converge in fewer steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Sample, Tuning, register
from bnexp.claims.runs import Runs, times_to, tuned_target
from bnexp.figures.style import plain_log_axis
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNIT, RAW = "dataset.standardize=unit", "dataset.standardize=none"
ARMS = ("unit", "center", "global", "per_pixel")
#: Raw bytes are 255 times as large, so the rates that suit them are 255^2, about 2^16, times as small: a pure change of units.
RATES = tuple(2.0**power for power in range(-5, 4))
RAW_RATES = tuple(2.0 ** (power - 16) for power in range(-5, 4))
_SHARED = (
    "model=mlp",
    "norm=none",
    "optimizer.momentum=0",
    "model.depth=1",
    "model.activation=relu",
    "model.init=he",
    "model.init_scale=1",
)
_BUDGETS = {
    "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "probes=none"),
    "quick": ("dataset=mnist_5k", "train.steps=1500", "train.eval_every=50", "probes=none"),
    "full": ("dataset=mnist", "train.steps=10000", "train.eval_every=200", "train.log_every=50", "probes=none"),
}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Steps to the unit arm's own tuned accuracy minus 0.5 points, unit over standardised, each at its own best rate."""
    target = tuned_target(runs, UNIT)
    arms = {arm: runs.reported(f"dataset.standardize={arm}") for arm in ARMS} | {"none": runs.reported(RAW, grid=1)}
    times = {arm: times_to(by_seed.values(), target) for arm, by_seed in arms.items()}
    return Evidence(
        samples={arm: Sample.durations(times["unit"], times[arm]) for arm in ("global", "per_pixel", "center", "none")},
        numbers={"target": f"{target:.4f}"} | {f"own rate, {arm}": f"{_rate(runs, arm):.3g}" for arm in arms},
        data={"steps": {arm: [time.steps for time in times[arm]] for arm in ("none", *ARMS)}},
    )


def _rate(runs: Runs, arm: str) -> float:
    return runs.chosen(f"dataset.standardize={arm}", grid=1 if arm == "none" else 0) or float("nan")


def draw(evidence: Evidence, figure: Figure) -> None:
    """Steps to the target of every arm, one point per seed."""
    axes = figure.subplots()
    for place, (_arm, steps) in enumerate(evidence.data["steps"].items()):
        axes.plot(np.full(len(steps), place), steps, "o", color="#0072B2", markersize=4, alpha=0.7)
        axes.plot([place - 0.2, place + 0.2], [np.median(steps)] * 2, color="#000000", linewidth=1.5)
    plain_log_axis(axes, [step for steps in evidence.data["steps"].values() for step in steps])
    axes.set_xticks(range(len(evidence.data["steps"])), list(evidence.data["steps"]))
    axes.set(ylabel="steps to the target (own best rate)", xlabel="dataset.standardize")


_RULE = Difference(null=1, smallest=1.2, scale="ratio")

CLAIM = register(
    Claim(
        id="input_normalization",
        section="A1",
        statement="Standardising the inputs makes gradient descent converge in fewer steps.",
        source="the blog post; Ioffe & Szegedy 2015, 2, after LeCun et al. 1998",
        disputed_by="Little dispute about centring; a pure scale can be absorbed by the learning rate",
        formula="R = T_unit / T_standardised at each arm's own best learning rate; T = steps to the unit arm's tuned accuracy "
        "- 0.5 points",
        grids=(
            Grid(
                overrides=_SHARED,
                vary={"dataset.standardize": ARMS},
                budgets=_BUDGETS,
                tuning=Tuning(key="optimizer.lr", values=RATES),
            ),
            Grid(
                overrides=_SHARED,
                vary={"dataset.standardize": ("none",)},
                budgets=_BUDGETS,
                tuning=Tuning(key="optimizer.lr", values=RAW_RATES),
            ),
        ),
        endpoints={
            "global": Endpoint("pixels 0..1 against centred and scaled by channel", _RULE),
            "per_pixel": Endpoint("pixels 0..1 against standardised by pixel", _RULE),
            "center": Endpoint("pixels 0..1 against centred only", _RULE),
            "none": Endpoint("pixels 0..1 against bytes 0..255", _RULE),
        },
        caveats=(
            "Bytes against 0..1 is a change of units, which a learning rate of its own should absorb; but the first layer's "
            "weights start 255 times too large for it.",
            "Momentum or Adam would shrink the effect; this is plain SGD.",
        ),
        overturn="Another model or optimiser: bnexp train dataset.standardize=unit,global ...",
        analyse=analyse,
        draw=draw,
    )
)
