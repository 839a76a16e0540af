"""A5. The blog: with BN, mean and sd of each layer's inputs stay almost the same however earlier weights change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.paper_grid import BATCH, NONE, PAPER_GRID
from bnexp.claims.runs import Runs
from bnexp.figures.style import COLORS
from bnexp.records.reader import RunRecord
from bnexp.stats.verdict import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The objects the claim may mean, in the order of the computation.
OBJECTS = {"pre_norm": "z = Wu", "post_norm": "y = gamma x^ + beta", "next_input": "u' = g(y)"}
KEYS = {"mean": "drift_mean", "sd": "drift_sd"}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Per seed the median unit's drift of mean and sd between observations, at the next layer's input, at the same rate."""
    base, arm = runs.reported(NONE, "same"), runs.reported(BATCH, "same")
    samples = {
        f"{name} of the next layer's input": Sample(
            base=tuple(_drift(base[s], "next_input", key) for s in base),
            arm=tuple(_drift(arm[s], "next_input", key) for s in base),
        )
        for name, key in KEYS.items()
    }
    table = {
        (point, name): [[_drift(by_seed[s], point, key) for s in base] for by_seed in (base, arm)]
        for point in OBJECTS
        for name, key in KEYS.items()
    }
    net = [float(np.median([_drift(by_seed[s], "next_input", "net_sd") for s in base])) for by_seed in (base, arm)]
    return Evidence(
        samples=samples,
        numbers={
            "x^ = (z - mean) / sd": "mean 0 and sd sqrt(v / (v + eps)) by construction: no evidence either way",
            "net change of a unit's sd, first to last look": f"x {np.exp(net[0]):.2f} without, x {np.exp(net[1]):.2f} with BN",
        },
        data={"table": table},
    )


def _drift(record: RunRecord, point: str, key: str) -> float:
    return record.end["probes"]["layer_inputs"][point][key]


def draw(evidence: Evidence, figure: Figure) -> None:
    """Drift of mean and sd of the three measured objects, one point a seed."""
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, KEYS, strict=True):
        for place, point in enumerate(OBJECTS):
            for shift, (norm, values) in enumerate(
                zip(("none", "batch"), evidence.data["table"][point, name], strict=True)
            ):
                marker = "os"[shift]
                axes.plot(
                    np.full(len(values), place + 0.22 * shift - 0.11), values, marker, color=COLORS[norm], markersize=4
                )
        axes.set_yscale("log")
        axes.set_xticks(range(len(OBJECTS)), list(OBJECTS.values()), fontsize=8)
        axes.set_title({"mean": "mean's step, in sd", "sd": "log sd's step"}[name])
    panels[0].plot([], [], "o", color=COLORS["none"], label="norm=none")
    panels[0].plot([], [], "s", color=COLORS["batch"], label="norm=batch")
    panels[0].legend()


_RULE = Difference(null=1, smallest=2, scale="ratio")

CLAIM = register(
    Claim(
        id="pinned_moments",
        section="A5",
        statement="With batch normalisation, mean and standard deviation of the inputs of each layer stay almost the same.",
        source='the blog post; Ioffe & Szegedy 2015, 3: "fixed distribution of inputs"',
        disputed_by="Santurkar et al. 2018, 2.2: neither achieved in a useful sense nor needed",
        formula="drift of mean: mean over observations of |mean(t+1) - mean(t)| over the unit's time-mean sd; drift of sd: mean of "
        "|log sd(t+1) - log sd(t)|; median over all hidden units; ratio none/batch per seed",
        grids=(PAPER_GRID,),
        endpoints={
            "mean of the next layer's input": Endpoint("geometric-mean ratio of the drift of the mean of u'", _RULE),
            "sd of the next layer's input": Endpoint("geometric-mean ratio of the drift of the log sd of u'", _RULE),
        },
        caveats=(
            "Steadier is not constant: the net change of the sd is among the numbers.",
            "A net that learns faster also moves faster; both arms are compared at one learning rate and at equal steps.",
        ),
        deviations=(
            "The sheet proposes the geometric mean over units; the median is not thrown by units that hardly vary.",
        ),
        overturn="Another learning rate, or the drift of another object (all of them are in the figure)",
        analyse=analyse,
        draw=draw,
    )
)
