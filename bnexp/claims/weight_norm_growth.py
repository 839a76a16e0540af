"""B13 and I1. The paper: batch normalisation "will stabilize the parameter growth" (section 3.3), because of an exact identity.

The loss does not depend on the length of weights w in front of a norm, so their gradient g is orthogonal to them and a step of
plain SGD is one side of a right triangle: ||w'||^2 = ||w||^2 + lr^2 ||g||^2. Weights only ever grow, and since g shrinks like
1 / ||w|| they grow ever more slowly: like t^(1/4) while the noise of the gradient stays the same (derived, not in the paper).

Legend: T steps, L layers in front of a norm, P recorded steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, register
from bnexp.claims.exact import says
from bnexp.claims.runs import all_measured, first_measured, stacked
from bnexp.config.schema import ModelConfig, NormConfig
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream, torch_stream
from bnexp.stats.rules import Exact
from bnexp.stats.slopes import log_log_slopes

NUM_STEPS = {"smoke": 5, "quick": 150, "full": 1000}
NUM_GROWTH_STEPS = {"smoke": 40, "quick": 2000, "full": 20_000}
BATCH_SIZE, LEARNING_RATE = 60, 0.5

#: Small initial weights, so that growth soon forgets where it started; their size has no other effect in front of a norm.
MODELS = {
    "mlp": ModelConfig(
        name="mlp",
        init="gaussian",
        init_scale=0.001,
        options={"depth": 3, "width": 16, "activation": "sigmoid", "first_scale": 1.0},
    ),
    "cnn": ModelConfig(name="cnn", init="he", init_scale=0.1, options={"width": 4}),
}

#: What each arm of the identity's check changes; the first two are the claim itself.
ARMS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "cnn": {"model": "cnn"},
    "eps 1e-5": {"eps": 1e-5},
    "momentum 0.9": {"momentum": 0.9},
    "weight decay 1e-3": {"weight_decay": 1e-3},
}
IDENTITY, BREAKING = ("mlp", "cnn"), ("momentum 0.9", "weight decay 1e-3")
LABELS = {"digits": "real labels", "random": "random labels"}


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Errors of both identities by arm ``[T, L, 2]``, cosines of what no norm follows, and ||w|| by kind of labels ``[P, L]``."""
    found: dict[str, np.ndarray] = {}
    for arm, changes in ARMS.items():
        errors, others = [], []
        for step in _train(seed, NUM_STEPS[budget], **changes):
            errors.append([_identity_errors(*values) for name, values in step.items() if _is_followed(name)])
            others.append([_cosine(w, g) for name, (w, g, _) in step.items() if not _is_followed(name)])
        found |= {arm: np.array(errors), f"{arm}, other parameters": np.array(others)}
    recorded = np.unique(np.geomspace(1, NUM_GROWTH_STEPS[budget], 60).astype(int))
    found["steps"] = recorded
    for labels in LABELS:
        lengths = [
            [float(new.norm()) for name, (_, _, new) in step.items() if _is_followed(name)]
            for step in _train(seed, NUM_GROWTH_STEPS[budget], labels=labels)
        ]
        found[labels] = np.array(lengths)[recorded - 1]
    return found


