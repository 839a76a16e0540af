"""The paper's first experiment as a grid: the claims about Fig. 1 are judged on the same runs."""

from __future__ import annotations

from bnexp.claims.base import Grid, Tuning

#: Half a decade on each side of what sigmoid nets of this kind like; extended if a choice is at an edge.
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)

PAPER_GRID = Grid(
    overrides=("experiment=paper_mnist",),
    vary={"norm": ("none", "batch")},
    tuning=Tuning(key="optimizer.lr", values=RATES, same_as="norm=none"),
    budgets={
        "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "train.log_every=20"),
        "quick": ("dataset=mnist_5k", "train.steps=3000", "train.eval_every=100", "train.log_every=50"),
        "full": (),
    },
)
NONE, BATCH = "norm=none", "norm=batch"
