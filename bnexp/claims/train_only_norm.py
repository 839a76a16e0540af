"""K1. Frankle et al.: training gamma and beta alone, of a net whose weights stay random, goes far, and further than other
weights.
"""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Tuning, Verdicts, register
from bnexp.claims.batches import DIGITS
from bnexp.claims.contrast import Arm, contrast, side_by_side
from bnexp.claims.quantities import FinalAccuracy
from bnexp.claims.words import ending, means_words, rates_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.stats.rules import Difference

NORM, RANDOM, OUTPUT, ALL = "gamma and beta", "as many random weights", "output layer", "everything"
ARMS = {NORM: Arm(NORM), RANDOM: Arm(RANDOM), OUTPUT: Arm(OUTPUT, grid=1), ALL: Arm(ALL, grid=2)}
DEPTH, WIDTH = 4, 64
#: Two a channel at each of the norms: two in a block, and the last one.
COUNT = 2 * WIDTH * (2 * DEPTH + 1)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Test accuracy in points of the net of which only a part trains, and of the whole."""
    points = side_by_side(runs, ARMS)
    return Evidence(
        samples={RANDOM: contrast(runs, ARMS[NORM], ARMS[RANDOM]), OUTPUT: contrast(runs, ARMS[NORM], ARMS[OUTPUT])},
        gates=runs.tuning_gate() | runs.finished_gate(),
        numbers=means_words(points, of="test accuracy")
        | {f"learning rates, {arm}": rates_words(runs, arm) for arm in (NORM, RANDOM)},
        data={"points": points},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """What each part reads, and whether gamma and beta are worth more than as many other weights."""
    primary, points = verdicts[RANDOM], evidence.data["points"]
    found = ending(primary, "so gamma and beta are worth more than other weights",
                   too_small="less than the 3 points that would matter", reversed_="so gamma and beta are worth less",
                   open_="which leaves open whether gamma and beta are worth more")  # fmt: skip
    return (
        f"A residual net of {2 * DEPTH + 1} ReLU layers whose weights stay random reads {points[NORM].mean():.1f} % of the "
        f"test digits where BN's {COUNT:,} gammas and betas alone train, and {points[RANDOM].mean():.1f} % where as many "
        f"random weights do, each at its own best rates: a difference of {primary.interval.in_words()} points, {found} (output "
        f"layer alone {points[OUTPUT].mean():.1f} %, everything {points[ALL].mean():.1f} %)."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Test accuracy of a residual net with BN of which only a part trains, the rest staying at its random start: a point is a
    seed, a bar the mean. The dashed line is guessing.
    """
    figure.set_size_inches(7.4, 3.8)
    axes = draw_arms_by_seed(evidence.data["points"], figure.subplots(), xlabel="test digits read right, %")
    axes.set_ylabel("what trains")
    axes.axvline(10, color="#555555", linestyle=(0, (4, 2)), linewidth=1)
    axes.set_xlim(0, 100)


_BUDGETS = {
    "smoke": (*DIGITS["smoke"], "train.steps=20", "train.eval_every=10"),
    "quick": (*DIGITS["quick"], "train.steps=300", "train.eval_from=260"),
    "full": (*DIGITS["full"], "train.steps=1500", "train.eval_every=300"),
}
_NET = ("model=resmlp", f"model.depth={DEPTH}", f"model.width={WIDTH}", "optimizer.momentum=0", "probes=none")
_SEEDS = {"quick": 16}
_POINTS = Difference(null=0, smallest=3)

CLAIM = register(Claim(
    id="train_only_norm", section="K1",
    statement="Training only gamma and beta of a net with random weights gives high accuracy, higher than training as many other "
    "weights.",
    source="Frankle, Schwab & Morcos 2021: 83 % on CIFAR-10 in a sufficiently deep ResNet",
    formula="test accuracy with train.only=norm minus that with train.only=random, in points, paired by seed; the output layer "
    "stays random in both, each arm has its own best learning rates",
    grids=(
        Grid(
            overrides=(*_NET, "norm=batch"), arms={NORM: "train.only=norm", RANDOM: "train.only=random"},
            tuning=Tuning(key="optimizer.lr", values=(1.0, 3.0, 10.0, 30.0), by=FinalAccuracy()), budgets=_BUDGETS,
            num_seeds=_SEEDS,
        ),
        Grid(overrides=(*_NET, "norm=batch"), arms={OUTPUT: "train.only=output optimizer.lr=1"}, budgets=_BUDGETS,
             num_seeds=_SEEDS),
        Grid(overrides=(*_NET, "norm=batch"), arms={ALL: "train.only=all optimizer.lr=0.1"}, budgets=_BUDGETS, num_seeds=_SEEDS),
    ),
    endpoints={
        RANDOM: Endpoint("mean difference to as many weights of hidden layers, drawn at random, two of each channel", _POINTS,
                         unit="points"),
        OUTPUT: Endpoint("mean difference to training the output layer alone", _POINTS, unit="points"),
    },
    caveats=(
        "A small fully connected residual net and a short training; the source's nets are deep and convolutional, and its "
        "advantage grows with depth.",
        "What is compared depends on the rate: at a tuning seed gamma and beta are 10 points ahead at rate 1 and behind at 30, "
        "so that arms with one rate for both would have settled it by that rate.",
        "Output layer alone and everything have one rate each, from a look at a tuning seed.",
    ),
    overturn="A deeper net: bnexp reproduce train_only_norm model.depth=16",
    deviations=(
        "docs/claims.md, K1 sweeps depth and width; the slope on depth is not judged here.",
        "K2, how many gammas go to 0, is not judged.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
