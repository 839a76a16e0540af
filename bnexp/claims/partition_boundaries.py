"""O2.8. Balestriero & Baraniuk: BN puts the boundaries at which a net bends where the data are, before any training.

A ReLU unit bends along a hyperplane of its layer's input space. With BN the hyperplane goes through the mean of the batch, by
construction; without it, it goes through the origin, wherever the batch lies.

Legend: L layers, B examples, N units, D inputs, K batches, S seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, activate, gaussian, gaussian_weights, normalize
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.rng import numpy_stream
from bnexp.stats.rules import Difference, Exact

if TYPE_CHECKING:
    from torch import Tensor

WIDTH, DEPTH, BATCH = 100, 6, 60
NUM_BATCHES = {"smoke": 2, "quick": 8, "full": 16}
NORMS = {"BN": True, "none": False}


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Share of the units whose hyperplane cuts the batch, and distance of the median example to the nearest hyperplane, by layer
    and batch of digits. Shape ``[K, L]`` each."""
    import torch

    from bnexp.data import SOURCES, default_data_dir

    images = torch.from_numpy(SOURCES["mnist_5k"].load(default_data_dir()).train.images)
    pixels = images.flatten(1).double() / 255
    mean, sd = pixels.mean(), pixels.std()
    order = numpy_stream(seed, "claims/partition_boundaries")
    first_DN = gaussian(seed, "partition_boundaries/first", pixels.shape[1], WIDTH) / pixels.shape[1] ** 0.5
    weights = [weight * GAINS["relu"] for weight in (first_DN, *gaussian_weights(seed, "partition_boundaries", DEPTH - 1, WIDTH))]
    found: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in NORMS}
    for _ in range(NUM_BATCHES[budget]):
        x_BD = (pixels[order.choice(len(pixels), BATCH, replace=False)] - mean) / sd
        for name, norm in NORMS.items():
            found[name].append(_by_layer(x_BD, weights, norm))
    return {
        f"{name}, {what}": np.array(rows)[:, :, index]
        for name, rows in found.items()
        for index, what in enumerate(("cut", "distance"))
    }


def _by_layer(u_BD: Tensor, weights: list[Tensor], norm: bool) -> list[tuple[float, float]]:
    rows = []
    for weight_DN in weights:
        z_BN = u_BD @ weight_DN
        rows.append(boundaries(u_BD, weight_DN, z_BN.mean(0) if norm else 0.0))
        u_BD = activate(normalize(z_BN) if norm else z_BN, "relu")
    return rows


def boundaries(u_BD: Tensor, weight_DN: Tensor, threshold: Tensor | float) -> tuple[float, float]:
    """Of the hyperplanes u W = threshold: the share with examples on both sides, and how far the median example is from the nearest
    one, in units of the examples' root mean square distance from their mean."""
    side_BN = u_BD @ weight_DN - threshold
    cut = ((side_BN.amin(0) < 0) & (side_BN.amax(0) > 0)).double().mean()
    spread = (u_BD - u_BD.mean(0)).square().sum(1).mean().sqrt()
    nearest_B = (side_BN.abs() / weight_DN.norm(dim=0)).amin(1)
    return float(cut), float(nearest_B.median() / spread)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Per seed the share of all units that are cut, in points, and the median distance over layers and batches."""
    cut = {name: 100 * stacked(runs, f"{name}, cut").mean(1) for name in NORMS}
    distance = {name: np.median(stacked(runs, f"{name}, distance"), axis=1) for name in NORMS}
    every = stacked(runs, "BN, cut").ravel()
    return Evidence(
        samples={
            "cut": Sample.of(cut["BN"].mean(1), cut["none"].mean(1)),
            "all with BN": Sample.of(1 - every),
            "distance": Sample.of(*(np.exp(np.log(distance[name]).mean(1)) for name in ("BN", "none"))),
        },
        numbers={
            **{f"units cut at layers 1 to {DEPTH}, {name}": _words(rows, " %", 0) for name, rows in cut.items()},
            **{f"distance to the nearest boundary, {name}": _words(rows, "", 4) for name, rows in distance.items()},
        },
        data={"cut": cut, "distance": distance},
    )


def _words(rows_SL: np.ndarray, unit: str, digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}{unit}" for value in rows_SL.mean(0))


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Shares with BN and without, and what they mean for the distance."""
    cut = {name: np.asarray(rows_SL).mean(0) for name, rows_SL in evidence.data["cut"].items()}
    end = ending(verdicts["cut"], "so BN puts more boundaries among the data", too_small="a difference too small to matter",
                 open_="which does not settle whether BN puts more boundaries among the data")  # fmt: skip
    return (
        f"Before any training the bending hyperplanes of {cut['BN'].mean():.0f} % of the units of a six-layer ReLU net cut "
        f"through a batch of {BATCH} digits with BN, by construction, and of {cut['none'].mean():.0f} % without, "
        f"{cut['none'][0]:.0f} % in the first layer and {cut['none'][-1]:.0f} % in the last: {end}; the median digit is "
        f"{estimate_words(verdicts['distance'], digits=2)} times as far from the nearest boundary without BN as with it."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """By layer: share of the units whose hyperplane cuts the batch, and the median example's distance to the nearest one."""
    figure.set_size_inches(8.6, 3.8)
    left, right = figure.subplots(1, 2)
    labels, layers = {"BN": "with BN", "none": "without"}, np.arange(1, DEPTH + 1)
    for axes, what, ylabel in (
        (left, "cut", f"units whose boundary cuts a batch of {BATCH}, %"),
        (right, "distance", "distance of the median digit to the\nnearest boundary / spread of the batch"),
    ):
        series = {labels[name]: np.asarray(rows_SL) for name, rows_SL in evidence.data[what].items()}
        draw_series(layers, series, axes, xlabel="hidden layer", ylabel=ylabel)
        axes.set_ylim(bottom=0)


CLAIM = register(Claim(
    id="partition_boundaries", section="O2.8",
    statement="Before any training batch normalisation puts the boundaries at which a ReLU net bends where the data are.",
    source="Balestriero & Baraniuk 2022",
    formula="share of the units whose hyperplane {u: w u = mean of w u over the batch}, without BN {u: w u = 0}, has examples of "
    "the batch on both sides; distance |w u - threshold| / |w| to the nearest one, over the examples' root mean square distance "
    "from their mean",
    measurement=Measurement(measure=measure, num_seeds=SEEDS),
    endpoints={
        "cut": Endpoint("share of all hidden units whose hyperplane cuts the batch, with BN minus without",
                        Difference(null=0, smallest=5), unit="points"),
        "all with BN": Endpoint("share of the units that do not cut the batch with BN, by layer and batch", Exact(tolerance=0)),
        "distance": Endpoint("distance of the median example to the nearest hyperplane of its layer, mean of the layers' "
                             "logarithms: ratio of without over with BN", Difference(null=1, smallest=1.1, scale="ratio")),
    },
    caveats=(
        "That all units cut the batch with BN is so by construction: a mean lies between its smallest and its largest value. "
        "What is found out is how many do without.",
        "Nets are only initialised, without BN with He's weights and biases of 0; whether boundaries near the data help training "
        "is not asked.",
        "Distances are in the input space of each layer, in units of the spread of the batch there.",
    ),
    overturn="Other inputs or biases without BN: measure in bnexp/claims/partition_boundaries.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
