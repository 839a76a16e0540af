"""C5. Santurkar et al., Theorem 4.1: behind BN the gradient is shorter, by two components that are projected away.

Legend: m batch, U units, K layers, T looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.exact import float64_norm, largest
from bnexp.claims.places import PLACES
from bnexp.claims.runs import all_measured
from bnexp.claims.words import mean_words, open_whether
from bnexp.figures.arms import draw_series
from bnexp.rng import numpy_stream, torch_stream
from bnexp.stats.intervals import number_words
from bnexp.stats.rules import Difference, Exact

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NUM_CASES = {"smoke": 20, "quick": 50, "full": 400}
CHECKPOINTS = {"smoke": (0, 5), "quick": (0, 1, 3, 10, 30, 100, 200), "full": (0, 1, 3, 10, 30, 100, 300, 1000, 2000)}
DATA = {"smoke": "mnist_5k", "quick": "mnist_5k", "full": "mnist"}
BATCH_SIZE = 60

#: Nets and the rate they train at, with BN: the middle of the rates of their places.
NETS = {"sigmoid": 1.0, "ReLU": 0.125}
EQUAL = "equality"


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """``error`` of the equality in each case and unit; by net, the share of both terms at each look and layer, ``[1, T, K]``."""
    rng, draw = numpy_stream(seed, "claims/projection_bound"), torch_stream(seed, "claims/projection_bound")
    errors = [_errors(rng, draw) for _ in range(NUM_CASES[budget])]
    shares = {net: np.array([_shares(net, rate, seed, budget)]) for net, rate in NETS.items()}
    return {"error": np.concatenate(errors), **shares}


def _errors(rng: np.random.Generator, draw: torch.Generator) -> np.ndarray:
    """Both sides of the theorem for every unit of one random BN in front of a random net with cross-entropy, ``[U]``.

    L is the loss as a function of z, what enters the net behind BN, L^ the same loss as a function of y, what enters BN; |.|^2 is
    over the batch. The difference of both sides is relative to (gamma^2 / sd^2) |dL/dz|^2.
    """
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    m, units, hidden, classes = (int(rng.integers(low, high)) for low, high in ((3, 80), (1, 12), (2, 12), (2, 10)))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    norm = float64_norm("batch", units, 0, affine="full", eps=1e-30)
    y_mU = (normal(m, units) * 10 ** float(rng.uniform(-2, 2)) + 3 * normal(units)).requires_grad_()
    with torch.no_grad():
        norm.weight.copy_(normal(units))
        norm.bias.copy_(normal(units))
    first, second, answers = normal(units, hidden), normal(hidden, classes), torch.from_numpy(rng.integers(classes, size=m))
    z_mU = norm(y_mU)
    loss = F.cross_entropy(torch.tanh(z_mU @ first) @ second, answers)
    of_y, of_z = (one.numpy() for one in torch.autograd.grad(loss, (y_mU, z_mU)))
    y = y_mU.detach().numpy()
    sd_U = y.std(axis=0)
    hat = (y - y.mean(axis=0)) / sd_U
    scale_U = (norm.weight.detach().numpy() / sd_U) ** 2
    whole_U = (of_z**2).sum(axis=0)
    rest_U = whole_U - of_z.sum(axis=0) ** 2 / m - (of_z * hat).sum(axis=0) ** 2 / m
    return np.abs((of_y**2).sum(axis=0) - scale_U * rest_U) / (scale_U * whole_U)


def _shares(net: str, rate: float, seed: int, budget: str) -> list[list[float]]:
    """What part of |dL/dz|^2, summed over a layer's units, the two subtracted terms are, on the training batch: look, layer."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step
    from bnexp.models.blocks import NormAct

    words = (*PLACES[net].overrides, "norm=batch", f"optimizer.lr={rate}", f"train.batch_size={BATCH_SIZE}")
    experiment = build(compose([f"dataset={DATA[budget]}", "probes=none", "device=cpu", "threads=1", f"seed={seed}", *words]))
    model, rows = experiment.model.train(), []
    seen: list[tuple[Tensor, Tensor]] = []
    for module in model.modules():
        if isinstance(module, NormAct):
            module.norm.register_forward_hook(lambda _, entered, left: seen.append((entered[0], left)))
    for step in range(CHECKPOINTS[budget][-1] + 1):
        x, answers = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
        if step in CHECKPOINTS[budget]:
            gradients = torch.autograd.grad(F.cross_entropy(model(x), answers), [left for _, left in seen])
            rows.append([_share(y.detach().double(), g.double()) for (y, _), g in zip(seen, gradients, strict=True)])
        train_step(model, experiment.optimizer, x, answers)
        seen.clear()
    return rows