def _train(
    seed: int, num_steps: int, *, model: str = "mlp", eps: float = 1e-30, momentum: float = 0.0, weight_decay: float = 0.0,
    labels: str = "digits",
) -> Iterator[dict[str, tuple[Any, Any, Any]]]:  # fmt: skip
    """SGD in float64 on the embedded digits; each step yields every parameter's w, its gradient, and w after the step."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    from bnexp.data import SOURCES, default_data_dir

    digits = SOURCES["mnist_5k"].load(default_data_dir()).train
    images, classes = torch.from_numpy(digits.images), torch.from_numpy(digits.labels)
    net, rng = _network(MODELS[model], eps, seed), numpy_stream(seed, "weight_norm_growth")
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=momentum, weight_decay=weight_decay)
    for _ in range(num_steps):
        batch = torch.from_numpy(rng.integers(len(classes), size=BATCH_SIZE))
        answers = classes[batch] if labels == "digits" else torch.from_numpy(rng.integers(10, size=BATCH_SIZE))
        optimizer.zero_grad()
        F.cross_entropy(net(images[batch].double() / 255), answers).backward()
        before = {name: (w.detach().clone(), w.grad.clone()) for name, w in net.named_parameters()}
        optimizer.step()
        yield {name: (*before[name], w.detach()) for name, w in net.named_parameters()}


def _network(config: ModelConfig, eps: float, seed: int) -> Any:
    from bnexp.models.factory import build_model
    from bnexp.norms.factory import norm_factory

    options = {"affine": "full", "eps": eps, "momentum": 0.1}
    norm = NormConfig(name="reference", placement="before", options=options)
    factory = norm_factory(norm, batch_size=BATCH_SIZE, generator=torch_stream(seed, "noise"))
    return build_model(config, (1, 28, 28), 10, factory, seed).double()


def _is_followed(name: str) -> bool:
    """Whether a norm follows this parameter: the weights of hidden layers, not the output, gammas or betas."""
    return name.endswith(("linear.weight", "conv.weight"))


def _identity_errors(w: Any, g: Any, new: Any) -> tuple[float, float]:
    """``|<w, g>| / (||w|| ||g||)``, and the error of the squared length after the step, relative to it."""
    square = float(new.square().sum())
    return _cosine(w, g), abs(square - float(w.square().sum() + LEARNING_RATE**2 * g.square().sum())) / square


def _cosine(w: Any, g: Any) -> float:
    return abs(float((w * g).sum())) / max(float(w.norm() * g.norm()), 1e-300)


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Both errors at every step and layer, and the exponents with which weights grow."""
    every = all_measured(runs)
    errors = {arm: every[arm].reshape(-1, 2) for arm in ARMS}
    cosine, square = (np.concatenate([errors[arm][:, index] for arm in IDENTITY]) for index in (0, 1))
    others = np.concatenate([every[f"{arm}, other parameters"].ravel() for arm in IDENTITY])
    steps_P = first_measured(runs)["steps"]
    lengths = {labels: np.mean([one / one[0] for one in stacked(runs, labels)], axis=0) for labels in LABELS}
    late = steps_P >= steps_P[-1] / 10
    exponents = {labels: log_log_slopes(steps_P[late], length_PL[late].T) for labels, length_PL in lengths.items()}
    largest = {arm: float(errors[arm][:, 1].max()) for arm in ARMS}
    layers = {arm: first_measured(runs)[arm].shape[1] for arm in IDENTITY}

    def in_words(slope_L: np.ndarray) -> str:
        return ", ".join(f"{slope:.2f}" for slope in slope_L) + f" from step {int(steps_P[late][0])} on (theory 0.25)"

    return Evidence(
        samples={"orthogonal": Sample.of(cosine), "right triangle": Sample.of(square)},
        gates={"momentum and weight decay break it": all(largest[arm] > 1e-6 for arm in BREAKING)},
        numbers={
            "cases": f"{len(cosine)}: every step of {layers['mlp']} layers of an mlp and {layers['cnn']} of a cnn",
            **{f"largest error of the squared length, {arm}": f"{value:.1e}" for arm, value in largest.items()},
            "largest |cosine| of w and g, gamma, beta and the output layer": f"{others.max():.2f}",
            **{
                f"exponent of ||w|| in t by layer, {LABELS[labels]}": in_words(slope_L)
                for labels, slope_L in exponents.items()
            },
        },
        data={"largest": largest, "steps": steps_P, "lengths": lengths, "exponents": exponents},
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Above, the identity's largest error by arm; below, the growth of the weights."""
    figure.set_size_inches(4.8, 5.4)
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.5))
    _draw_errors(evidence.data["largest"], upper)
    steps_P, lengths, middle = np.asarray(evidence.data["steps"]), evidence.data["lengths"], 1
    places = ((0.72, 0.86, COLORS["batch"], "-"), (0.97, 0.24, COLORS["none"], ":"))
    for (labels, length_PL), (x, y, color, style) in zip(lengths.items(), places, strict=True):
        lower.plot(steps_P, np.asarray(length_PL)[:, middle], color=color, linestyle=style, linewidth=1.6)
        text = f"{LABELS[labels]}: exponent {evidence.data['exponents'][labels][middle]:.2f}"
        lower.annotate(text, (x, y), xycoords="axes fraction", ha="right", color=color)
    late = steps_P[steps_P >= steps_P[-1] / 10]
    top = 0.8 * min(np.asarray(length_PL)[-1, middle] for length_PL in lengths.values())
    lower.plot(late, top * (late / late[-1]) ** 0.25, color="#555555", linestyle="--", linewidth=1)
    lower.annotate("dashed: exponent 1/4", (0.97, 0.12), xycoords="axes fraction", ha="right", color="#555555")
    lower.set(xscale="log", yscale="log", xlabel="steps of plain SGD", title="so the weights only grow (second hidden layer)")
    lower.set_ylabel("||w|| / ||w after the first step||")


