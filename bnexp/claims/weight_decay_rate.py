"""I2. van Laarhoven 2017: with BN weight decay does not regularise; it keeps the weights short, and so sets their effective rate.

At equilibrium ||w||^4 = lr E||g||^2 / (2 lambda), g being the gradient at weights of length 1, so that the length goes like
(lr / lambda) to the power 1/4 as far as that gradient stays the same; and a net whose weights are put back to that length after
every step of SGD without weight decay should do as well.

Legend: R nets, L hidden layers, S seeds, A rates, B decays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.runs import stacked
from bnexp.claims.sphere import Digits, Nets, Training, digits, trained
from bnexp.claims.words import ending, means_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.figures.style import SERIES, plain_log_axis
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Equivalence, Scaling
from bnexp.stats.slopes import log_log_slopes

RATES, DECAYS = (0.1, 0.2, 0.4), (0.01, 0.02, 0.04)
DECAYED = [Training(lr=lr, decay=decay) for lr in RATES for decay in DECAYS]
NUM_STEPS = {"smoke": 60, "quick": 800, "full": 4000}
WIDTH = {"smoke": 8, "quick": 16, "full": 64}
#: Factor on He's initial weights, from which lengths settle sooner; with BN it changes nothing but the first rates.
START = 0.25
#: Lengths are means over the second half of the steps, accuracies over as many evaluations in the last quarter.
NUM_SCORES = {"smoke": 1, "quick": 6, "full": 12}
L2, FIXED, NEITHER = "weight decay", "length fixed, no weight decay", "neither"
SETTLED = "lengths have settled: from the third to the last quarter of the steps they change by less than 10 %"
MATTERS = "weight decay does matter: without it, at the same rate, test accuracy differs by more than 0.3 points"


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """Mean lengths of the nets with weight decay ``[R, L]``; accuracy of these, of those with fixed lengths, of those with
    neither ``[3, R]``, in points.
    """
    data = digits()
    first, lengths = _run(DECAYED, seed, budget, data)
    mean_RL = np.mean(lengths[len(lengths) // 2 :], axis=0)
    others = [replace(one, decay=0.0, lengths=tuple(mean_RL[place])) for place, one in enumerate(DECAYED)]
    others += [replace(DECAYED[place * len(DECAYS)], decay=0.0) for place in range(len(RATES))]
    second, _ = _run(others, seed, budget, data)
    neither = np.repeat(second[len(DECAYED) :], len(DECAYS))
    halves = np.array_split(np.array(lengths[len(lengths) // 2 :]), 2)
    return {
        "lengths": mean_RL,
        "settled": halves[1].mean(0) / halves[0].mean(0),
        "accuracy": np.stack([first, second[: len(DECAYED)], neither]),
    }


def _run(trainings: list[Training], seed: int, budget: str, data: Digits) -> tuple[np.ndarray, list[np.ndarray]]:
    nets, num_steps = Nets(trainings, seed, width=WIDTH[budget]), NUM_STEPS[budget]
    scored = set(np.linspace(0.75 * num_steps, num_steps, NUM_SCORES[budget] + 1).astype(int)[1:])
    for weight in nets.weights:
        weight *= START
    lengths, scores = [], []
    for step in trained(nets, data, seed, num_steps):
        lengths.append(nets.lengths())
        if step in scored:
            scores.append(nets.accuracy(data))
    return np.mean(scores, axis=0), lengths


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Exponents of the length, and accuracies with weight decay, with fixed lengths, with neither; means over the grid per
    seed."""
    length_SR = np.exp(np.log(stacked(runs, "lengths")).mean(-1))
    length_SAB = length_SR.reshape(-1, len(RATES), len(DECAYS))
    points_S3R = stacked(runs, "accuracy")
    ratio_R = np.array([one.lr / one.decay for one in DECAYED])
    by_arm = dict(zip((L2, FIXED, NEITHER), points_S3R.mean(-1).T, strict=True))
    change = float(np.abs(stacked(runs, "settled").mean(axis=0) - 1).max())
    matters_S = by_arm[L2] - by_arm[NEITHER]
    return Evidence(
        samples={
            "length": Sample.of(log_log_slopes(ratio_R, length_SR)),
            "length, decay alone": Sample.of(-log_log_slopes(DECAYS, np.exp(np.log(length_SAB).mean(1)))),
            "length, rate alone": Sample.of(log_log_slopes(RATES, np.exp(np.log(length_SAB).mean(2)))),
            "fixed length instead": Sample.of(by_arm[FIXED], by_arm[L2]),
        },
        gates={SETTLED: change < 0.1, MATTERS: Gate.above(0.3, np.sign(matters_S.mean()) * matters_S)},
        numbers=means_words(by_arm, digits=2, of="test accuracy")
        | {"lengths between the third and the last quarter": f"change by at most {100 * change:.1f} %"},
        data={"ratio": ratio_R, "length": length_SR, "arms": by_arm},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The exponent, and whether a fixed length does as well."""
    length, fixed = verdicts["length"], verdicts["fixed length instead"]
    points = {arm: values.mean() for arm, values in evidence.data["arms"].items()}
    return (
        "In front of BN, weights trained with weight decay settle at a length that goes like (learning rate / decay) to the "
        f"power {length.interval.in_words()}, "
        + ending(length, "as theory's 1/4 says within 0.05", too_small="which is not theory's 1/4")
        + f"; nets without weight decay whose weights are put back to that length after every step read {points[FIXED]:.1f} % "
        f"of the test digits instead of {points[L2]:.1f} % (a difference of {fixed.interval.in_words()} points), "
        + ending(fixed, "the same within 0.3 points", too_small="which is not the same within 0.3 points",
                 open_="which leaves open whether that is the same within 0.3 points")
        + f", and nets with neither {points[NEITHER]:.1f} %."
    )  # fmt: skip


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left, the settled length (geometric mean over layers) by rate over decay, a point a net and seed, and the slope of theory.
    Right, test accuracy, mean over rates and decays, a point a seed.
    """
    figure.set_size_inches(8.6, 3.8)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    ratio_R, length_SR = evidence.data["ratio"], evidence.data["length"]
    for (color, marker, _), lr in zip(SERIES, RATES, strict=False):
        own = [place for place, one in enumerate(DECAYED) if one.lr == lr]
        for label, values_R in zip((f"learning rate {lr:g}", *[None] * len(length_SR)), length_SR[:, own], strict=False):
            left.plot(ratio_R[own], values_R, marker, color=color, markersize=4.5, fillstyle="none", linewidth=0, label=label)
    grid = np.geomspace(ratio_R.min(), ratio_R.max(), 10)
    start = np.exp(np.log(length_SR).mean() - 0.25 * np.log(ratio_R).mean())
    left.plot(grid, start * grid**0.25, color="#555555", linestyle=(0, (4, 2)), linewidth=1, label="theory: power 1/4")
    left.set(xscale="log", xlabel="learning rate / weight decay", ylabel="settled length ||w||")
    plain_log_axis(left, length_SR.ravel().tolist())
    places = np.unique(ratio_R.round(6))
    left.set_xticks(places, [f"{place:g}" for place in places])
    left.minorticks_off()
    left.legend(fontsize=8)
    draw_arms_by_seed(evidence.data["arms"], right, xlabel="test accuracy, %")


_LAW = Scaling(predicted=0.25, rival=0.0, within=0.05)

CLAIM = register(Claim(
    id="weight_decay_rate", section="I2",
    statement="In front of batch normalisation weight decay acts through the length of the weights alone, that is through the "
    "rate.",
    source="van Laarhoven 2017; the power 1/4 is derived in docs/claims.md, I2",
    formula="slope of the log of the settled length (mean over the second half of the steps, geometric mean over two hidden "
    "layers) on log(rate / decay) over 3 rates x 3 decays; test accuracy with the weights put back to these lengths after every "
    "step and no weight decay, minus with weight decay, mean over the nine and over the last quarter of the steps",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 8}),
    endpoints={
        "length": Endpoint("exponent of the length on rate / decay, all nine pairs", _LAW),
        "length, decay alone": Endpoint("exponent on 1 / decay at each rate, averaged over rates", _LAW),
        "length, rate alone": Endpoint("exponent on the rate at each decay, averaged over decays", _LAW),
        "fixed length instead": Endpoint("mean difference of test accuracy, fixed length minus weight decay",
                                         Equivalence(margin=0.3), unit="points"),
    },
    gates=(SETTLED, MATTERS),
    caveats=(
        "A rate c times as large with a decay c times as small is the same training with weights sqrt(c) times as long, whatever "
        "the task, so that over the whole grid the exponent tests that lengths have settled; along one of the two alone it tests "
        "whether the gradient at length 1 stays the same.",
        "Weight decay acts on the hidden weights alone; on the output layer, gamma and beta it does regularise. Small nets on "
        "digits of 14x14 pixels, where there is little to regularise.",
    ),
    overturn="A task on which fixed lengths read fewer test examples than weight decay: another data set, a larger net",
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "docs/claims.md, I2 (c), weight decay on the other weights alone, is not built.",
        "The fixed length is the one that the same net settles at with weight decay, so that early in training the two differ.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
