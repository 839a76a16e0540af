"""H2. Ioffe: batch renormalisation repairs small batches and batches that are not independent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Verdicts, register
from bnexp.claims.batches import DIGITS, NET
from bnexp.claims.contrast import Arm, contrast, side_by_side
from bnexp.claims.words import ending, means_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.stats.rules import Difference, Equivalence

#: Micro-batches of 4 of an SGD batch of 16; batches of two classes.
SMALL, SORTED, WHOLE = "statistics of 4", "two classes", "statistics of 16"
BN, RENORM, GROUP = "BN", "batch renorm", "group norm"
#: SGD batch, and what makes the regime.
_REGIMES = {SMALL: "train.accumulate=4", SORTED: "train.order=two_classes", WHOLE: ""}
_ARMS = {
    f"{BN}, {SMALL}": "norm=batch norm.momentum=0.05",
    f"{BN}, {SORTED}": "norm=batch norm.momentum=0.05",
    f"{BN}, {WHOLE}": "norm=batch norm.momentum=0.05",
    f"{GROUP}, {SORTED}": "norm=group",
    f"{RENORM}, {SMALL}": "norm=renorm norm.momentum=0.05",
    f"{RENORM}, {SORTED}": "norm=renorm norm.momentum=0.05",
}
#: Steps until the limits of the correction grow, and over how many they do: a tenth and a fifth of training.
_RAMPS = {"smoke": (2, 4), "quick": (30, 60), "full": (150, 300)}
_STEPS = {
    "smoke": ("train.steps=20", "train.eval_every=10"),
    "quick": ("train.steps=300", "train.eval_from=300"),
    "full": ("train.steps=1500", "train.eval_every=500"),
}
#: A micro-batch is a step of the running averages, so that ramps are four times as long where there are four.
_GRIDS = ((SMALL, 4), (SORTED, 1))


def _arm(name: str) -> Arm:
    if not name.startswith(RENORM):
        return Arm(name)
    return Arm(name, grid=1 + [regime for regime, _ in _GRIDS].index(name.split(", ")[1]))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Test accuracy in points: batch renorm minus BN in both regimes, and minus BN by the whole batch."""
    points = side_by_side(runs, {name: _arm(name) for name in _ARMS})
    return Evidence(
        samples={
            SMALL: contrast(runs, _arm(f"{RENORM}, {SMALL}"), _arm(f"{BN}, {SMALL}")),
            SORTED: contrast(runs, _arm(f"{RENORM}, {SORTED}"), _arm(f"{BN}, {SORTED}")),
            WHOLE: contrast(runs, _arm(f"{RENORM}, {SMALL}"), _arm(f"{BN}, {WHOLE}")),
        },
        gates=runs.finished_gate(),
        numbers=means_words(points, of="test accuracy"),
        data={"points": points},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """What batch renorm reads more in both regimes."""
    small, by_class, points = verdicts[SMALL], verdicts[SORTED], evidence.data["points"]
    found = ending(small, "so it does help there", too_small="less than the 1 point that would matter",
                   reversed_="so it does harm there", open_="which leaves open whether it repairs them")  # fmt: skip
    return (
        f"With statistics of 4 examples at an SGD batch of 16, a ReLU net on digits reads {small.interval.in_words()} points "
        f"more with batch renorm than with BN, {found} (BN {points[f'{BN}, {SMALL}'].mean():.1f} %, with statistics of all 16 "
        f"{points[f'{BN}, {WHOLE}'].mean():.1f} %); where batches are of two classes {by_class.interval.in_words()} points (BN "
        f"{points[f'{BN}, {SORTED}'].mean():.1f} %, group norm {points[f'{GROUP}, {SORTED}'].mean():.1f} %)."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Test accuracy with BN, batch renorm and group norm where statistics are of 4 examples, of all 16, or of batches of two
    classes; a point is a seed, a bar the mean.
    """
    figure.set_size_inches(7.6, 4.6)
    points = evidence.data["points"]
    by_regime = {name: points[name] for regime in (SMALL, WHOLE, SORTED) for name in points if name.endswith(regime)}
    draw_arms_by_seed(by_regime, figure.subplots(), xlabel="test digits read right, %")


def _grid(names: Mapping[str, str], further: Mapping[str, tuple[str, ...]]) -> Grid:
    return Grid(
        overrides=(*NET, "optimizer.lr=0.1", "train.batch_size=16", "probes=none"),
        arms={name: f"{words} {_REGIMES[name.split(', ')[1]]}".strip() for name, words in names.items()},
        budgets={budget: (*DIGITS[budget], *steps, *further.get(budget, ())) for budget, steps in _STEPS.items()},
    )


def _ramps(passes: int) -> dict[str, tuple[str, ...]]:
    return {
        budget: (
            f"norm.warmup_steps={passes * start}", f"norm.r_ramp_steps={passes * ramp}", f"norm.d_ramp_steps={passes * ramp}"
        )
        for budget, (start, ramp) in _RAMPS.items()
    }


_POINT = Difference(null=0, smallest=1)

CLAIM = register(Claim(
    id="renorm_cure", section="H2",
    statement="Batch renormalisation repairs batch normalisation where batches are small or of few classes.",
    source="Ioffe 2017: Inception-v3, 76.5 instead of 74.2 % at micro-batches of 4, 78.5 instead of 67.0 % where batches are not "
    "independent",
    formula="test accuracy with batch renorm minus that with BN, in points, paired by seed: statistics of micro-batches of 4 at "
    "an SGD batch of 16 (train.accumulate=4), and batches of 16 examples of two classes",
    grids=(
        _grid({name: words for name, words in _ARMS.items() if not name.startswith(RENORM)}, {}),
        *(_grid({f"{RENORM}, {regime}": _ARMS[f"{RENORM}, {regime}"]}, _ramps(passes)) for regime, passes in _GRIDS),
    ),
    endpoints={
        SMALL: Endpoint("mean difference, statistics of 4 examples", _POINT, unit="points"),
        SORTED: Endpoint("mean difference, batches of two classes", _POINT, unit="points"),
        WHOLE: Endpoint("batch renorm with statistics of 4 minus BN with those of all 16: the two do the same",
                        Equivalence(margin=1), unit="points"),
    },
    caveats=(
        "A fully connected net, in which a statistic of 4 examples has 4 values.",
        "One learning rate, 0.1, for all arms.",
        "Classes are paired anew each epoch, so that running averages see all of them in turn.",
    ),
    overturn="Another rate: bnexp reproduce renorm_cure optimizer.lr=0.03",
    deviations=(
        "docs/claims.md, H2 compares with BN at m = 64; here it is the SGD batch of 16, so that the randomness of SGD is the "
        "same.",
        "The limits of the correction are in force after a tenth of training and whole after three tenths; running averages of "
        "both weigh the newest micro-batch by 0.05, where the source has 0.01 in a training hundreds of times as long.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
