"""A6. The blog: BN weakens the coupling between the parameters of early and of later layers, so each learns more by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Measurement, Sample, register
from bnexp.claims.runs import Runs
from bnexp.figures.style import COLORS, LINE_STYLES
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from bnexp.engine.build import Experiment

NORMS = ("none", "batch")
NETS = {
    "sigmoid, 3 layers": ("optimizer.lr=0.5",),
    "ReLU, 6 layers": (
        "model.activation=relu",
        "model.depth=6",
        "model.init=he",
        "model.init_scale=1",
        "optimizer.lr=0.05",
    ),
}
CHECKPOINTS = {
    "smoke": (0, 10),
    "quick": (0, 10, 30, 60, 100, 200, 300, 450, 600, 800),
    "full": (0, 10, 30, 100, 200, 400, 800, 1600, 3200, 6400),
}
#: Every step is scaled so that its first-order prediction lowers the loss by this part of itself: matched in both arms.
PREDICTED_DECREASE = 0.1
#: Relative size of the changes to the first layer's weights.
NUDGE = 0.05
QUANTITIES = {
    "interaction": "(a) interaction of layers",
    "ics": "(b) gradient moved by earlier layers",
    "random": "(c) random nudge of W1",
}

Step = dict[str, "Tensor"]


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """The three quantities at each checkpoint of short trainings on the embedded digits, for both nets with and without BN."""
    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    found: dict[str, np.ndarray] = {}
    for net, overrides in NETS.items():
        for norm in NORMS:
            shared = ("optimizer.momentum=0", "probes=none", "device=cpu", "threads=1", f"seed={seed}", f"norm={norm}")
            experiment = build(compose([*shared, *overrides]))
            experiment.model.train()
            rows = []
            for step in range(CHECKPOINTS[budget][-1] + 1):
                if step in CHECKPOINTS[budget]:
                    rows.append(_look(experiment, seed))
                batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
                train_step(experiment.model, experiment.optimizer, *batch)
            for quantity in QUANTITIES:
                found[f"{net}/{norm}/{quantity}"] = np.array([row[quantity] for row in rows])
    return found


def _look(experiment: Experiment, seed: int) -> dict[str, float]:
    """All three quantities for one SGD step from here, its loss judged on another batch; train mode, nothing is changed."""
    import torch
    from torch.func import functional_call, grad_and_value

    from bnexp.rng import torch_stream

    model, order = experiment.model, torch_stream(seed, "claims/layer_coupling")
    size = experiment.config.train.batch_size
    chosen = torch.randperm(len(experiment.train), generator=order)[: 2 * size].split(size)
    seen, held_out = (experiment.training_batch(indices, experiment.augmentation) for indices in chosen)
    weights = {name: p.detach().double() for name, p in model.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b.clone() for name, b in model.named_buffers()}

    def loss(candidate: Step, batch: tuple[Tensor, Tensor] = held_out) -> Tensor:
        state = {**candidate, **{name: value.clone() for name, value in buffers.items()}}
        return torch.nn.functional.cross_entropy(functional_call(model, state, (batch[0].double(),)), batch[1])

    gradient, value = grad_and_value(loss)(weights, seen)
    rate = PREDICTED_DECREASE * value / sum(g.square().sum() for g in gradient.values())
    layers = list(dict.fromkeys(name.split(".")[0] for name in weights))

    def moved(which: list[str]) -> Step:
        return {name: w - rate * gradient[name] if name.split(".")[0] in which else w for name, w in weights.items()}

    start = loss(weights)
    alone = torch.stack([start - loss(moved([layer])) for layer in layers])
    together = start - loss(moved(layers))
    shifts = []
    for place, layer in enumerate(layers[1:], start=1):
        after = grad_and_value(loss)(moved(layers[:place]), seen)[0]
        own = [name for name in weights if name.split(".")[0] == layer]
        before_l, after_l = (torch.cat([g[name].flatten() for name in own]) for g in (gradient, after))
        shifts.append(((after_l - before_l).norm() / before_l.norm()).item())
    first = next(name for name in weights if name.endswith("linear.weight"))
    noise = torch.randn(weights[first].shape, generator=order, dtype=torch.float64)
    nudged = {**weights, first: weights[first] + NUDGE * weights[first].norm() / noise.norm() * noise}
    return {
        "interaction": ((together - alone.sum()).abs() / alone.abs().sum()).item(),
        "ics": float(np.mean(shifts)),
        "random": ((loss(nudged) - start).abs() / start).item(),
    }


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Per seed the median over checkpoints of each quantity, without over with BN."""
    medians = {
        key: tuple(float(np.median(runs.measured(seed)[key])) for seed in runs.seeds())
        for key in (f"{net}/{norm}/{quantity}" for net in NETS for norm in NORMS for quantity in QUANTITIES)
    }
    samples = {
        f"{net}: {quantity}": Sample.of(medians[f"{net}/batch/{quantity}"], base=medians[f"{net}/none/{quantity}"])
        for net in NETS
        for quantity in QUANTITIES
    }
    tracks: dict[str, Any] = {
        key: np.median([runs.measured(seed)[key] for seed in runs.seeds()], axis=0) for key in medians
    }
    return Evidence(samples=samples, data={"tracks": tracks})


def draw(evidence: Evidence, figure: Figure) -> None:
    """Each quantity at the checkpoints of training, median over seeds; above the sigmoid net, below the ReLU net."""
    figure.set_size_inches(7.5, 4.6)
    panels = figure.subplots(len(NETS), len(QUANTITIES), squeeze=False)
    for row, net in zip(panels, NETS, strict=True):
        for axes, (quantity, words) in zip(row, QUANTITIES.items(), strict=True):
            for norm in NORMS:
                track = evidence.data["tracks"][f"{net}/{norm}/{quantity}"]
                axes.plot(track, color=COLORS[norm], linestyle=LINE_STYLES[norm], marker=".", label=f"norm={norm}")
            axes.set_yscale("log")
            axes.set_title(words, fontsize=8)
            axes.set_xlabel("checkpoint", fontsize=8)
        row[0].set_ylabel(net, fontsize=8)
    panels[0][0].legend(fontsize=7)


_RULE = Difference(null=1, smallest=1.25, scale="ratio")

CLAIM = register(
    Claim(
        id="layer_coupling",
        section="A6",
        statement="Batch normalisation weakens the coupling between the parameters of early and of later layers.",
        source="the blog post, after A. Ng's lecture; nobody gives it a formula",
        disputed_by="Santurkar et al. 2018, in substance: gradients of later layers change more with BN",
        formula="(a) |[L(w) - L(w + all D)] - sum_i [L(w) - L(w + D_i)]| / sum_i |L(w) - L(w + D_i)| for the SGD steps D_i of the "
        "layers, on another batch; (b) |G_i - G_i'| / |G_i| when the layers before i have stepped, same batch; (c) relative change "
        "of the loss when W1 moves by 5 % in a random direction; medians over checkpoints, ratio none/batch per seed. Every step "
        "is scaled to a predicted decrease of 10 % of the loss in both arms",
        measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 8, "full": 8}),
        endpoints={
            f"{net}: {quantity}": Endpoint(f"geometric-mean ratio of {words}, {net}", _RULE)
            for net in NETS
            for quantity, words in QUANTITIES.items()
        },
        caveats=(
            "Three definitions, all ours: a claim without a formula can be read in other ways.",
            "One learning rate for both arms of a net; the judged step is matched by its predicted decrease, not by the rate.",
        ),
        overturn="Another size of the judged step (its sign can depend on it), another net or another definition",
        analyse=analyse,
        draw=draw,
    )
)
