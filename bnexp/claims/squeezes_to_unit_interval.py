"""The blog's side remark: "normalization will squeeze your values to [0, 1]", wherefore gamma and beta are needed.

Normalised values have mean 0, so of a feature that varies at all some are negative, and variance 1 leaves the largest free to be
as far out as sqrt(m - 1). Measured here: where they are, for several inputs and inside a net, and that the bound is reached.
What scales into [0, 1] is min-max scaling (the blog refers to a post of its own, "Scaling vs normalization"); the next sentence,
that this is "not desirable always", is the paper's point about the linear part of a sigmoid.

Legend: m values of a feature in a batch, F features, B batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.exact import ONCE, float64_norm
from bnexp.claims.runs import all_measured
from bnexp.config.schema import ModelConfig, NormConfig
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream, torch_stream
from bnexp.stats.rules import Exact

NUM_FEATURES = {"smoke": 40, "quick": 400, "full": 4000}
NUM_STEPS = {"smoke": 30, "quick": 500, "full": 5000}
BATCH_SIZE, LEARNING_RATE = 60, 0.5
EPS = 1e-5

#: Batch sizes at which the bound is looked for.
BOUND_SIZES = (2, 3, 4, 8, 60, 256)

MODEL = ModelConfig(
    name="mlp",
    init="gaussian",
    init_scale=0.1,
    options={"depth": 3, "width": 100, "activation": "sigmoid", "first_scale": 1.0},
)

#: Key to label of everything that is normalised; the first four are features drawn at random, the others come out of a net.
SOURCES = {
    "gaussian": "Gaussian values",
    "sigmoid": "sigmoid outputs",
    "relu": "ReLU outputs",
    "pixels": "digits' pixels",
    "start": "in a net, at the start",
    "trained": "in a net, trained",
}


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """By source each feature's least and largest x^ ``[F]``, share outside [0, 1], mean, mean square; and the largest |x^| by m."""
    rng = numpy_stream(seed, "squeezes_to_unit_interval")
    draws_mF = rng.normal(size=(BATCH_SIZE, NUM_FEATURES[budget]))
    digits, classes = _digits()
    pixels_mF = digits[rng.integers(len(digits), size=BATCH_SIZE)]
    # A pixel that is black in all of the batch has nothing to standardise.
    pixels_mF = pixels_mF[:, pixels_mF.var(0) > 1e-4]
    sigmoid_mF, relu_mF = 1 / (1 + np.exp(-draws_mF)), np.maximum(draws_mF, 0)
    inputs = {"gaussian": draws_mF, "sigmoid": sigmoid_mF, "relu": relu_mF, "pixels": pixels_mF}
    inputs["start"], inputs["trained"], outputs_mF = _net_inputs(digits, classes, seed, rng, NUM_STEPS[budget])
    found = {f"{source}/{key}": value for source, x_mF in inputs.items() for key, value in _summary(x_mF).items()}
    found["outputs"] = np.array([outputs_mF.min(), outputs_mF.max(), np.mean((outputs_mF < 0) | (outputs_mF > 1))])
    scaled_mF = [(x_mF - x_mF.min(0)) / np.ptp(x_mF, 0) for x_mF in inputs.values()]
    found["min_max_outside"] = np.array([np.mean((x_mF < 0) | (x_mF > 1)) for x_mF in scaled_mF])
    found["one_outlier"] = np.array([np.abs(_normalized(np.eye(m)[:, :1], 1e-30)).max() for m in BOUND_SIZES])
    found["largest_tried"] = np.array([np.abs(_normalized(rng.standard_t(1, (m, 2000)), 1e-30)).max() for m in BOUND_SIZES])
    return found


def _normalized(x_mF: np.ndarray, eps: float = EPS) -> np.ndarray:
    """x^ by ``norm=reference`` in train mode."""
    import torch

    return float64_norm("reference", x_mF.shape[1], 0, eps=eps)(torch.from_numpy(x_mF)).numpy()


