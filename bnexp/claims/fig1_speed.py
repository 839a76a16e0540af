"""B1. The paper: on MNIST the batch-normalised network learns faster (Fig. 1a)."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.paper_grid import BATCH, NONE, PAPER_GRID
from bnexp.claims.runs import Runs, final_accuracy
from bnexp.figures.curves import draw_arms
from bnexp.records.curves import time_to_target
from bnexp.stats.verdict import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Below the tuned baseline's own final accuracy, so that its time does not hang on a noisy plateau (claims sheet 0.4).
BELOW_BASELINE = 0.005


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Steps to a target fixed by the tuning runs, without over with BN, paired by seed."""
    best = runs.tuning(NONE)[runs.chosen(NONE) or 0.0]
    target = median(final_accuracy(record) for record in best) - BELOW_BASELINE
    base = runs.reported(NONE)
    samples = {}
    for endpoint, regime in (("own rate", "own"), ("same rate", "same")):
        arm = runs.reported(BATCH, regime)
        times = [
            [time_to_target(by_seed[seed].curve("val/accuracy"), target) for seed in base] for by_seed in (base, arm)
        ]
        samples[endpoint] = Sample.durations(*times)
    return Evidence(
        samples=samples,
        numbers={
            "target": f"{target:.4f}",
            "learning rates": f"{runs.chosen(NONE):g} without, {runs.chosen(BATCH):g} with BN",
        },
        data={
            "arms": {
                f"without BN, learning rate {runs.chosen(NONE):g}": list(base.values()),
                f"with BN, learning rate {runs.chosen(BATCH):g}": list(runs.reported(BATCH).values()),
            },
            "target": target,
        },
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Validation accuracy against steps: mean over the seeds, band from the worst to the best of them, and the target."""
    draw_arms(evidence.data["arms"], figure.subplots(), target=evidence.data["target"])


CLAIM = register(
    Claim(
        id="fig1_speed",
        section="B1",
        statement="With batch normalisation the paper's MNIST network reaches the target in fewer steps.",
        source="Ioffe & Szegedy 2015, 4.1, Fig. 1a (one run each, no learning rate stated)",
        disputed_by="Nobody disputes the curve; Santurkar et al. 2018 and Bjorck et al. 2018 dispute the reason",
        formula="R = T_none / T_batch; T = first of two consecutive evaluations above the tuned baseline's median final "
        "validation accuracy minus 0.5 points",
        grids=(PAPER_GRID,),
        endpoints={
            "own rate": Endpoint(
                "geometric-mean R, each arm at its own best learning rate",
                Difference(null=1, smallest=1.2, scale="ratio"),
            ),
            "same rate": Endpoint(
                "geometric-mean R, both at the baseline's best rate", Difference(null=1, smallest=2, scale="ratio")
            ),
        },
        caveats=(
            "The paper does not give the scale of its initial weights; 0.1 is ours, and it decides how hard the start is.",
            "Steps, not seconds: claim step_cost says what a step costs.",
        ),
        overturn="Another initial scale or optimiser: bnexp train experiment=paper_mnist model.init_scale=... norm=none,batch",
        analyse=analyse,
        draw=draw,
    )
)
