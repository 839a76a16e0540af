"""B20. The paper: more thorough shuffling, so that the same examples do not always share a batch, gains accuracy with BN."""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Verdicts, register
from bnexp.claims.batches import NET
from bnexp.claims.contrast import Arm, contrast, interaction, side_by_side
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.runs import recomputed_points
from bnexp.claims.words import ending, means_words, points_more
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.stats.rules import Difference

LABELS = {CONTROL: "without BN", SUBJECT: "with BN"}
ORDERS = {"shuffled": "batches dealt anew each epoch", "fixed": "the same batches each epoch"}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Test accuracy with recomputed statistics: gain of reshuffling with BN minus that without, and each by itself."""
    pairs = {norm: (Arm(f"{norm} shuffled"), Arm(f"{norm} fixed")) for norm in LABELS}
    shown = {f"{label},\n{words}": Arm(f"{norm} {order}") for norm, label in LABELS.items() for order, words in ORDERS.items()}
    points = side_by_side(runs, shown, recomputed_points)
    return Evidence(
        samples={
            "with BN minus without": interaction(runs, pairs[SUBJECT], pairs[CONTROL], recomputed_points),
            **{label: contrast(runs, *pairs[norm], recomputed_points) for norm, label in LABELS.items()},
        },
        gates=runs.finished_gate(),
        numbers={label.replace("\n", " "): words for label, words in means_words(points, digits=2).items()},
        data={"points": points},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The gain with and without BN, and their difference."""
    primary = verdicts["with BN minus without"]
    gained = [verdicts[label].interval for label in ("with BN", "without BN")]
    found = ending(primary, "so shuffling does more for BN than the randomness of SGD alone",
                   too_small="less than the 0.2 points that would matter", reversed_="so it does less for BN than without it",
                   open_="which leaves open whether BN gains by it")  # fmt: skip
    return (
        f"A ReLU net on 2,048 digits whose batches are dealt anew each epoch reads {points_more(gained[0])} test digits with "
        f"BN than one whose batches stay the same, and {points_more(gained[1])} without: a difference of "
        f"{primary.interval.in_words()} points, {found}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Test accuracy with recomputed statistics after training on batches that stay the same, or are dealt anew each epoch; a
    point is a seed, a bar the mean.
    """
    figure.set_size_inches(7.4, 3.8)
    draw_arms_by_seed(evidence.data["points"], figure.subplots(), xlabel="test digits read right, %")


_GAIN = Difference(null=0, smallest=0.2)

CLAIM = register(Claim(
    id="shuffle_gain", section="B20",
    statement="Dealing batches anew each epoch, so that the same examples do not always share one, gains accuracy because of "
    "batch normalisation.",
    source="Ioffe & Szegedy 2015, 4.2.1: about 1 point, as evidence of regularising noise",
    formula="[accuracy(dealt anew) - accuracy(the same batches in a new order)] with BN minus the same without, test accuracy "
    "with recomputed statistics in points, paired by seed",
    control="norm=none", subject="norm=batch",
    grids=(
        Grid(
            overrides=(*NET, "optimizer.lr=0.1", "train.batch_size=32", "probes=none"),
            arms={f"{norm} {order}": f"{{{norm}}} train.order={order}" for norm in LABELS for order in ORDERS},
            budgets={
                "smoke": ("dataset=mnist_5k", "dataset.train_examples=2048", "train.steps=20", "train.eval_every=10"),
                "quick": ("dataset=mnist_5k", "dataset.train_examples=2048", "train.steps=640", "train.eval_from=640"),
                "full": (
                    "dataset=mnist", "dataset.train_examples=2048", "dataset.validation_examples=2000", "train.steps=1920",
                    "train.eval_every=640",
                ),
            },
            num_seeds={"quick": 32, "full": 16},
        ),
    ),
    endpoints={
        "with BN minus without": Endpoint("difference of the gains from dealing batches anew", _GAIN, unit="points"),
        "with BN": Endpoint("gain from dealing batches anew, with BN", _GAIN, unit="points"),
        "without BN": Endpoint("the same without", _GAIN, unit="points"),
    },
    caveats=(
        "Ten epochs on few digits: the paper's gain is of an Inception network after many epochs of ImageNet.",
        "One learning rate, 0.1, for all arms; it is near the best of both nets at tuning seeds.",
        "Batches that stay the same still come in a new order each epoch, so that the randomness of SGD is kept as far as it can "
        "be.",
    ),
    overturn="Longer training on fewer digits: bnexp reproduce shuffle_gain train.steps=2560",
    deviations=("docs/claims.md, B20 has no rate; arms are not tuned one by one, because the orders share all else.",),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
