"""A3. The blog: normalising the inputs of hidden layers helps beyond normalising the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Sample, Tuning, register
from bnexp.claims.runs import Runs, times_to, tuned_target
from bnexp.figures.style import COLORS, plain_log_axis
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RATES = tuple(2.0**power for power in range(-5, 4))
NETS = ("sigmoid, 3 layers", "ReLU, 6 layers")
_BUDGETS = {
    "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "probes=none"),
    "quick": ("dataset=mnist_5k", "train.steps=1500", "train.eval_every=50", "probes=none"),
    "full": ("dataset=mnist", "train.steps=10000", "train.eval_every=200", "probes=none"),
}
_RELU = ("model.activation=relu", "model.depth=6", "model.init=he", "model.init_scale=1")


def _grid(*overrides: str) -> Grid:
    """The 2x2 factorial on one net, every cell at its own best rate."""
    return Grid(
        overrides=("model=mlp", "optimizer.momentum=0", *overrides),
        vary={"dataset.standardize": ("unit", "global"), "norm": ("none", "batch")},
        tuning=Tuning(key="optimizer.lr", values=RATES),
        budgets=_BUDGETS,
    )


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Within standardised inputs, steps to the plain net's tuned accuracy minus 0.5 points: without over with hidden BN."""
    samples, cells = {}, {}
    for grid, net in enumerate(NETS):
        plain = "dataset.standardize=global norm=none"
        target = tuned_target(runs, plain, grid)
        times = {arm: times_to(runs.reported(arm, grid=grid).values(), target) for arm in runs.arms(grid)}
        samples[net] = Sample.durations(times[plain], times["dataset.standardize=global norm=batch"])
        cells[net] = {arm: [time.steps for time in row] for arm, row in times.items()}
    return Evidence(samples=samples, data={"steps": cells})


def draw(evidence: Evidence, figure: Figure) -> None:
    """The four cells of each factorial, one point per seed."""
    panels = figure.subplots(1, len(NETS), sharey=True)
    everything = [step for arms in evidence.data["steps"].values() for steps in arms.values() for step in steps]
    plain_log_axis(panels[0], everything)
    for axes, (net, arms) in zip(panels, evidence.data["steps"].items(), strict=True):
        for arm, steps in arms.items():
            standardize, norm = (word.split("=")[1] for word in arm.split())
            place = ("unit", "global").index(standardize) + (0.12 if norm == "batch" else -0.12)
            marker = "s" if norm == "batch" else "o"
            axes.plot(np.full(len(steps), place), steps, marker, color=COLORS[norm], markersize=4, alpha=0.7)
        axes.set_xticks([0, 1], ["0 to 1", "standardised"])
        axes.set(xlim=(-0.5, 1.5), xlabel="inputs", title=net)
    for norm, marker in (("none", "o"), ("batch", "s")):
        panels[0].plot([], [], marker, color=COLORS[norm], label=f"hidden norm={norm}")
    panels[0].legend()
    panels[0].set_ylabel("steps to the target (own best rate)")


_RULE = Difference(null=1, smallest=1.2, scale="ratio")

CLAIM = register(
    Claim(
        id="hidden_normalization",
        section="A3",
        statement="Normalising the inputs of hidden layers helps learning beyond normalising the data.",
        source="the blog post; Ioffe & Szegedy 2015, 2",
        disputed_by="Zhang et al. 2019 (Fixup) and De & Smith 2020 reach the same without it, by initialisation",
        formula="R = T_none / T_batch among nets with standardised inputs, each at its own best learning rate",
        grids=(_grid(), _grid(*_RELU)),
        endpoints={
            "sigmoid, 3 layers": Endpoint("geometric-mean R on the paper's net", _RULE),
            "ReLU, 6 layers": Endpoint("geometric-mean R on a deeper ReLU net", _RULE),
        },
        caveats=("BN here stands in hidden layers only; a norm on the input layer would itself normalise the data.",),
        overturn="The same-rate comparison is friendlier to BN: see fig1_speed",
        analyse=analyse,
        draw=draw,
    )
)
