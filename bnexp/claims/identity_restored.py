"""B7. The paper: gamma = sd and beta = mean undo the normalisation, so a network loses no capacity by it (section 3).

The source argues that "by setting gamma = sqrt(Var[x]) and beta = E[x], we could recover the original activations". That
holds for the one batch whose moments these are, and in eval mode. In train mode the moments change with every batch and
gamma and beta do not: what is left over falls like m^-1/2, and at m = 1 nothing of the input is left at all.

Legend: m values of a feature in the batch, C features, K random shapes, M batch sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, register
from bnexp.claims.exact import NORMS_UNDER_TEST, ONCE, by_key, float64_norm, says
from bnexp.claims.runs import all_measured
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream
from bnexp.stats.rules import Exact
from bnexp.stats.slopes import log_log_slopes

NUM_SHAPES = {"smoke": 20, "quick": 200, "full": 1000}
NUM_BATCHES = {"smoke": 200, "quick": 2000, "full": 10_000}
BATCH_SIZES = (2, 4, 8, 16, 32, 60, 128, 256, 512, 1024)

#: From here on the law's higher orders are below a few per cent, so its exponent can be read off.
FIT_FROM = 8

EPS = 1e-5


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Errors and numbers of parameters ``[K]``, and the residual over varying batches ``[M]`` in standard deviations of x."""
    rng = numpy_stream(seed, "identity_restored")
    return {
        **by_key(_one_shape(rng, index) for index in range(NUM_SHAPES[budget])),
        "residual": np.array([_residual(rng, m, NUM_BATCHES[budget]) for m in BATCH_SIZES]),
        "refuses_one": np.array([_refuses_one(name) for name in NORMS_UNDER_TEST]),
    }


def _norm(name: str, num_features: int, dims: int) -> Any:
    return float64_norm(name, num_features, dims, affine="full", eps=EPS)


def _one_shape(rng: np.random.Generator, index: int) -> dict[str, Any]:
    """Both norms on one batch whose moments gamma and beta are, in train mode and then in eval mode with its statistics."""
    import torch

    num_features, dims = int(rng.integers(1, 9)), 2 * (index % 2)
    shape = (int(rng.integers(2, 40)), num_features, *rng.integers(1, 6, dims))
    x = torch.from_numpy(10 ** rng.uniform(-2, 2) * (rng.normal() + rng.normal(size=shape)))
    axes = (0, *range(2, 2 + dims))
    var_C, mean_C = torch.var_mean(x, axes, correction=0)  # biased (1/m), which is what is divided by
    found: dict[str, Any] = {"train": [], "eval": [], "without_eps": [], "extra": []}
    for name in NORMS_UNDER_TEST:
        norm = _norm(name, num_features, dims)
        found["extra"].append(sum(parameter.numel() for parameter in norm.parameters()) - 2 * num_features)
        with torch.no_grad():
            norm.bias.copy_(mean_C)
            for key, gamma_C in (("without_eps", var_C.sqrt()), ("train", (var_C + EPS).sqrt())):
                norm.weight.copy_(gamma_C)
                found[key].append(_relative_error(norm(x), x))
            norm.eval()
            norm.weight.copy_((norm.running_var + EPS).sqrt())
            found["eval"].append(_relative_error(norm(x), x))
    return {key: np.max(np.abs(values)) for key, values in found.items()}


def _relative_error(y: Any, x: Any) -> float:
    return float((y - x).abs().max() / x.abs().max())


def _residual(rng: np.random.Generator, m: int, num_batches: int) -> float:
    """Root mean square of y - x where gamma and beta are the population's; every feature is a batch of its own."""
    import torch

    x_mC = torch.from_numpy(rng.normal(size=(m, num_batches)))
    norm = _norm("reference", num_batches, 0)  # gamma 1 and beta 0 are this population's sd and mean
    return float((norm(x_mC).detach() - x_mC).pow(2).mean().sqrt())


