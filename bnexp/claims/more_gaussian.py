"""B11, its first half. The paper: Wu + b is "more Gaussian" than u, so that normalising it steadies more (section 3.2).

Legend: M examples, N units, L layers, S seeds.
"""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, activate, gaussian, gaussian_weights, normalize
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.rng import numpy_stream
from bnexp.stats.rules import Difference

WIDTH, DEPTH = 100, 6
NUM_EXAMPLES = {"smoke": 200, "quick": 2000, "full": 4000}
#: Label to (nonlinearity, whether BN stands in front of it).
ARMS = {
    "ReLU, BN": ("relu", True),
    "ReLU, without": ("relu", False),
    "sigmoid, BN": ("sigmoid", True),
    "tanh, BN": ("tanh", True),
}


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """The median unit's distance from its fitted Gaussian, of z = W u and of u = g(norm(z)), by layer and arm. Shape ``[L]``."""
    import torch

    from bnexp.data import SOURCES, default_data_dir

    images = torch.from_numpy(SOURCES["mnist_5k"].load(default_data_dir()).train.images)
    chosen = numpy_stream(seed, "claims/more_gaussian").choice(len(images), NUM_EXAMPLES[budget], replace=False)
    pixels = images[torch.from_numpy(chosen)].flatten(1).double() / 255
    first_DN = gaussian(seed, "more_gaussian/first", pixels.shape[1], WIDTH) / pixels.shape[1] ** 0.5
    weights = [first_DN, *gaussian_weights(seed, "more_gaussian", DEPTH - 1, WIDTH)]
    found: dict[str, np.ndarray] = {}
    for name, (activation, norm) in ARMS.items():
        u_MN, rows = (pixels - pixels.mean()) / pixels.std(), []
        for weight_DN in weights:
            z_MN = u_MN @ weight_DN * GAINS[activation]
            u_MN = activate(normalize(z_MN) if norm else z_MN, activation)
            rows.append([np.nanmedian(from_gaussian(one.numpy())) for one in (z_MN, u_MN)])
        found |= {f"{name}, z": np.array(rows)[:, 0], f"{name}, u": np.array(rows)[:, 1]}
    return found


def from_gaussian(x_MN: np.ndarray) -> np.ndarray:
    """Wasserstein distance (W1) of each unit's values from the Gaussian of their mean and sd, in units of that sd; NaN where the
    unit never changes. Shape ``[M, N]`` to ``[N]``."""
    from scipy import stats

    sd_N = x_MN.std(0)
    standard_MN = (x_MN - x_MN.mean(0)) / np.where(sd_N > 0, sd_N, np.nan)
    ranks_M = (np.arange(len(x_MN)) + 0.5) / len(x_MN)
    return np.abs(np.sort(standard_MN, axis=0) - stats.norm.ppf(ranks_M)[:, None]).mean(0)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Per seed and arm the distance of z and of u, geometric mean over the layers."""
    by_layer = {f"{name}, {what}": stacked(runs, f"{name}, {what}") for name in ARMS for what in "zu"}
    mean = {key: np.exp(np.log(rows_SL).mean(1)) for key, rows_SL in by_layer.items()}
    return Evidence(
        # a ratio is of the second over the first
        samples={name: Sample.of(mean[f"{name}, z"], mean[f"{name}, u"]) for name in ARMS},
        numbers={
            f"distance from a Gaussian at layers 1 to {DEPTH}, {key}": ", ".join(f"{value:.3f}" for value in rows_SL.mean(0))
            for key, rows_SL in by_layer.items()
        },
        data={"by_layer": by_layer},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """How many times as far from a Gaussian u is as z, by nonlinearity."""
    times = {name: estimate_words(verdict, digits=2) for name, verdict in verdicts.items()}
    end = ending(verdicts["ReLU, BN"], "so that Wu is the more Gaussian of the two",
                 too_small="which is too little to call Wu more Gaussian",
                 reversed_="so that u is the more Gaussian of the two",
                 open_="which leaves open which of the two is more Gaussian")  # fmt: skip
    return (
        f"Before training, in nets of {DEPTH} ReLU layers with BN that see digits, what a unit puts out is "
        f"{times['ReLU, BN']} times as far from a Gaussian as Wu, {end} (without BN {times['ReLU, without']} times); with "
        f"sigmoid it is {times['sigmoid, BN']} times and with tanh {times['tanh, BN']} times as far."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Distance from a Gaussian by layer, of z (left of the nonlinearity) and of u (right of it), a panel an arm."""
    figure.set_size_inches(8.6, 5.4)
    panels = list(figure.subplots(2, 2, sharex=True, sharey=True).flat)
    for axes, name in zip(panels, ARMS, strict=True):
        series = {f"{words}": np.asarray(evidence.data["by_layer"][f"{name}, {what}"]) for what, words in (("z", "Wu"), ("u", "u"))}
        draw_series(np.arange(1, DEPTH + 1), series, axes, xlabel="", ylabel="")
        axes.annotate(name, (0.97, 0.9), xycoords="axes fraction", ha="right", fontweight="bold")
        axes.set_ylim(0, 0.6)
    for axes in panels[2:]:
        axes.set_xlabel("hidden layer")
    for axes in panels[::2]:
        axes.set_ylabel("W1 to the fitted Gaussian, in sd")


CLAIM = register(Claim(
    id="more_gaussian", section="B11",
    statement="Wu + b is more Gaussian than u, the output of the nonlinearity before it.",
    source='Ioffe & Szegedy 2015, section 3.2: "more symmetric, non-sparse distribution, that is more Gaussian"',
    disputed_by="practice: in some nets BN behind the nonlinearity does better (docs/claims.md, B11), which is not asked here",
    formula="Wasserstein distance of a unit's values over examples from the Gaussian of their mean and sd, in units of the sd; "
    "median unit, geometric mean over layers; ratio of u = g(norm(z)) over z = W u",
    measurement=Measurement(measure=measure, num_seeds={**SEEDS, "quick": 6}),
    endpoints={
        name: Endpoint(f"distance from the fitted Gaussian, ratio of u over Wu, {name}",
                       Difference(null=1, smallest=1.5, scale="ratio"))
        for name in ARMS
    },
    caveats=(
        "Nets are only initialised: a weighted sum of a hundred outputs with random weights has to be nearly Gaussian. What "
        "training makes of it is not asked.",
        "That a distribution is more Gaussian does not say that normalising it does more good.",
    ),
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "Of the paper's three words only the last is judged; symmetry and sparsity follow it for ReLU.",
    ),
    overturn="Another nonlinearity or other data: ARMS and measure in bnexp/claims/more_gaussian.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
