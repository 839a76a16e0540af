"""B9. The paper: at inference use population statistics, with Var[x] = m / (m - 1) E[var_B] (Algorithm 2).

The source says that this makes the output a fixed linear map of the input, deterministic and free of its companions, which
can be folded into the layer before it, and that the factor m / (m - 1) removes the bias of the mini-batch variance. The
bias is measured twice: exactly, as the mean over every possible batch of a small population, and over random batches.

Legend: m values of a feature in a batch, B batches, K random layers, M batch sizes. All possible or all random batches are the
features of one input ``[m, B]``, so a norm sees them all in one pass.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, register
from bnexp.claims.exact import NORMS_UNDER_TEST, ONCE, by_key, float64_norm, says
from bnexp.claims.runs import all_measured, stacked
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream
from bnexp.stats.rules import Exact

NUM_LAYERS = {"smoke": 10, "quick": 120, "full": 400}
NUM_POPULATIONS = {"smoke": 10, "quick": 120, "full": 400}
NUM_BATCHES = {"smoke": 200, "quick": 1000, "full": 10_000}
BATCH_SIZES = (2, 4, 8, 60)

#: Three values a population: all 3^m batches of m draws with replacement can be looked at.
POPULATION_SIZE, ENUMERATED = 3, (2, 4, 8)

#: Of all random-batch intervals together: they speak about one claim.
CONFIDENCE = 0.99

EPS = 1e-5


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Errors of enumerated biases, variances of random batches ``[M, B]``, errors of folding and of companions ``[K]``."""
    rng = numpy_stream(seed, "inference_algorithm_2")
    populations = [_enumerated_bias(rng, ENUMERATED[index % len(ENUMERATED)]) for index in range(NUM_POPULATIONS[budget])]
    layers = by_key([_one_layer(rng, index) for index in range(NUM_LAYERS[budget])])
    batches = [_variances(rng.normal(size=(m, NUM_BATCHES[budget]))) for m in BATCH_SIZES]
    return {
        "without_factor": np.array([biased for biased, _ in populations]),
        "with_factor": np.array([bessel for _, bessel in populations]),
        "biased_MB": np.array([biased_B for biased_B, _ in batches]),
        "bessel_MB": np.array([bessel_B for _, bessel_B in batches]),
        **layers,
    }


