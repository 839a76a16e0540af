"""B2. The paper: the batch-normalised network ends at a higher test accuracy (Fig. 1a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import BATCH, NONE, PAPER_GRID, Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.runs import Runs, test_points
from bnexp.figures.curves import draw_arms
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A baseline that still gains more than this in the last fifth (points) has not converged: "accuracy at budget", not "ends at".
STILL_RISING = 0.1


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Test accuracy in percentage points, with running statistics, at the end of the budget; a diverged run scores 0."""
    base = runs.reported(NONE)
    arm = runs.reported(BATCH)
    points = [[test_points(by_seed[seed]) for seed in base] for by_seed in (base, arm)]
    rise = float(np.median([_late_rise(record) for record in base.values()]))
    budget = (
        "converged" if rise < STILL_RISING else f"still rising by {rise:.2f} points: read it as accuracy at this budget"
    )
    return Evidence(
        samples={"own rate": Sample.of(points[1], base=points[0])},
        numbers={
            "test accuracy without BN": f"{np.mean(points[0]):.2f} %",
            "test accuracy with BN": f"{np.mean(points[1]):.2f} %",
            "baseline in the last fifth": budget,
        },
        data={"arms": {"without BN": list(base.values()), "with BN": list(arm.values())}},
    )


def _late_rise(record: RunRecord) -> float:
    """Points of validation accuracy gained over the last fifth of the steps, first half of it against the second."""
    values = [value or 0.0 for value in record.curve("val/accuracy").values]
    late = values[-max(4, len(values) // 5) :]
    half = len(late) // 2
    return 100 * float(np.mean(late[half:]) - np.mean(late[:half]))


def draw(evidence: Evidence, figure: Figure) -> None:
    """Validation accuracy against steps."""
    draw_arms(evidence.data["arms"], figure.subplots())


CLAIM = register(
    Claim(
        id="fig1_accuracy",
        section="B2",
        statement="The batch-normalised network ends at a higher test accuracy.",
        source="Ioffe & Szegedy 2015, 4.1, Fig. 1a: about 0.5 to 1 point by eye, one run each",
        disputed_by="",
        formula="test accuracy after the last step, with BN minus without, in percentage points, paired by seed",
        grids=(PAPER_GRID,),
        endpoints={
            "own rate": Endpoint(
                "mean difference, each arm at its own best learning rate", Difference(null=0, smallest=0.2)
            )
        },
        caveats=("Equal steps is not convergence; the page says whether the baseline is still rising.",),
        overturn="A longer budget or another initial scale: bnexp train experiment=paper_mnist train.steps=... norm=none,batch",
        analyse=analyse,
        draw=draw,
    )
)
