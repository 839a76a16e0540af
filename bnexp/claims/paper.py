"""The paper's first experiment, which the claims about its Fig. 1 and about layer inputs share: one grid, the same runs.

Its reported runs look at their layers after the same steps at every budget, so that a window in steps means the same.
"""

from __future__ import annotations

from bnexp.claims.base import Grid, Runs, Sample, Tuning
from bnexp.claims.contrast import Arm, Read, contrast
from bnexp.claims.quantities import Levels, Speed
from bnexp.claims.words import rates_words
from bnexp.records.reader import RunRecord

CONTROL, SUBJECT = "control", "subject"

#: Validation errors and training losses, fixed before the runs of version 0.2 (docs/claims.md, O0): from what a net has that has
#: learnt the easy digits to what the plain net reaches.
SPEED = Speed({"smoke": Levels(0.5, 0.3, 60), "quick": Levels(0.15, 0.08, 3000), "full": Levels(0.10, 0.03, 20_000)})
LOSS_SPEED = Speed(
    {"smoke": Levels(2.0, 1.0, 60), "quick": Levels(0.5, 0.1, 3000), "full": Levels(0.3, 0.05, 20_000)},
    curve="train/loss",
)

_TUNING_ONLY = {
    "smoke": ("probes=none",),
    "quick": ("probes=none", "train.stop_at_accuracy=0.92"),
    "full": ("probes=none", "train.steps=20000", "train.stop_at_accuracy=0.97"),
}

#: The rates reach half a decade to each side of what sigmoid nets of this kind like.
PAPER_GRID = Grid(
    overrides=("experiment=paper_mnist", "probes=fixed_looks"),
    arms={CONTROL: "{control}", SUBJECT: "{subject}"},
    tuning=Tuning(
        key="optimizer.lr",
        values=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
        by=SPEED,
        same_as=CONTROL,
        overrides=_TUNING_ONLY,
    ),
    budgets={
        "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "train.log_every=20"),
        "quick": ("dataset=mnist_5k", "train.steps=3000", "train.eval_every=100", "train.eval_gap=0.1", "train.log_every=50"),
        "full": (),
    },
)


def own_rates(runs: Runs) -> str:
    """The rates that both arms chose."""
    return f"{rates_words(runs, CONTROL)} without, {rates_words(runs, SUBJECT)} with"


def typical_arms(runs: Runs) -> dict[str, list[RunRecord]]:
    """Label to the runs of both arms at their best rates, which the figures draw."""
    labels = {"without BN": CONTROL, "with BN": SUBJECT}
    return {f"{label}, learning rate {runs.best(arm):g}": runs.typical(arm) for label, arm in labels.items()}


def at_one_rate(runs: Runs, read: Read) -> Sample:
    """A number of each run with BN against those without, both arms at the plain net's best rates."""
    return contrast(runs, Arm(SUBJECT, "same"), Arm(CONTROL, "same"), read)
