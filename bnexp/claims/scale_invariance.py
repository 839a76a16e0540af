"""B12. The paper: batch normalisation makes a layer blind to the scale of its weights (section 3.3).

The source states BN((aW)u) = BN(Wu), that d/du is the same for both, and that d/d(aW) = (1/a) d/dW, so that "larger weights
lead to smaller gradients". All three hold for eps = 0; with eps > 0 they fail by about eps / (2 a^2 v).

Legend: K random layers, A scales a; v = variance of Wu; a layer is fully connected or a convolution.
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

NUM_LAYERS = {"smoke": 8, "quick": 120, "full": 400}
SCALES = tuple(10.0**exponent for exponent in np.arange(-2, 3.01, 0.5))

#: Small enough to vanish in float64 beside every a^2 v here; the norms refuse 0.
NO_EPS = 1e-30
USUAL_EPS = 1e-5

#: Beyond these the error is no longer in proportion to eps / (a^2 v), or drowns in rounding.
FIT_BETWEEN = (1e-9, 1e-2)

PARTS = ("output", "input gradient", "weight gradient")


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Without eps the error of each part ``[K, A, 3]``; with it that of the output ``[K, A]``, beside eps / (a^2 v)."""
    rng = numpy_stream(seed, "scale_invariance")
    return by_key(_one_layer(rng, index) for index in range(NUM_LAYERS[budget]))


def _one_layer(rng: np.random.Generator, index: int) -> dict[str, Any]:
    import torch

    dims, name = 2 * (index % 2), NORMS_UNDER_TEST[index // 2 % 2]
    # Two inputs at least: with one, the direction of a unit's weights is fixed and their gradient is 0 but for rounding.
    num_inputs, num_outputs, kernel = int(rng.integers(2, 20)), int(rng.integers(1, 9)), (3, 3)[:dims]
    u = torch.from_numpy(rng.normal(size=(int(rng.integers(4, 40)), num_inputs, *(4, 4)[:dims])))
    W = torch.from_numpy(rng.normal(size=(num_outputs, num_inputs, *kernel)) / np.sqrt(num_inputs * 3**dims))
    v = float(_preactivation(u, W).var((0, *range(2, 2 + dims)), correction=0).min())  # biased (1/m), the smallest feature's
    dy = torch.from_numpy(rng.normal(size=_preactivation(u, W).shape))
    y, du, dW = _through(name, NO_EPS, u, W, dy)
    exact, with_eps = [], []
    for a in SCALES:
        scaled = _through(name, NO_EPS, u, a * W, dy)
        wanted = (y, du, dW / a)
        exact.append([float((got - w).abs().max() / w.abs().max()) for got, w in zip(scaled, wanted, strict=True)])
        y_eps = _through(name, USUAL_EPS, u, a * W, dy)[0]
        with_eps.append(float(((y_eps - y).abs() / y.abs()).max()))
    return {"exact": exact, "with_eps": with_eps, "ratio": USUAL_EPS / (np.array(SCALES) ** 2 * v)}


def _preactivation(u: Any, W: Any) -> Any:
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    return F.linear(u, W) if W.ndim == 2 else F.conv2d(u, W, padding=1)


def _through(name: str, eps: float, u: Any, W: Any, dy: Any) -> tuple[Any, Any, Any]:
    """Output of BN(Wu), and the gradients of <dy, output> at u and at W."""
    import torch

    u, W = u.clone().requires_grad_(), W.clone().requires_grad_()
    y = float64_norm(name, len(W), W.ndim - 2, eps=eps)(_preactivation(u, W))
    du, dW = torch.autograd.grad(y, (u, W), dy)
    return y.detach(), du, dW


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Every layer's largest error over the scales, and the exponent of the error that eps makes."""
    every = all_measured(runs)
    exact_KAP, error_KA, ratio_KA = every["exact"], every["with_eps"], every["ratio"]
    fitted = (ratio_KA > FIT_BETWEEN[0]) & (ratio_KA < FIT_BETWEEN[1])
    exponents_K = [float(log_log_slopes(r[f], e[None, f])[0]) for r, e, f in zip(ratio_KA, error_KA, fitted, strict=True)]
    return Evidence(
        samples={
            "identities": Sample.of(exact_KAP.max((1, 2))),
            "eps exponent": Sample.of([exponent - 1 for exponent in exponents_K]),
        },
        numbers={
            "layers": f"{len(exact_KAP)}, half of them convolutions, each at {len(SCALES)} scales from 0.01 to 1000",
            **{f"largest error, {part}": f"{exact_KAP[..., index].max():.1e}" for index, part in enumerate(PARTS)},
            "error with eps = 1e-5": ", ".join(
                f"{np.median(error_KA[:, SCALES.index(a)]):.1e} at a = {a:g}" for a in (0.01, 1.0, 100.0)
            ),
            "its exponent in eps / (a^2 v)": f"{np.mean(exponents_K):.4f}, predicted 1",
        },
        data={"ratio": ratio_KA.ravel(), "error": error_KA.ravel(), "exponent": float(np.mean(exponents_K))},
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """The relative error that eps makes, against eps / (a^2 v)."""
    figure.set_size_inches(4.8, 3.2)
    axes = figure.subplots()
    ratio = np.asarray(evidence.data["ratio"])
    grid = np.geomspace(ratio.min(), ratio.max(), 200)
    axes.plot(ratio, evidence.data["error"], ".", color=COLORS["none"], markersize=4)
    axes.plot(grid, -np.expm1(-np.log1p(grid) / 2), color=COLORS["batch"], linewidth=1.2)
    middle = np.sqrt(ratio.min() * ratio.max())
    axes.annotate("1 - 1 / sqrt(1 + eps / (a²v))", (middle, middle / 2), xytext=(-10, 18), textcoords="offset points",
                  ha="right", color=COLORS["batch"])  # fmt: skip
    axes.annotate("one dot: a random layer\nat one scale a", (0.97, 0.08), xycoords="axes fraction", ha="right",
                  color=COLORS["none"])  # fmt: skip
    axes.set(
        xscale="log", yscale="log", title="Blind to the scale of W, as far as eps allows",
        xlabel="eps / (a²v): small weights are to the right", ylabel="relative error of BN((aW)u)",
    )  # fmt: skip


CLAIM = register(Claim(
    id="scale_invariance", section="B12",
    statement="Scaling W by a changes neither the output BN(Wu) nor its input gradient, and divides its weight gradient by a.",
    source="Ioffe & Szegedy 2015, section 3.3 (derivation; no experiment)",
    formula="for each random layer the largest relative error over a = 0.01 ... 1000 of y, dL/du and dL/d(aW); eps = 1e-30",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "identities": Endpoint(estimand="largest relative error of BN((aW)u) against BN(Wu), of d/du, and of d/d(aW) against "
                               "(1/a) d/dW", rule=Exact(tolerance=1e-9)),
        "eps exponent": Endpoint(estimand="with eps = 1e-5: fitted exponent of the error in eps / (a^2 v), minus the predicted "
                                 "1", rule=Exact(tolerance=0.01)),
    },
    caveats=(
        "The identities are those of eps = 0. With the usual eps small weights do feel their scale: the figure.",
        "It is the weights before a norm that are scale-free; the output layer, gamma and beta are not.",
    ),
    overturn="one layer and scale at which an identity fails by more than 1e-9 in float64",
    deviations=("eps = 1e-30 in the place of none; the paper's formulas leave eps out here.",),
    analyse=analyse, draw=draw,
    say=says("scaling W changes neither BN(Wu) nor its input gradient and divides the weight gradient", "random layers"),
))  # fmt: skip
