"""B14. The paper's conjecture: BN "may" bring the singular values of layer Jacobians near 1 (section 3.3).

The paper argues from z^ = J x^ with both white, which gives J J' = I. A layer of units side by side is neither linear nor whitened.

Legend: L layers, B examples, N units, E examples whose Jacobians are taken, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, activate, gaussian, gaussian_weights, normalize
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending
from bnexp.figures.style import SERIES
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = {"smoke": 32, "quick": 128, "full": 256}
BATCH = 64
#: Jacobians are taken from layer FIRST on, where the statistics of the layers no longer change, of NUM_LAYERS layers.
FIRST, NUM_LAYERS = 6, 6
NUM_EXAMPLES = 4
ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh", "sigmoid": "sigmoid", "linear": "linear"}
#: Singular values that count as near 1.
NEAR = (2 / 3, 3 / 2)
#: Where the picture counts singular values.
EDGES = np.concatenate([[0.0], np.geomspace(0.05, 5, 31), [np.inf]])


@dataclass(frozen=True)
class Arm:
    """How the layers of a net begin: with BN, or without it and with weights of standard deviation gain / sqrt(N)."""

    norm: bool
    gain: float


def arms_of(activation: str) -> dict[str, Arm]:
    """The arms of a nonlinearity: with BN, with the usual weights, and for sigmoid with four times Glorot's."""
    found = {"BN": Arm(True, 1.0), "usual": Arm(False, GAINS[activation])}
    return found | ({"four times": Arm(False, 4.0)} if activation == "sigmoid" else {})


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Of each arm: mean squared singular value of an example in eval mode and of the batch, share near 1, counts in ``EDGES``."""
    width = WIDTH[budget]
    weights_LNN = gaussian_weights(seed, "jacobian_near_one/weights", FIRST + NUM_LAYERS, width)
    x_BN = gaussian(seed, "jacobian_near_one/x", BATCH, width)
    found: dict[str, np.ndarray] = {}
    for activation in ACTIVATIONS:
        for name, arm in arms_of(activation).items():
            values, of_batch = [], []
            for layer, (before_BN, weight_NN) in enumerate(_received(x_BN, weights_LNN * arm.gain, activation, arm.norm)):
                if layer >= FIRST:
                    values.append(singular_values(before_BN, weight_NN, activation, arm.norm))
                    of_batch.append(batch_mean_square(before_BN, weight_NN, activation, arm.norm, seed))
            flat = np.concatenate(values).ravel()
            key = f"{activation}, {name}"
            found[f"{key}, example"] = np.array(np.square(flat).mean())
            found[f"{key}, batch"] = np.array(np.mean(of_batch))
            found[f"{key}, near"] = np.array(((flat > NEAR[0]) & (flat < NEAR[1])).mean())
            found[f"{key}, counts"] = np.histogram(flat, EDGES)[0]
    return found


def _received(x_BN: Tensor, weights_LNN: Tensor, activation: str, norm: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """What each layer receives, x^ or z of the layer before, with the weights that follow its nonlinearity."""
    for weight_NN in weights_LNN:
        yield x_BN, weight_NN
        x_BN = layer_map(x_BN, weight_NN, activation, norm)


def layer_map(x_BN: Tensor, weight_NN: Tensor, activation: str, norm: bool) -> Tensor:
    """From one layer's x^ to the next one's, norm(g(x^) W), or without BN from z to z. Shape ``[B, N]``."""
    z_BN = activate(x_BN, activation) @ weight_NN
    return normalize(z_BN) if norm else z_BN


def singular_values(x_BN: Tensor, weight_NN: Tensor, activation: str, norm: bool) -> np.ndarray:
    """Of d x^_next / d x^ for the first examples, the batch's mean and variance held fixed, as in eval mode. Shape ``[E, N]``."""
    import torch

    z_BN = activate(x_BN, activation) @ weight_NN
    scale_N = z_BN.std(0, correction=0) if norm else torch.ones_like(z_BN[0])
    some_EN = x_BN[:NUM_EXAMPLES].clone().requires_grad_()
    (slope_EN,) = torch.autograd.grad(activate(some_EN, activation).sum(), some_EN)
    return torch.linalg.svdvals(slope_EN[:, :, None] * (weight_NN / scale_N)).numpy()


