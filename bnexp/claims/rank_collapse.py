"""L2. Daneshmand et al.: in random deep nets the rank of the hidden layer collapses to 1; with BN it stays at sqrt(width).

Legend: L layers, D widths, S seeds, K kinds of rank.
"""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, gaussian, gaussian_weights, gram, soft_rank, states
from bnexp.claims.runs import first_measured, stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.figures.style import plain_log_axis
from bnexp.stats.rules import Difference, Scaling
from bnexp.stats.slopes import log_log_slopes

WIDTHS = {"smoke": (16, 32), "quick": (32, 64, 128, 256), "full": (32, 64, 128, 256, 512)}
#: The width whose ranks are compared with and without BN, the source's.
COMPARED = {"smoke": 32, "quick": 128, "full": 128}
DEPTH = 100
ACTIVATIONS = {"linear": "linear", "relu": "ReLU"}
NORMS = {"BN": True, "none": False}
#: The layers that are looked at (0 is the input); a rank is the mean over the last ten, so that no single layer decides.
LATE = 10
LAYERS = (0, 1, 2, 3, 4, 6, 8, 10, 14, 20, 26, 32, 42, 54, 70, 90, *range(DEPTH - LATE + 1, DEPTH + 1))
#: The layers of which the sheet has ranks.
TOLD = (1, 10, 32, 100)


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Soft rank of the input and of what leaves the layers of LAYERS, as it is and centred ``[2, L]``, by activation, norm, width.

    The batch is as large as the net is wide; all arms of a width have the same weights and inputs.
    """
    found = {}
    for width in WIDTHS[budget]:
        x_BN = gaussian(seed, f"rank_collapse/{width}/x", width, width)
        weights_LNN = gaussian_weights(seed, f"rank_collapse/{width}", DEPTH, width)
        for activation in ACTIVATIONS:
            for name, norm in NORMS.items():
                passed = states(x_BN, weights_LNN * GAINS[activation], activation=activation, norm=norm)
                rows = [
                    [float(soft_rank(gram(h_BN, centred=centred))) for centred in (False, True)]
                    for layer, h_BN in enumerate(passed)
                    if layer in LAYERS
                ]
                found[f"{activation}, {name}, {width}"] = np.array(rows).T
    return found


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The exponent of the rank in the width, and the ranks with BN and without at one width."""
    widths, compared = WIDTHS[runs.budget], COMPARED[runs.budget]
    ranks = {key: stacked(runs, key) for key in first_measured(runs)}  # [S, 2, L]
    late = {key: values[:, :, -LATE:].mean(-1) for key, values in ranks.items()}  # [S, 2]
    by_width = {
        f"{activation}, {name}": np.stack([late[f"{activation}, {name}, {width}"] for width in widths], axis=-1)
        for activation in ACTIVATIONS
        for name in NORMS
    }  # [S, 2, D]

    def against(activation: str, kind: int) -> Sample:
        """A ratio is of the second over the first: BN over none."""
        return Sample.of(*(late[f"{activation}, {name}, {compared}"][:, kind] for name in ("none", "BN")))

    return Evidence(
        samples={
            "exponent": Sample.of(log_log_slopes(widths, by_width["linear, BN"][:, 0])),
            "linear: BN / none": against("linear", 0),
            "ReLU: BN / none": against("relu", 0),
            "ReLU, centred: BN / none": against("relu", 1),
            "exponent, ReLU": Sample.of(log_log_slopes(widths, by_width["relu, BN"][:, 0])),
        },
        numbers={
            f"soft rank at layers {', '.join(map(str, TOLD))}, {key} units{kind}": ", ".join(
                f"{ranks[key][:, index, LAYERS.index(layer)].mean():.1f}" for layer in TOLD
            )
            for key in ranks
            if key.endswith(f", {compared}")
            for index, kind in enumerate(("", ", centred"))
        },
        data={"ranks": {key: ranks[key][:, 0] for key in ranks if key.endswith(f", {compared}")},
              "by_width": {key: value[:, 0] for key, value in by_width.items()}, "widths": widths, "compared": compared},
    )  # fmt: skip


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The exponent in linear nets with BN, and how many times the rank is with BN what it is without at depth 100."""
    width, exponent = evidence.data["compared"], verdicts["exponent"]
    ratio = {name: estimate_words(verdicts[f"{name}: BN / none"], digits=1) for name in ("linear", "ReLU", "ReLU, centred")}
    return (
        f"After {DEPTH} layers of a random linear net with BN and as many examples as units the soft rank of what it computes "
        f"grows with the width like its power {estimate_words(exponent, digits=2)}, "
        + ending(exponent, "which is theory's square root within .15", too_small="which is not theory's square root",
                 open_="which does not settle theory's square root")
        + f" (with ReLU like its power {estimate_words(verdicts['exponent, ReLU'], digits=2)}); at {width} units the "
        f"linear net's is {ratio['linear']} times that without BN, with ReLU and He's weights {ratio['ReLU']} times, and "
        f"{ratio['ReLU, centred']} times where the examples' mean is taken out of both."
    )  # fmt: skip


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left: soft rank by layer at one width, with BN and without. Right: the rank of the last layers against the width."""
    figure.set_size_inches(8.6, 3.9)
    left, right = figure.subplots(1, 2)
    names = {f"{activation}, {name}": f"{words}, {'BN' if norm else 'without'}"
             for activation, words in ACTIVATIONS.items() for name, norm in NORMS.items()}  # fmt: skip
    ranks, widths, compared = evidence.data["ranks"], np.asarray(evidence.data["widths"]), evidence.data["compared"]
    draw_series(np.array(LAYERS) + 1, {words: np.asarray(ranks[f"{key}, {compared}"]) for key, words in names.items()}, left,
                theory={"square root of the width": np.full(len(LAYERS), compared**0.5)},
                xlabel=f"layer + 1 (1: the input), {compared} units", ylabel="soft rank tr(M)² / ||M||²")  # fmt: skip
    draw_series(widths, {words: np.asarray(evidence.data["by_width"][key]) for key, words in names.items()}, right,
                theory={"square root of the width": widths**0.5}, xlabel="units a layer = examples a batch",
                ylabel=f"soft rank, layers {LAYERS[-LATE]} to {DEPTH}")  # fmt: skip
    for axes in (left, right):
        axes.set_xscale("log")
        plain_log_axis(axes, (1, 15))
    left.set_xticks([1, 2, 11, 33, 101], ["1", "2", "11", "33", "101"])
    left.minorticks_off()
    right.set_xticks(widths, [str(width) for width in widths])
    right.minorticks_off()