def _share(y_mU: Tensor, g_mU: Tensor) -> float:
    """(<1, g>^2 + <g, y^>^2) / m over |g|^2, each summed over the units."""
    hat = (y_mU - y_mU.mean(dim=0)) / (y_mU.var(dim=0, unbiased=False) + 1e-5).sqrt()
    taken = (g_mU.sum(dim=0).square() + (g_mU * hat).sum(dim=0).square()) / len(g_mU)
    return float(taken.sum() / g_mU.square().sum())


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The error of every case and unit, and by seed the share of both terms, mean over looks and layers."""
    every = all_measured(runs)
    shares = {net: every[net].mean(axis=(1, 2)) for net in NETS}
    return Evidence(
        samples={EQUAL: Sample.of(every["error"]), **{_of(net): Sample.of(shares[net]) for net in NETS}},
        numbers={
            "cases": f"{len(every['error']):,} units in random nets of 3 to 79 examples",
            **{f"share in {PLACES[net].words}": mean_words(100 * shares[net]) for net in NETS},
            **{
                f"share by layer, first to last, {PLACES[net].words}": ", ".join(
                    f"{100 * share:.0f} %" for share in every[net].mean(axis=(0, 1))
                )
                for net in NETS
            },
        },
        data={"steps": CHECKPOINTS[runs.budget], "shares": {net: 100 * every[net].mean(axis=2) for net in NETS}},
    )


def _of(net: str) -> str:
    return f"share, {net}"


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Whether both sides are equal, and what part of the squared gradient the terms take in training."""
    verdict = verdicts[EQUAL]
    if verdict.outcome == "INCONCLUSIVE":
        return open_whether("both sides are equal", verdict)
    sample = evidence.samples[EQUAL]
    holds = "is an equality" if verdict.outcome == "SUPPORTED" else "is no equality"
    effects = {net: verdicts[_of(net)].effect for net in NETS}
    shares = [f"{100 * effect.estimate:.0f} % in {PLACES[net].words}" for net, effect in effects.items() if effect]
    return (
        f"The bound on the gradient in front of one BN {holds}: the largest error in {sample.num_seeds:,} units of random nets "
        f"is {number_words(largest(sample))}; the two terms that BN takes away are, of the squared gradient behind it, "
        f"{' and '.join(shares)}; in a random direction they would be {100 * 2 / BATCH_SIZE:.0f} %."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """What part of the squared gradient behind BN the two terms are, over training; grey: that of a random direction."""
    steps = np.asarray(evidence.data["steps"])
    series = {PLACES[net].words: values for net, values in evidence.data["shares"].items()}
    theory = {f"a random direction, 2 in {BATCH_SIZE}": np.full(len(steps), 100 * 2 / BATCH_SIZE)}
    axes = draw_series(steps, series, figure.subplots(), xlabel="training step", theory=theory,
                       ylabel="part of the squared gradient\nthat BN takes away, %")  # fmt: skip
    axes.set_xscale("symlog", linthresh=1)
    axes.set_ylim(bottom=0)


_SHARE = Difference(null=2 / BATCH_SIZE, smallest=0.1)

CLAIM = register(Claim(
    id="projection_bound", section="C5",
    statement="In front of one batch normalisation the squared gradient is gamma² / sd² times that behind it, less its mean and "
    "its part along the normalised values: Theorem 4.1 holds, as an equality.",
    source="Santurkar et al. 2018, Theorem 4.1 (an inequality there)",
    formula="|dL^/dy_j|^2 = (gamma_j^2 / sd_j^2) (|dL/dz_j|^2 - <1, dL/dz_j>^2 / m - <dL/dz_j, y^_j>^2 / m), z = gamma y^ + "
    "beta; error relative to (gamma_j^2 / sd_j^2) |dL/dz_j|^2; beside it the two terms as a share of |dL/dz|^2 in training",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 8, "full": 8}),
    endpoints={
        EQUAL: Endpoint("relative error of the equality, every unit of every case", Exact(tolerance=1e-8)),
        **{
            _of(net): Endpoint(f"share of both subtracted terms in |dL/dz|^2, mean over layers and looks, {PLACES[net].words}; "
                               "2/m of a random direction is no effect", _SHARE)
            for net in NETS
        },
    },
    caveats=(
        "It compares a net with itself, with and without one BN in front of the same activations; of the gradients of weights in "
        "two nets that were trained apart it says nothing.",
        "With the usual eps the equality holds up to eps / variance.",
        "That terms are taken away does not say that their loss helps.",
    ),
    overturn="a unit in float64 at which both sides differ by 1e-8 of the gradient",
    deviations=("eps = 1e-30 in the equality, 1e-5 in the nets that are trained.",),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