def _variances(x_mB: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each batch is normalised by (read off the output), and what is stored of it for inference."""
    import torch

    norm = float64_norm("reference", x_mB.shape[1], 0, eps=1e-30)
    x_hat_mB = norm(torch.from_numpy(x_mB)).numpy()
    # Batches of equal values are all zeros before and after: they are divided by nothing.
    squares_B, hat_squares_B = ((x_mB - x_mB.mean(0)) ** 2).sum(0), (x_hat_mB**2).sum(0)
    biased_B = np.divide(squares_B, hat_squares_B, out=np.zeros_like(squares_B), where=hat_squares_B > 0.5)
    return biased_B, norm.running_var.numpy()


def _enumerated_bias(rng: np.random.Generator, m: int) -> tuple[float, float]:
    """Relative bias of the mean over every batch: without the factor minus the predicted -1/m, and with it."""
    population = rng.normal(size=POPULATION_SIZE)
    every_batch_mB = np.array(list(product(population, repeat=m))).T
    biased_B, bessel_B = _variances(every_batch_mB)
    return biased_B.mean() / population.var() - 1 + 1 / m, bessel_B.mean() / population.var() - 1


def _one_layer(rng: np.random.Generator, index: int) -> dict[str, float]:
    """A random layer with a norm behind it in eval mode: folded into one layer, and with other companions."""
    import torch

    from bnexp.norms.population import recompute_statistics

    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    dims, name = 2 * (index % 2), NORMS_UNDER_TEST[index // 2 % 2]
    num_inputs, num_outputs = int(rng.integers(1, 20)), int(rng.integers(1, 9))

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    W, b = normal(num_outputs, num_inputs, *(3, 3)[:dims]), normal(num_outputs)
    u = normal(int(rng.integers(4, 40)), num_inputs, *(4, 4)[:dims])
    norm = float64_norm(name, num_outputs, dims, affine="full", eps=EPS)
    with torch.no_grad():
        norm.weight.copy_(normal(num_outputs))
        norm.bias.copy_(normal(num_outputs))
        z = _layer(u, W, b)
        train_change = float((norm(z)[:2] - norm(z[:2])).abs().max())
        recompute_statistics(norm, [_layer(normal(*u.shape), W, b) for _ in range(5)])
        norm.eval()
        companions = float((norm(z)[:1] - norm(z[:1])).abs().max())
        double = _folding_error(norm, u, W, b)
        single = _folding_error(norm.float(), u.float(), W.float(), b.float())
    return {"folding64": double, "folding32": single, "companions": companions, "train_change": train_change}


def _layer(u: Any, W: Any, b: Any) -> Any:
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    return F.linear(u, W, b) if W.ndim == 2 else F.conv2d(u, W, b, padding=1)


def _folding_error(norm: Any, u: Any, W: Any, b: Any) -> float:
    """Largest difference between norm(Wu + b) and one layer with other W and b, in units of the largest output."""
    y = norm(_layer(u, W, b))
    scale_C = norm.weight / (norm.running_var + EPS).sqrt()
    folded = _layer(u, W * scale_C.reshape(-1, *[1] * (W.ndim - 1)), (b - norm.running_mean) * scale_C + norm.bias)
    return float((folded - y).abs().max() / y.abs().max())


def expected_sd(m: int) -> float:
    """E[s_B] / sigma of a Gaussian, with the biased (1/m) variance: sqrt(2/m) Gamma(m/2) / Gamma((m-1)/2)."""
    return math.sqrt(2 / m) * math.exp(math.lgamma(m / 2) - math.lgamma((m - 1) / 2))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Each identity's errors, and how far each interval over random batches is from its prediction."""
    from scipy import stats  # here, so that listing claims loads no scipy

    cases = all_measured(runs)
    biased_MB, bessel_MB = (np.concatenate(stacked(runs, key), axis=1) for key in ("biased_MB", "bessel_MB"))
    reach = stats.norm.isf((1 - CONFIDENCE) / 2 / len(BATCH_SIZES)) / math.sqrt(bessel_MB.shape[1])
    bias_M, reach_M = bessel_MB.mean(1) - 1, reach * bessel_MB.std(1, ddof=1)
    uncovered_M = np.maximum(np.abs(bias_M) - reach_M, 0)
    plain_M, sd_M = biased_MB.mean(1) - 1, np.sqrt(biased_MB).mean(1)
    by_size = list(enumerate(BATCH_SIZES))
    return Evidence(
        samples={
            "with factor": Sample.of(cases["with_factor"]),
            "without factor": Sample.of(cases["without_factor"]),
            "random batches": Sample.of(uncovered_M),
            "folding, float64": Sample.of(cases["folding64"]),
            "folding, float32": Sample.of(cases["folding32"]),
            "companions": Sample.of(cases["companions"]),
        },
        gates={"train mode does depend on companions": bool(cases["train_change"].min() > 1e-3)},
        numbers={
            "bias without factor, random batches": ", ".join(
                f"{plain_M[i]:+.3f} at m = {m} (-1/m = {-1 / m:.3f})" for i, m in by_size
            ),
            "bias with factor": ", ".join(f"{bias_M[i]:+.3f} ± {reach_M[i]:.3f} at m = {m}" for i, m in by_size),
            "mean batch sd / population sd": ", ".join(
                f"{sd_M[i]:.3f} at m = {m} (theory {expected_sd(m):.3f})" for i, m in by_size
            ),
            "largest folding error": f"{cases['folding64'].max():.1e} in float64, {cases['folding32'].max():.1e} in float32",
        },
        data={
            "plain": plain_M,
            "plain_reach": reach * biased_MB.std(1, ddof=1),
            "bessel": bias_M,
            "reach": reach_M,
            "sd": sd_M - 1,
        },
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Relative bias of the batch variance with and without the factor, and of the batch sd, against m."""
    figure.set_size_inches(4.8, 3.4)
    axes, data = figure.subplots(), evidence.data
    x, grid = np.array(BATCH_SIZES), np.arange(2, 81)
    axes.axhline(0, color="#555555", linewidth=0.8)
    series = (
        ("variance, without factor", data["plain"], data["plain_reach"], COLORS["none"], "s", -1 / grid, 0.94),
        ("variance, times m / (m - 1)", data["bessel"], data["reach"], COLORS["batch"], "o", 0 * grid, 1.0),
        (
            "sd, which x is divided by",
            data["sd"],
            None,
            "#009E73",
            "^",
            np.array([expected_sd(int(m)) for m in grid]) - 1,
            1.06,
        ),
    )
    for height, (label, values, reach, color, marker, theory, shift) in zip((0.24, 0.34, 0.14), series, strict=True):
        axes.plot(grid, theory, color=color, linewidth=1)
        axes.errorbar(x * shift, values, reach, color=color, fmt=marker, markersize=5, capsize=2, linewidth=1.2)
        axes.plot([0.4], [height], marker=marker, color=color, transform=axes.transAxes, markersize=5)
        axes.annotate(label, (0.44, height), xycoords="axes fraction", color=color, va="center")
    axes.set(
        xscale="log", xlabel="values per feature in the batch, m", ylabel="relative bias",
        title="The factor m / (m - 1) removes the bias",
    )  # fmt: skip
    axes.set_xticks(x, [str(m) for m in x])
    axes.minorticks_off()


CLAIM = register(Claim(
    id="inference_algorithm_2", section="B9",
    statement="m/(m-1) times the mean batch variance is the population's; with it the norm is a fixed linear map at inference.",
    source="Ioffe & Szegedy 2015, section 3.1 and Algorithm 2 (derivation; no experiment)",
    formula="relative bias of the mean of m/(m-1) var_B over all 3^m batches of three-valued populations, m = 2, 4, 8; the same "
    "over random Gaussian batches, m = 2 ... 60; |folded - unfolded| / max |output|",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "with factor": Endpoint(estimand="relative bias with the factor, over all batches", rule=Exact(tolerance=1e-9)),
        "without factor": Endpoint(estimand="relative bias without it, plus 1/m, over all batches", rule=Exact(tolerance=1e-9)),
        "random batches": Endpoint(estimand="distance of the 99 % interval of the bias with the factor from 0, at each m (0: "
                                   "covered)", rule=Exact(tolerance=0, min_cases=len(BATCH_SIZES))),
        "folding, float64": Endpoint(estimand="relative error of the folded layer", rule=Exact(tolerance=1e-12)),
        "folding, float32": Endpoint(estimand="relative error of the folded layer", rule=Exact(tolerance=1e-5)),
        "companions": Endpoint(estimand="change of an output with its companions, eval mode", rule=Exact(tolerance=0)),
    },
    gates=("train mode does depend on companions",),
    caveats=(
        "What a batch is divided by is its sd, and E[s_B] is too small whatever the factor: 0.56 sd at m = 2, 0.99 at m = 60. So "
        "train and eval mode scale differently at small m.",
        "torch's running statistics are exponential averages; bnexp.norms.population takes Algorithm 2's plain ones.",
    ),
    overturn="a population whose batches average to another variance, or a layer that cannot be folded",
    deviations=(
        "Batches are drawn with replacement: for draws without replacement from N examples the factor is m (N-1) / ((m-1) N).",
    ),
    analyse=analyse, draw=draw,
    say=says(
        "the factor m / (m - 1) makes the mean batch variance the population's",
        "small populations, taking all batches of each,",
    ),
))  # fmt: skip