def _refuses_one(name: str) -> bool:
    import torch

    try:
        _norm(name, 3, 0)(torch.ones(1, 3, dtype=torch.float64))
    except ValueError:
        return True
    return False


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The larger error of the two modes for every shape, and the exponent of the residual."""
    every = all_measured(runs)
    residual_SM = every["residual"].reshape(-1, len(BATCH_SIZES))
    fitted = np.array(BATCH_SIZES) >= FIT_FROM
    slope = log_log_slopes(np.array(BATCH_SIZES)[fitted], residual_SM[:, fitted]).mean()
    residual_M = residual_SM.mean(0)
    return Evidence(
        samples={"recovered": Sample.of(np.maximum(every["train"], every["eval"])), "parameters": Sample.of(every["extra"])},
        numbers={
            "shapes": f"{len(every['train'])}, 2-D and 4-D",
            "largest error, batch fixed": f"{every['train'].max():.1e} in train mode, {every['eval'].max():.1e} in eval mode",
            "with gamma = sd instead of sqrt(var + eps)": f"up to {every['without_eps'].max():.1e}",
            "residual over varying batches": ", ".join(
                f"{residual_M[BATCH_SIZES.index(m)]:.3f} sd at m = {m}" for m in (2, 60, 1024)
            ),
            "its exponent in m": f"{slope:.3f}, predicted -0.5 (m from {FIT_FROM})",
            "m = 1": "refused by both norms" if every["refuses_one"].all() else "accepted by a norm",
        },
        data={"batch_size": np.array(BATCH_SIZES), "residual": residual_M, "slope": slope},
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """The residual over varying batches against the batch size, with what theory says of it."""
    figure.set_size_inches(4.8, 3.2)
    axes = figure.subplots()
    size_M = np.asarray(evidence.data["batch_size"])
    axes.plot(size_M, np.sqrt(1.5 / size_M), color="#555555", linestyle="--", linewidth=1)
    axes.plot(size_M, evidence.data["residual"], "o", color=COLORS["batch"], markersize=5)
    axes.plot([1], [1], "s", color=COLORS["none"], markersize=6)
    axes.annotate("m = 1: the output is beta, whatever x", (1, 1), xytext=(2, 10), textcoords="offset points",
                  color=COLORS["none"])  # fmt: skip
    axes.annotate("sqrt(1.5 / m)", (64, np.sqrt(1.5 / 64)), xytext=(8, 8), textcoords="offset points", color="#555555")
    axes.annotate(f"measured; exponent {evidence.data['slope']:.2f}", (0.03, 0.06), xycoords="axes fraction",
                  color=COLORS["batch"])  # fmt: skip
    axes.set(
        xscale="log", yscale="log", ylim=(0.025, 2.2), title="Identity: exact for a fixed batch only",
        xlabel="values per feature in the batch, m", ylabel="what is left over, in sd of x",
    )  # fmt: skip
    axes.set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
    axes.set_yticks([0.03, 0.1, 0.3, 1], ["0.03", "0.1", "0.3", "1"])
    axes.minorticks_off()


CLAIM = register(Claim(
    id="identity_restored", section="B7",
    statement="With gamma = sd and beta = mean the original activations come back, for two more parameters per activation.",
    source="Ioffe & Szegedy 2015, section 3 (an argument; no experiment)",
    formula="for each random shape the largest |BN(x) - x| / max |x| over norms, for one batch in train mode with its own "
    "moments as gamma and beta and in eval mode with the stored ones",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "recovered": Endpoint(estimand="error of the recovered activations, for one fixed batch and in eval mode",
                              rule=Exact(tolerance=1e-6)),
        "parameters": Endpoint(estimand="parameters of a norm minus two per feature", rule=Exact(tolerance=0)),
    },
    caveats=(
        "It is about one fixed batch. Over varying batches in train mode the output depends on the companions: see the figure.",
        "That gamma and beta could restore the identity does not say that training finds these values, or wants them.",
    ),
    overturn="a batch in float64 that the two parameters do not bring back to 1e-6",
    deviations=("gamma = sqrt(var + eps) in the place of sqrt(var): the paper leaves eps out here.",),
    analyse=analyse, draw=draw,
    say=says("setting gamma = sd and beta = mean brings the activations of one fixed batch back", "random shapes"),
))  # fmt: skip