def _summary(x_mF: np.ndarray) -> dict[str, np.ndarray]:
    x_hat_mF, var_F = _normalized(x_mF), x_mF.var(0)
    return {
        "least": x_hat_mF.min(0), "largest": x_hat_mF.max(0), "outside": np.mean((x_hat_mF < 0) | (x_hat_mF > 1), axis=0),
        "standardised": np.maximum(np.abs(x_hat_mF.mean(0)), np.abs((x_hat_mF**2).mean(0) - var_F / (var_F + EPS))),
    }  # fmt: skip


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey values in 0..1 ``[N, P]`` and classes ``[N]``."""
    from bnexp.data import SOURCES as DATA_SOURCES
    from bnexp.data import default_data_dir

    part = DATA_SOURCES["mnist_5k"].load(default_data_dir()).train
    return part.images.reshape(len(part), -1) / 255, part.labels


def _net_inputs(
    digits: np.ndarray, classes: np.ndarray, seed: int, rng: np.random.Generator, num_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What enters all norms of a net for one batch, before and after training, and what then leaves them."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    from bnexp.models.blocks import NormAct
    from bnexp.models.factory import build_model
    from bnexp.norms.factory import norm_factory

    options = {"affine": "full", "eps": EPS, "momentum": 0.1}
    norm = NormConfig(name="batch", placement="before", options=options)
    factory = norm_factory(norm, batch_size=BATCH_SIZE, generator=torch_stream(seed, "noise"))
    net: Any = build_model(MODEL, (1, 28, 28), 10, factory, seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)

    def batch() -> tuple[Any, Any]:
        chosen = rng.integers(len(classes), size=BATCH_SIZE)
        return torch.from_numpy(digits[chosen]).float().reshape(-1, 1, 28, 28), torch.from_numpy(classes[chosen])

    def look(x: Any) -> tuple[np.ndarray, np.ndarray]:
        seen: list[tuple[Any, Any]] = []
        sites = [module.norm for module in net.modules() if isinstance(module, NormAct)]
        hooks = [site.register_forward_hook(lambda _, inputs, y: seen.append((inputs[0], y))) for site in sites]
        with torch.no_grad():
            net(x)
        for hook in hooks:
            hook.remove()
        z_mF, y_mF = (torch.cat(tensors, 1).double().numpy() for tensors in zip(*seen, strict=True))
        return z_mF, y_mF

    probe, _ = batch()
    start_mF, _ = look(probe)
    for _ in range(num_steps):
        x, y = batch()
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return start_mF, *look(probe)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """How far out of [0, 1] every feature's values reach, and whether they have mean 0 and variance v / (v + eps)."""
    every = all_measured(runs)
    reach_F = np.concatenate([np.maximum(-every[f"{s}/least"], every[f"{s}/largest"] - 1).clip(0) for s in SOURCES])
    ranges = {s: (every[f"{s}/least"].min(), every[f"{s}/largest"].max(), every[f"{s}/outside"].mean()) for s in SOURCES}
    bounds = np.sqrt(np.array(BOUND_SIZES) - 1)
    outlier_M, tried_M = (every[key].reshape(-1, len(bounds)).max(axis=0) for key in ("one_outlier", "largest_tried"))
    outputs = every["outputs"][:3]  # of the first seed
    return Evidence(
        samples={
            "inside": Sample.of(reach_F),
            "standardised": Sample.of(np.concatenate([every[f"{s}/standardised"] for s in SOURCES])),
            "bound": Sample.of(outlier_M - bounds),
        },
        gates={"min-max scaling passes the same check": not every["min_max_outside"].any()},
        numbers={
            "features": f"{len(reach_F)}, m = {BATCH_SIZE}; {int((reach_F > 0).sum())} of them leave [0, 1]",
            **{
                f"x^, {SOURCES[s]}": f"{low:.2f} to {high:.2f}, {share:.0%} outside"
                for s, (low, high, share) in ranges.items()
            },
            "gamma x^ + beta in the trained net": f"{outputs[0]:.2f} to {outputs[1]:.2f}, {outputs[2]:.0%} outside",
            "bound": f"|x^| <= sqrt(m - 1) = {np.sqrt(BATCH_SIZE - 1):.2f} at m = {BATCH_SIZE}; one outlier reaches it; "
            f"largest |x^| / bound in heavy-tailed batches: {np.max(tried_M / bounds):.6f}",
        },
        data={
            "ranges": ranges,
            "left": int((reach_F > 0).sum()),
            "features": len(reach_F),
            "bound": float(np.sqrt(BATCH_SIZE - 1)),
        },
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """How many features leave [0, 1], and where a trained net's values are."""
    data, (low, high, share) = evidence.data, evidence.data["ranges"]["trained"]
    if verdicts["inside"].outcome == "INCONCLUSIVE":
        return f"Nothing is said of [0, 1]: {verdicts['inside'].reason}"
    return (
        f"Normalised values leave [0, 1] in {data['left']:,} of {data['features']:,} features; in a trained net they run from "
        f"{low:.1f} to {high:.1f}, and {share:.0%} of them lie outside."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """The range of the normalised values by source, over the interval they are said to be squeezed into."""
    figure.set_size_inches(4.8, 3.4)
    axes = figure.subplots()
    ranges, bound = evidence.data["ranges"], evidence.data["bound"]
    rows = np.arange(len(ranges))[::-1]
    axes.axvspan(0, 1, color=COLORS["none"], alpha=0.35, linewidth=0)
    axes.annotate("[0, 1]", (0.5, len(rows) - 0.35), ha="center", color=COLORS["none"], fontweight="bold")
    for row, (low, high, share) in zip(rows, ranges.values(), strict=True):
        axes.plot([low, high], [row, row], color=COLORS["batch"], linewidth=3, solid_capstyle="butt")
        axes.annotate(f"{share:.0%} outside", (bound + 0.4, row), va="center", fontsize=8.5)
    for side in (-bound, bound):
        axes.axvline(side, color="#555555", linestyle=":", linewidth=1)
    axes.annotate("bounds:\n±sqrt(m - 1)", (0.3 - bound, rows[3]), color="#555555", va="center", fontsize=8.5)
    axes.set(xlim=(-bound - 0.5, bound + 5), ylim=(-0.5, len(rows) + 0.1), xticks=(-6, -3, 0, 1, 3, 6))
    axes.set(xlabel=f"normalised values, batches of {BATCH_SIZE}", title="Normalised values leave [0, 1]")
    axes.set_yticks(rows, [SOURCES[source] for source in ranges])
    axes.grid(visible=False, axis="y")


CLAIM = register(Claim(
    id="squeezes_to_unit_interval", section="the blog's side remark",
    statement="Normalization will squeeze your values to [0, 1].",
    source="the blog, below Algorithm 1",
    disputed_by="Ioffe & Szegedy 2015, whose normalised values have mean 0 and variance 1, hence negative ones among them",
    formula="for each feature how far its normalised values x^ reach below 0 or above 1; m = 60",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "inside": Endpoint(estimand="how far out of [0, 1] the values of a feature reach", rule=Exact(tolerance=1e-9)),
        "standardised": Endpoint(estimand="what may have been meant: |mean| and |mean square - v / (v + eps)| of a feature",
                                 rule=Exact(tolerance=1e-9)),
        "bound": Endpoint(estimand="largest |x^| of a batch with one outlier minus sqrt(m - 1), m = 2 ... 256",
                          rule=Exact(tolerance=1e-9, min_cases=len(BOUND_SIZES))),
    },
    gates=("min-max scaling passes the same check",),
    caveats=(
        "No training is needed for this verdict: a feature has mean 0, so unless all its values are equal some are negative.",
        "The author may have meant mean 0 and standard deviation 1 (endpoint 'standardised'), or have had min-max scaling in "
        "mind, of which the sentence is true. That a fixed range is not always wanted, and that gamma and beta undo it, holds "
        "either way.",
    ),
    overturn="a feature that varies and all of whose normalised values lie in [0, 1]: there is none, by algebra",
    deviations=("Pixels that are black in the whole batch are left out: they have no spread.",),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