_LATE_WORDS = f"mean soft rank of layers {LAYERS[-LATE]} to {DEPTH}"
_RATIO = Difference(null=2, smallest=3, scale="ratio")

CLAIM = register(Claim(
    id="rank_collapse", section="L2",
    statement="Random deep nets lose the rank of their hidden layers down to 1; with batch normalisation it stays at the order "
    "of the square root of the width.",
    source="Daneshmand et al. 2020",
    formula="r(H) = tr(M)^2 / ||M||_F^2, M = H'H / B, of what leaves a layer; B = N; slope of log r on log N; ratio of r with BN "
    "over that without",
    measurement=Measurement(measure=measure, num_seeds={**SEEDS, "quick": 6}),
    endpoints={
        "exponent": Endpoint(f"log-log slope of the {_LATE_WORDS} on the width, linear nets with BN",
                             Scaling(predicted=0.5, rival=0, within=0.15)),
        "linear: BN / none": Endpoint(f"{_LATE_WORDS}, linear nets of 128 units: ratio with BN over without", _RATIO),
        "ReLU: BN / none": Endpoint(f"{_LATE_WORDS}, ReLU nets of 128 units: ratio with BN over without (He)", _RATIO),
        "ReLU, centred: BN / none": Endpoint("the same of the centred layers", _RATIO),
        "exponent, ReLU": Endpoint(f"log-log slope of the {_LATE_WORDS} on the width, ReLU nets with BN",
                                   Scaling(predicted=0.5, rival=0, within=0.15)),
    },
    caveats=(
        "Nets are only initialised. That SGD starts the better for a higher rank, and that an initialisation of low rank stalls "
        "nets with BN too, are not asked.",
        "ReLU nets without BN collapse along the examples' mean: the endpoint for centred layers is what is left beside it.",
    ),
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "The batch is as large as the net is wide, at every width; the source has 128 of both.",
        "Without BN weights are He's (ReLU) or of variance 1 / N (linear), not PyTorch's default; r does not depend on their "
        "scale.",
    ),
    overturn="Another depth, batch or activation: DEPTH, WIDTHS and ACTIVATIONS in bnexp/claims/rank_collapse.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
