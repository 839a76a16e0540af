"""M1. Balduzzi et al.: gradients at different inputs lose their likeness with depth ("shatter"): in plain ReLU nets like 2^-L, in
residual ones like (3/4)^L, and in residual ones with BN only like L^(-1/2).

Their proofs assume that two inputs share a quarter of the active units of a layer, which is so where their pre-activations are
uncorrelated. Without BN inputs become alike with depth instead, and share more.

Legend: L layers, B examples, N units, S seeds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, activate, gaussian, gaussian_weights, growth
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.figures.style import plain_log_axis
from bnexp.stats.rules import Difference, Equivalence, Scaling
from bnexp.stats.slopes import log_log_slopes

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = {"smoke": 64, "quick": 512, "full": 1024}
BATCH, DEPTH = 64, 24
#: Name to (whether it has skips, whether it has BN).
ARMS = {"plain": (False, False), "plain, BN": (False, True), "residual": (True, False), "residual, BN": (True, True)}
#: The factor a layer that the source gives an arm, and the last layer it is fitted to: beyond, chance likeness hides the decay.
BASES = {"plain": (0.5, 7), "plain, BN": (0.5, 7), "residual": (0.75, 12)}
WITHIN = 0.05


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Likeness of the input gradients of distinct examples by number of layers, for each arm. Shape ``[L + 1]``, 1 at no layer."""
    width = WIDTH[budget]
    weights_LNN = gaussian_weights(seed, "shattered_gradients", DEPTH, width) * GAINS["relu"]
    x_BN = gaussian(seed, "shattered_gradients/x", BATCH, width)
    readout_N = gaussian(seed, "shattered_gradients/readout", width)
    return {name: likeness(x_BN, weights_LNN, readout_N, skips=skips, norm=norm) for name, (skips, norm) in ARMS.items()}


def likeness(x_BN: Tensor, weights_LNN: Tensor, readout_N: Tensor, *, skips: bool, norm: bool) -> np.ndarray:
    """mean over pairs i != j of <g_i, g_j> / mean over i of |g_i|^2, g_i being the gradient of <readout, h_L(x_i)> for x_i
    with the batch's mean and variance held fixed; for L = 0, 1, ... layers h + W relu(norm(h)), without h in plain nets. Shape
    ``[L + 1]``."""
    import torch

    x_BN = x_BN.clone().requires_grad_()
    found = []
    for h_BN in _passed(x_BN, weights_LNN, skips, norm):
        (g_BN,) = torch.autograd.grad((h_BN @ readout_N).sum(), x_BN, retain_graph=True)
        own = float(g_BN.square().sum())
        found.append((float(g_BN.sum(0).square().sum()) - own) / (len(g_BN) - 1) / own)
    return np.array(found)


