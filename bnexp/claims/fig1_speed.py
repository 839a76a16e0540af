"""B1. The paper: on MNIST the batch-normalised network learns faster (Fig. 1a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import BATCH, NONE, PAPER_GRID, Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.runs import Runs, times_to, tuned_target
from bnexp.figures.curves import draw_arms
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Steps to a target fixed by the tuning runs, without over with BN, paired by seed."""
    target, base = tuned_target(runs, NONE), runs.reported(NONE)
    arms = {"own rate": runs.reported(BATCH), "same rate": runs.reported(BATCH, "same")}
    return Evidence(
        samples={
            name: Sample.durations(*(times_to((by_seed[seed] for seed in base), target) for by_seed in (base, arm)))
            for name, arm in arms.items()
        },
        numbers={
            "target": f"{target:.4f}",
            "learning rates": f"{runs.chosen(NONE):g} without, {runs.chosen(BATCH):g} with BN",
        },
        data={
            "arms": {
                f"without BN, learning rate {runs.chosen(NONE):g}": list(base.values()),
                f"with BN, learning rate {runs.chosen(BATCH):g}": list(arms["own rate"].values()),
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