def batch_mean_square(x_BN: Tensor, weight_NN: Tensor, activation: str, norm: bool, seed: int, num_probes: int = 8) -> float:
    """Mean squared singular value of the Jacobian of the whole batch, statistics and all, by Hutchinson's estimate."""
    import torch

    given_BN = x_BN.clone().requires_grad_()
    out_BN = layer_map(given_BN, weight_NN, activation, norm)
    probes = gaussian(seed, "jacobian_near_one/probes", num_probes, *out_BN.shape)
    pulled = [torch.autograd.grad(out_BN, given_BN, probe_BN, retain_graph=True)[0] for probe_BN in probes]
    return float(torch.stack(pulled).square().mean())


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """How far the mean squared singular value is from 1 in logarithms, with BN against without; the share of values near 1."""
    read = partial(stacked, runs)

    def away(key: str) -> np.ndarray:
        return np.abs(np.log(read(key)))

    keys = {f"{a}, {name}": f"{words}, {name}" for a, words in ACTIVATIONS.items() for name in arms_of(a)}
    return Evidence(
        samples={
            **{words: Sample.of(away(f"{a}, BN, example"), away(f"{a}, usual, example")) for a, words in ACTIVATIONS.items()},
            FOUR_TIMES: Sample.of(away("sigmoid, BN, example"), away("sigmoid, four times, example")),
            WHOLE: Sample.of(away("relu, BN, batch"), away("relu, usual, batch")),
            **{
                f"{words}: near 1": Sample.of(100 * read(f"{a}, BN, near"), 100 * read(f"{a}, usual, near"))
                for a, words in ACTIVATIONS.items()
            },
        },
        numbers={
            f"mean squared singular value, {words}": f"{read(f'{key}, example').mean():.3f} per example in eval mode, "
            f"{read(f'{key}, batch').mean():.3f} of the whole batch; {100 * read(f'{key}, near').mean():.0f} % of the values "
            "near 1"
            for key, words in keys.items()
        },
        data={
            "square": {key: float(read(f"{key}, example").mean()) for key in keys},
            "near": {key: 100 * float(read(f"{key}, near").mean()) for key in keys},
            "counts": {key: read(f"{key}, counts").sum(axis=0) for key in keys},
        },
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Mean squared singular values with BN and without, for ReLU with its verdict, for sigmoid, and how many values are near 1."""
    square, near = evidence.data["square"], evidence.data["near"]
    end = ending(verdicts["ReLU"], "so that BN brings it nearer to 1", too_small="so that BN does not bring it nearer to 1",
                 reversed_="so that BN takes it away from 1", open_="which leaves open whether BN brings it nearer to 1")
    return (
        f"In random ReLU nets the mean squared singular value of a layer's Jacobian is {square['relu, BN']:.2f} with BN (theory "
        f"{math.pi / (math.pi - 1):.3f}) and {square['relu, usual']:.2f} with He's weights alone, {end}; with sigmoid it is "
        f"{square['sigmoid, BN']:.2f} with BN, {square['sigmoid, usual']:.2f} with Glorot's weights and "
        f"{square['sigmoid, four times']:.2f} with four times those; and it is a mean of values that spread: with BN "
        f"{near['relu, BN']:.0f} % (ReLU) and {near['sigmoid, BN']:.0f} % (sigmoid) of them lie between 2/3 and 3/2."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """How singular values are distributed, a panel a nonlinearity: share of them in bins that are even in logarithms."""
    figure.set_size_inches(8.6, 5.4)
    panels = figure.subplots(2, 2, sharex=True).flat
    middles = np.sqrt(EDGES[1:-2] * EDGES[2:-1])
    labels = {"BN": "BN", "usual": "without (He or Glorot)", "four times": "without, four times Glorot"}
    for axes, (activation, words) in zip(panels, ACTIVATIONS.items(), strict=True):
        for (color, marker, style), name in zip(SERIES, arms_of(activation), strict=False):
            counts = np.asarray(evidence.data["counts"][f"{activation}, {name}"])
            square = evidence.data["square"][f"{activation}, {name}"]
            axes.plot(middles, 100 * counts[1:-1] / counts.sum(), color=color, linestyle=style, marker=marker, markersize=4,
                      markevery=3, label=f"{labels[name]}: mean square {square:.2f}")  # fmt: skip
        axes.axvline(1, color="#555555", linewidth=1, linestyle=(0, (4, 2)))
        axes.set(xscale="log", ylabel="singular values, %")
        axes.set_title(f"{words} (half of the values are 0, not shown)" if activation == "relu" else words)
        axes.legend(fontsize=7.5, loc="upper left", frameon=True, edgecolor="none", framealpha=1)
        axes.set_ylim(0, 1.45 * axes.get_ylim()[1])
    for axes in figure.axes[2:]:
        axes.set_xlabel("singular value (dashed: 1)")
        axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5], ["0.05", "0.1", "0.2", "0.5", "1", "2", "5"])
        axes.minorticks_off()


FOUR_TIMES, WHOLE = "sigmoid against four times Glorot", "ReLU, whole batch"
_RULE = Difference(null=0, smallest=-0.05, direction=-1)
_WHAT = "|log of the mean squared singular value|"

CLAIM = register(Claim(
    id="jacobian_near_one", section="B14",
    statement="Batch normalisation may lead the layer Jacobians to have singular values close to 1.",
    source="Ioffe & Szegedy 2015, section 3.3, as a conjecture",
    disputed_by="Yang et al. 2019: with ReLU it forces them away from 1",
    formula="J = d x^_{l+1} / d x^_l for one example, the batch's mean and variance held fixed; m2 = mean square of its singular "
    "values; |log m2| with BN minus |log m2| of the usual initialisation without (d z_{l+1} / d z_l)",
    measurement=Measurement(measure=measure, num_seeds=SEEDS),
    endpoints={
        **{
            words: Endpoint(f"{_WHAT}, {words}, with BN minus {'He' if a == 'relu' else 'Glorot'} without", _RULE)
            for a, words in ACTIVATIONS.items()
        },
        FOUR_TIMES: Endpoint(f"{_WHAT}, sigmoid, with BN minus four times Glorot without", _RULE),
        WHOLE: Endpoint(f"{_WHAT} of the Jacobian of the whole batch in train mode, ReLU, with BN minus He without", _RULE),
        **{
            f"{words}: near 1": Endpoint(f"share of the singular values between 2/3 and 3/2, {words}, with BN minus without",
                                         Difference(null=0, smallest=10), unit="points")
            for words in ACTIVATIONS.values()
        },
    },
    caveats=(
        "Nets are only initialised; what training makes of the Jacobians shows the probe: probes=jacobian.",
        "A matrix of random numbers has spread singular values whatever is done to its scale (Marchenko-Pastur), and half of "
        "those of a ReLU layer are 0: no scaling of units brings all of them near 1.",
        "The answer depends on the nonlinearity and on what BN is compared with; the primary endpoint is about ReLU.",
    ),
    overturn="Another initialisation to compare with: arms_of in bnexp/claims/jacobian_near_one.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