def _passed(h_BN: Tensor, weights_LNN: Tensor, skips: bool, norm: bool) -> Iterator[Tensor]:
    yield h_BN
    for weight_NN in weights_LNN:
        held_BN = h_BN.detach()
        entered_BN = (h_BN - held_BN.mean(0)) / held_BN.std(0, correction=0) if norm else h_BN
        layer_BN = activate(entered_BN, "relu") @ weight_NN
        h_BN = h_BN + layer_BN if skips else layer_BN
        yield h_BN


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Factor a layer of the first three arms, exponent of the last, and the differences between arms behind the last layer."""
    layers = np.arange(1, DEPTH + 1)
    alike = {name: stacked(runs, name) for name in ARMS}
    bases = {
        name: np.array([1 / growth(np.maximum(one_L, FLOOR), 0, last) for one_L in alike[name]])
        for name, (_, last) in BASES.items()
    }
    slopes_S = log_log_slopes(layers + 1, np.maximum(alike["residual, BN"][:, 1:], FLOOR))
    short, deep = (
        {name: np.maximum(alike_SL[:, layer], FLOOR) for name, alike_SL in alike.items()} for layer in (BASES["plain"][1], DEPTH)
    )
    return Evidence(
        samples={
            "residual, BN": Sample.of(slopes_S),
            **{name: Sample.of(bases[name], np.full(len(bases[name]), base)) for name, (base, _) in BASES.items()},
            # a ratio is of the second over the first
            "residual: BN / none": Sample.of(deep["residual"], deep["residual, BN"]),
            "plain: none / BN": Sample.of(short["plain, BN"], short["plain"]),
        },
        numbers={
            f"likeness of gradients behind {', '.join(map(str, TOLD))} layers, {name}": ", ".join(
                f"{alike_SL[:, layer].mean():.2g}" for layer in TOLD
            )
            for name, alike_SL in alike.items()
        },
        data={"alike": alike},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The exponent of residual nets with BN, the factors a layer of the others, each beside the source's."""
    primary = verdicts["residual, BN"]
    end = ending(primary, "as the source says (-1/2, within .1)", too_small="which is not the source's -1/2",
                 open_="which does not settle the source's -1/2")  # fmt: skip

    def factor(name: str) -> str:
        base, _ = BASES[name]
        return f"{estimate_words(verdicts[name], base, digits=2)} a layer (source {base:g})"

    return (
        "In random ReLU nets the input gradients of distinct examples lose their likeness with depth: in residual nets with "
        f"BN like the power {estimate_words(primary, digits=2)} of 1 + the number of layers, {end}; in residual nets without "
        f"BN by {factor('residual')}, in plain nets with BN by {factor('plain, BN')}, and in plain nets without BN by "
        f"{factor('plain')}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Likeness by number of layers; dashed what the source says."""
    figure.set_size_inches(6.8, 4.8)
    axes = figure.subplots()
    layers = np.arange(DEPTH + 1)
    series = {}
    for name, alike_SL in evidence.data["alike"].items():
        alike_SL = np.asarray(alike_SL)
        series[name] = np.where(np.median(alike_SL, axis=0) > LEAST_SHOWN, np.maximum(alike_SL, LEAST_SHOWN), np.nan)
    theory = {"source: 1/2 or 3/4 a layer, (L + 1)^(-1/2)": 0.5**layers, "_3/4": 0.75**layers}
    theory["_power"] = (layers + 1) ** -0.5
    draw_series(layers, series, axes, theory=theory, xlabel="layers",
                ylabel="likeness of the input gradients\nof distinct examples")  # fmt: skip
    axes.set(yscale="log", ylim=(LEAST_SHOWN, 1.2))
    plain_log_axis(axes, (LEAST_SHOWN, 1))


#: Likeness below this is chance, and negative half of the time; the logarithm takes this in its place.
FLOOR = 1e-4
LEAST_SHOWN = 2e-3
TOLD = (1, 2, 7, 12, DEPTH)

_FACTOR = "factor a layer by which the likeness of input gradients falls"

CLAIM = register(Claim(
    id="shattered_gradients", section="M1",
    statement="Gradients with respect to inputs lose their likeness with depth: in plain ReLU nets like 2^-L, in residual nets "
    "like (3/4)^L, in residual nets with batch normalisation only like L^(-1/2).",
    source="Balduzzi et al. 2017",
    formula="mean over pairs of distinct examples of <g_i, g_j>, over the mean of |g_i|^2; g_i = d <readout, h_L(x_i)> / d x_i "
    "with the batch's mean and variance held fixed; layers h + W relu(norm(h)), without h in plain nets; exp(slope) of its "
    "logarithm over L, or its log-log slope on L + 1",
    measurement=Measurement(measure=measure, num_seeds=SEEDS),
    endpoints={
        "residual, BN": Endpoint(f"log-log slope of the likeness on L + 1, residual nets with BN, 1 to {DEPTH} layers",
                                 Scaling(predicted=-0.5, rival=0, within=0.1)),
        **{
            name: Endpoint(f"{_FACTOR}, {name}, 0 to {last} layers, minus the source's {base:g}", Equivalence(margin=WITHIN))
            for name, (base, last) in BASES.items()
        },
        "residual: BN / none": Endpoint(f"likeness behind {DEPTH} layers, residual nets: ratio of with BN over without",
                                        Difference(1, 2, scale="ratio")),
        "plain: none / BN": Endpoint(f"likeness behind {BASES['plain'][1]} layers, plain nets: ratio of without BN over with",
                                     Difference(1, 2, scale="ratio")),
    },
    caveats=(
        "The source's factors assume that two examples share a quarter of the active units. Without BN they share more, because "
        "examples become alike with depth: gradients shatter like a power of the depth then, and a fitted factor depends on the "
        "depths.",
        "The source's -1/2 takes a branch to add 1 to what BN divides by. BN divides by the variance, to which a ReLU branch "
        "adds 1 - 1 / pi: from this follows -.64 for these depths and -pi / (2 (pi - 1)), -.73, for deep nets.",
        "Nets are only initialised; that shattered gradients are harder to train with is not asked.",
    ),
    deviations=(
        "Pairs of distinct examples of a batch of 64, about which the theorems are, in the place of neighbours on a grid in one "
        "dimension, whose likeness depends on how fine the grid is.",
    ),
    overturn="Other layers, or inputs that are alike from the start: ARMS and measure in bnexp/claims/shattered_gradients.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
