"""F1. Yang et al.: in random nets with BN the squared gradient grows by a factor above 1 a layer, whatever the nonlinearity.

Legend: L layers, S seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, gaussian, gaussian_weights, growth, squared_gradients
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words, mean_words
from bnexp.figures.arms import draw_series
from bnexp.stats.rules import Difference, Equivalence, Rule

WIDTH = {"smoke": 64, "quick": 512, "full": 1024}
DEPTH = 30
#: The first and the last layers are not yet, or no longer, at the fixed point that theory is about.
FIRST, LAST = 5, 25
RELU = math.pi / (math.pi - 1)
WITHIN = 0.03


@dataclass(frozen=True)
class Arm:
    """One kind of net.

    Attributes:
        activation, batch, norm: its nonlinearity, the examples of its batch, whether it has BN.
        theory: the growth that theory gives it; None where it gives none.
    """

    activation: str
    batch: int
    norm: bool = True
    theory: float | None = None


ARMS = {
    "ReLU, 64 examples": Arm("relu", 64, theory=RELU),
    "ReLU, 128 examples": Arm("relu", 128, theory=RELU),
    "ReLU without BN, 64 examples": Arm("relu", 64, norm=False, theory=1.0),
    **{f"linear, {batch} examples": Arm("linear", batch, theory=(batch - 2) / (batch - 3)) for batch in (6, 10, 16)},
    "tanh, 64 examples": Arm("tanh", 64),
    "sigmoid, 64 examples": Arm("sigmoid", 64),
}
#: Growth that makes a factor of ten in 116 layers.
SMALLEST = 1.02


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Squared gradient norm of what enters and leaves each layer, by arm. Shape ``[L + 1]``; all arms have the same weights."""
    width = WIDTH[budget]
    weights_LNN = gaussian_weights(seed, "gradient_explosion/weights", DEPTH, width)
    x_BN, readout_BN = (gaussian(seed, f"gradient_explosion/{what}", 128, width) for what in ("x", "readout"))
    return {
        name: squared_gradients(
            x_BN[: arm.batch], weights_LNN * GAINS[arm.activation], readout_BN[: arm.batch],
            activation=arm.activation, norm=arm.norm,
        )
        for name, arm in ARMS.items()
    }  # fmt: skip


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Growth a layer of each arm at each seed, beside what theory gives it."""
    squares = {name: stacked(runs, name) for name in ARMS}
    found = {name: np.array([growth(one_L, FIRST, LAST) for one_L in rows]) for name, rows in squares.items()}
    return Evidence(
        samples={
            name: Sample.of(found[name], None if arm.theory is None else np.full(len(found[name]), arm.theory))
            for name, arm in ARMS.items()
        },
        numbers={
            f"growth a layer, {name}": mean_words(values, "", 3)
            + ("" if ARMS[name].theory is None else f", theory {ARMS[name].theory:.3f}")
            for name, values in found.items()
        },
        data={"squares": squares, "width": WIDTH[runs.budget]},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Growth with BN by nonlinearity and without BN, each beside its theory."""

    def value(name: str) -> str:
        return estimate_words(verdicts[name], ARMS[name].theory or 0.0)

    primary, *_ = ARMS
    linear = ", ".join(
        f"{value(name)} at {arm.batch} ({arm.theory:.3f})" for name, arm in ARMS.items() if arm.activation == "linear"
    )
    end = ending(verdicts[primary], f"as theory says for wide nets and large batches ({RELU:.3f}, within {WITHIN:g})",
                 too_small=f"which is not theory's {RELU:.3f}", open_=f"which does not settle theory's {RELU:.3f}")  # fmt: skip
    return (
        f"In random ReLU nets {evidence.data['width']} units wide with BN the squared gradient grows by a factor of "
        f"{value(primary)} a layer on its way back, at 64 examples a batch, {end}; without BN, and with He's weights, by "
        f"{value('ReLU without BN, 64 examples')}; in linear nets with BN by {linear} examples (theory in brackets); with tanh by "
        f"{value('tanh, 64 examples')} and with sigmoid by {value('sigmoid, 64 examples')} at 64."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Squared gradient against the layers it went back through, relative to where it began; theory dashed."""
    figure.set_size_inches(8.6, 4.4)
    back = np.arange(DEPTH)  # down to what the first layer gives; the input is of another size
    shown = (
        ("ReLU, 64 examples", "ReLU without BN, 64 examples", "tanh, 64 examples", "sigmoid, 64 examples"),
        tuple(name for name, arm in ARMS.items() if arm.activation == "linear"),
    )
    for axes, names in zip(figure.subplots(1, 2), shown, strict=True):
        series = {}
        for name in names:
            squares_SL = np.asarray(evidence.data["squares"][name])[:, :0:-1]
            series[name] = squares_SL / squares_SL[:, :1]
        factors = [factor for name in names if (factor := ARMS[name].theory) and factor != 1]
        words = f"theory: {', '.join(f'{factor:.3f}' for factor in factors)}"
        theory = {words if factor == factors[0] else f"_{factor}": factor**back for factor in factors}  # one line of the legend
        draw_series(back, series, axes, theory=theory, xlabel="layers that the gradient went back through",
                    ylabel="squared gradient norm / that at the last layer")  # fmt: skip
        axes.set_yscale("log")


def _rule(arm: Arm) -> Rule:
    return Difference(null=1, smallest=SMALLEST) if arm.theory is None else Equivalence(margin=WITHIN)


def _estimand(name: str, arm: Arm) -> str:
    words = f"factor by which a layer multiplies the squared gradient, {name}, layers {FIRST} to {LAST} of {DEPTH}"
    return words if arm.theory is None else f"{words}, minus theory's {arm.theory:.4g}"


CLAIM = register(Claim(
    id="gradient_explosion", section="F1",
    statement="In random nets with batch normalisation gradients explode with depth whatever the nonlinearity, with ReLU by pi / "
    "(pi - 1) a layer.",
    source="Yang et al. 2019, for infinite width: ReLU as the batch size B grows, linear (B - 2) / (B - 3)",
    disputed_by="Meterez et al. 2024, for linear nets with orthogonal weights (orthogonal_linear)",
    formula="exp(-slope) of log |dl/dh|^2 over the layer h, l = <random readout, last layer>, in random nets of one width",
    measurement=Measurement(measure=measure, num_seeds=SEEDS),
    endpoints={name: Endpoint(_estimand(name, arm), _rule(arm)) for name, arm in ARMS.items()},
    caveats=(
        "Nets are only initialised: one step of training changes the picture (F3), and nothing is said of nets with skips.",
        "Theory's factors are for infinite width. Where the batch is not much smaller than the width, they are other ones "
        "(orthogonal_linear).",
    ),
    overturn="Another width, depth or batch: WIDTH, DEPTH and ARMS in bnexp/claims/gradient_explosion.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
