"""O2.3. Daneshmand et al.: with BN a batch becomes orthogonal with depth, the gap falling by one factor a layer.

Legend: L layers, B examples, S seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, gaussian, gaussian_weights, gram, growth, orthogonality_gap, states
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.figures.style import plain_log_axis
from bnexp.stats.rules import Difference, Equivalence

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = {"smoke": 128, "quick": 1024, "full": 2048}
BATCH, DEPTH = 8, 20
#: Where the gap is fitted: beyond, it has come down to what a finite width leaves.
FIRST, LAST = 1, 9
#: Lengths along the principal directions of the batch, from the longest to the shortest: examples are correlated.
STRETCH = (1.0, 0.05)
ARMS = {
    "linear, BN": ("linear", True),
    "ReLU, BN": ("relu", True),
    "tanh, BN": ("tanh", True),
    "linear, without": ("linear", False),
    "ReLU, without": ("relu", False),
}
SMALLEST, ONE_RATE = 0.95, 0.05


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Gap of the centred batch at the input and behind each layer, by arm; all have the same weights. Shape ``[L + 1]``."""
    width = WIDTH[budget]
    weights_LNN = gaussian_weights(seed, "orthogonality_gap", DEPTH, width)
    x_BN = _stretched(seed, width)
    found = {}
    for name, (activation, norm) in ARMS.items():
        passed = states(x_BN, weights_LNN * GAINS[activation], activation=activation, norm=norm)
        found[name] = np.array([float(orthogonality_gap(gram(h_BN, centred=True))) for h_BN in passed])
    return found


def _stretched(seed: int, width: int) -> Tensor:
    """Correlated examples: long along a few random directions. Shape ``[B, N]``."""
    import torch

    q_BB = torch.linalg.qr(gaussian(seed, "orthogonality_gap/x", BATCH, BATCH))[0]
    lengths_B = torch.from_numpy(np.geomspace(*STRETCH, BATCH))
    return (q_BB * lengths_B) @ gaussian(seed, "orthogonality_gap/directions", BATCH, width)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The factor a layer by which the gap falls in the window, of each arm, and in each half of it."""
    middle = (FIRST + LAST) // 2
    gaps = {name: stacked(runs, name) for name in ARMS}

    def rate(name: str, first: int, last: int) -> np.ndarray:
        return np.array([1 / growth(gap_L, first, last) for gap_L in gaps[name]])

    rates = {name: rate(name, FIRST, LAST) for name in ARMS}
    return Evidence(
        samples={
            **{name: Sample.of(rates[name]) for name, (_, norm) in ARMS.items() if norm},
            "one rate": Sample.of(rate("linear, BN", middle, LAST), rate("linear, BN", FIRST, middle)),
            "linear: BN against none": Sample.of(rates["linear, BN"], rates["linear, without"]),
            "ReLU: BN against none": Sample.of(rates["ReLU, BN"], rates["ReLU, without"]),
        },
        numbers={
            f"gap at the input, at layers {FIRST}, {LAST} and {DEPTH}, {name}": ", ".join(
                f"{gap_SL[:, layer].mean():.3g}" for layer in (0, FIRST, LAST, DEPTH)
            )
            for name, gap_SL in gaps.items()
        },
        data={"gaps": gaps, "rates": rates, "width": WIDTH[runs.budget]},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The rate a layer with BN by nonlinearity, whether it is one rate, and the rate without BN."""
    linear, same = verdicts["linear, BN"], verdicts["one rate"]
    without = {name: float(np.mean(evidence.data["rates"][f"{name}, without"])) for name in ("linear", "ReLU")}
    return (
        f"In random linear nets with BN a batch of {BATCH} correlated examples is made orthogonal with depth, its distance "
        f"from an orthogonal one falling to {estimate_words(linear)} of itself a layer (layers {FIRST} to {LAST}), "
        + ending(linear, "so it falls", too_small="which is no fall worth the name",
                 open_="which does not settle whether it falls")
        + ", "
        + ending(same, "and by one factor throughout", too_small="and not by one factor throughout",
                 open_="whether by one factor throughout is open")
        + f"; with ReLU to {estimate_words(verdicts['ReLU, BN'])}, with tanh to {estimate_words(verdicts['tanh, BN'])}; "
        f"without BN to {without['linear']:.3f} (linear) and {without['ReLU']:.3f} (ReLU)."
    )  # fmt: skip


def draw(evidence: Evidence, figure: Figure) -> None:
    """The gap behind each layer, by arm; the window of the fit is grey."""
    figure.set_size_inches(6.4, 4.4)
    axes = figure.subplots()
    axes.axvspan(FIRST, LAST, color="#eeeeee", zorder=0)
    axes.annotate("fitted", ((FIRST + LAST) / 2, 0.02), xycoords=("data", "axes fraction"), ha="center", color="#555555")
    layers = np.arange(DEPTH + 1)
    draw_series(layers, {name: np.asarray(gap_SL) for name, gap_SL in evidence.data["gaps"].items()}, axes,
                xlabel=f"layer (0: the input); nets {evidence.data['width']} units wide",
                ylabel="distance of the centred batch\nfrom an orthogonal one")  # fmt: skip
    plain_log_axis(axes, (0.04, 0.9))
    axes.set_xticks(range(0, DEPTH + 1, 5))


_WHAT = f"factor a layer by which the distance from an orthogonal batch changes, layers {FIRST} to {LAST}"
_RATE = Difference(null=1, smallest=SMALLEST, direction=-1)
_AGAINST = Difference(null=0, smallest=SMALLEST - 1, direction=-1)

CLAIM = register(Claim(
    id="orthogonality_gap", section="O2.3",
    statement="With batch normalisation the hidden layers of a random net become orthogonal with depth, geometrically.",
    source="Daneshmand et al. 2021; Joudaki et al. 2023",
    formula="||G / tr(G) - C / (B - 1)||_F of the batch's Gram matrix G, centred, C the centring matrix; exp(slope) of its "
    "logarithm over the layer",
    measurement=Measurement(measure=measure, num_seeds={**SEEDS, "quick": 6}),
    endpoints={
        **{name: Endpoint(f"{_WHAT}, {name}", _RATE) for name, (_, norm) in ARMS.items() if norm},
        "one rate": Endpoint(f"{_WHAT}, linear with BN, second half minus first half", Equivalence(margin=ONE_RATE)),
        "linear: BN against none": Endpoint(f"{_WHAT}, linear, BN minus none", _AGAINST),
        "ReLU: BN against none": Endpoint(f"{_WHAT}, ReLU, BN minus none", _AGAINST),
    },
    caveats=(
        "The distance falls down to what a finite width leaves, of the order of sqrt(1 / N), and stays there.",
        "The rate depends on the size of the batch: a larger one needs more layers. Nothing is asked about training.",
    ),
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "The source's BN does not centre; here it does, so that the batch is compared with one that is orthogonal but for its "
        "mean.",
    ),
    overturn="Another batch, depth or inputs: BATCH, LAST and STRETCH in bnexp/claims/orthogonality_gap.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