def _draw_errors(largest: dict[str, float], axes: Any) -> None:
    rows = np.arange(len(largest))[::-1]
    colors = [COLORS["batch"] if arm in IDENTITY else COLORS["none"] for arm in largest]
    axes.scatter(list(largest.values()), rows, color=colors, marker="o", s=26, zorder=3)
    for row, value in zip(rows, largest.values(), strict=True):
        axes.annotate(f"{value:.0e}", (value, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.axvline(1e-8, color="#555555", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlim=(1e-17, 10), ylim=(-0.6, len(rows) - 0.4), title="||w'||² = ||w||² + lr² ||g||²")
    axes.set_xlabel("largest relative error (dotted: tolerance)")
    axes.set_yticks(rows, list(largest))
    axes.grid(visible=False, axis="y")


CLAIM = register(Claim(
    id="weight_norm_growth", section="B13, I1",
    statement="Weights before a norm are orthogonal to their gradient, so a step of plain SGD only lengthens them.",
    source="Ioffe & Szegedy 2015, section 3.3 (in words); Arora, Li & Lyu 2019, Lemma 2.4 (the identity)",
    formula="at each step and layer |<w, g>| / (||w|| ||g||) and the relative error of ||w'||^2 = ||w||^2 + lr^2 ||g||^2",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 1, "full": 3}),
    endpoints={
        "orthogonal": Endpoint(estimand="|cosine| of w and g, every layer and step", rule=Exact(tolerance=1e-8)),
        "right triangle": Endpoint(estimand="relative error of the squared length after the step, every layer and step",
                                   rule=Exact(tolerance=1e-8)),
    },
    gates=("momentum and weight decay break it",),
    caveats=(
        "Only plain SGD, only weights in front of a norm, only eps = 0: momentum, weight decay and the usual eps break it (the "
        "figure), and gamma, beta and the output layer never had it.",
        "The exponent 1/4 assumes gradient noise of one strength, which neither kind of labels keeps: real ones pull in a steady "
        "direction first and fade when learned; with random ones the net learns to answer evenly, and over longer runs the "
        "exponent falls below 1/4. It depends on the window, is reported and not judged.",
    ),
    overturn="a step of plain SGD in float64 after which a layer's length differs from the triangle's by 1e-8",
    deviations=("eps = 1e-30 in the place of the usual 1e-5, whose errors are shown beside it.",),
    analyse=analyse, draw=draw,
    say=says("weights before a norm are orthogonal to their gradient", "steps and layers of plain SGD"),
))  # fmt: skip
