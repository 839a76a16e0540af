"""B2. The paper: the batch-normalised network ends at a higher test accuracy (Fig. 1a)."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean, median

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Runs, Sample, Tuning, Verdicts, register
from bnexp.claims.contrast import Arm, contrast
from bnexp.claims.paper import CONTROL, PAPER_GRID, SUBJECT, own_rates, typical_arms
from bnexp.claims.quantities import FinalAccuracy
from bnexp.claims.runs import recomputed_points
from bnexp.claims.sweeps import final_loss
from bnexp.claims.words import ending
from bnexp.figures.curves import draw_arms
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

#: A baseline that still gains more than this in the last fifth (points) has not converged: "accuracy at budget", not "ends at".
STILL_RISING = 0.1

SMALLEST = 0.2  # points


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Test accuracy at the end, in points, by running and by recomputed statistics; a diverged run scores 0."""
    points = contrast(runs, Arm(SUBJECT), Arm(CONTROL))
    twin = Sample((runs.side(recomputed_points, SUBJECT),), points.base)
    loss = {arm: median(map(final_loss, runs.reported(arm))) for arm in (CONTROL, SUBJECT)}
    rise = median(_late_rise(record) for record in runs.reported(CONTROL))
    return Evidence(
        samples={"own rate": points, "recomputed statistics": twin},
        gates=runs.tuning_gate() | runs.finished_gate(),
        numbers={
            "learning rates": own_rates(runs),
            "test accuracy": f"{points.seeds_of(points.base).mean():.2f} % without, "
            f"{points.seeds_of(points.arm).mean():.2f} % with BN",
            "training loss at the end": f"{loss[CONTROL]:.2g} without, {loss[SUBJECT]:.2g} with BN "
            "(mean of the last five points, median run)",
            "plain net in the last fifth of training": f"{rise:+.2f} points of validation accuracy: "
            + ("converged" if abs(rise) < STILL_RISING else "not converged, so this is the accuracy at this budget"),
        },
        data={
            "arms": typical_arms(runs),
            "steps": max(record.end["step"] for record in runs.reported(CONTROL)),
            "accuracy": [float(points.seeds_of(sides).mean()) for sides in (points.base, points.arm)],
            "rise": rise,
        },
    )


def _late_rise(record: RunRecord) -> float:
    """Points of validation accuracy gained over the last fifth of the steps, second half of it against the first."""
    curve = record.curve("val/accuracy")
    last = curve.steps[-1]
    first_half, second_half = (
        [value or 0.0 for step, value in zip(curve.steps, curve.values, strict=True) if low * last <= step <= high * last]
        for low, high in ((0.8, 0.9), (0.9, 1))
    )
    return 100 * (fmean(second_half) - fmean(first_half or second_half))


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Both accuracies, their difference, and whether the plain net had converged."""
    verdict = verdicts["own rate"]
    if verdict.effect is None or verdict.word == "gate failed":
        return verdict.reason
    without, with_bn = evidence.data["accuracy"]
    found = ending(verdict, "so it ends higher", too_small=f"less than the {SMALLEST:g} points that would matter",
                   reversed_="so it ends lower", open_=f"which leaves open whether it ends higher by {SMALLEST:g} points")
    rising = abs(evidence.data["rise"]) >= STILL_RISING
    return (
        f"After {evidence.data['steps']:,} steps the paper's network reads {with_bn:.2f} % of the test digits right with BN and "
        f"{without:.2f} % without, each at its own best learning rate: a difference of {verdict.effect.in_words()} points, {found}"
        + (", at a budget at which the plain network has not converged." if rising else ".")
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Validation accuracy against steps, mean over the seeds and band from the worst to the best."""
    draw_arms(evidence.data["arms"], figure.subplots())


_RULE = Difference(null=0, smallest=SMALLEST)

CLAIM = register(Claim(
    id="fig1_accuracy", section="B2",
    statement="With batch normalisation the paper's MNIST network ends at a higher test accuracy.",
    source="Ioffe & Szegedy 2015, 4.1, Fig. 1a: about 0.5 to 1 point by eye, one run each",
    formula="test accuracy after the last step, with BN minus without, in percentage points, paired by seed",
    control="norm=none", subject="norm=batch",
    grids=(
        replace(
            PAPER_GRID,
            tuning=Tuning(
                key="optimizer.lr", values=(0.5, 1.0, 2.0, 4.0, 8.0), by=FinalAccuracy(),
                overrides={
                    "smoke": ("probes=none",),
                    "quick": ("probes=none", "train.steps=2000", "train.eval_from=1600", "train.targets=[]"),
                    "full": ("probes=none", "train.steps=20000"),
                },
                num_seeds={"quick": 8},
            ),
            num_seeds={"quick": 16},
        ),
    ),
    endpoints={
        "own rate": Endpoint("mean difference with running statistics, each arm at its own best learning rates", _RULE,
                             unit="points"),
        "recomputed statistics": Endpoint("the same with statistics of the net with BN recomputed on the training set after "
                                          "the last step", _RULE, unit="points"),
    },
    caveats=("Equal steps is not convergence; the page and the sentence say whether the plain net is still rising.",),
    overturn="A longer budget or another initial scale: bnexp reproduce fig1_accuracy model.init_scale=0.05",
    deviations=(
        "Tuned on validation accuracy at the end of training, which at full is that after 20,000 steps of the 50,000.",
        "Test accuracy is read once, after the last step, instead of as a mean of five evaluations.",
        "At quick rates are chosen by the validation accuracy after 2,000 of the 3,000 steps, and not after all, which cost more.",
        "At quick 8 tuning seeds instead of 4 and 16 reported ones instead of 8: in three of five whole repetitions with other "
        "seeds the verdict came out otherwise than published (results/LOG.md, 28 November 2026).",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
