"""L3, O2.10. Lubana et al.: what a normaliser does at initialisation predicts how soon nets with it learn.

Legend: K normalisers, R learning rates, S seeds, N examples, C units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending
from bnexp.figures.style import SERIES
from bnexp.stats.ranks import RankCorrelation, spearman

NORMS = {
    "no norm": "norm=none",
    "BN": "norm=batch",
    "ghost BN, 8": "norm=ghost norm.ghost_size=8",
    "L1 BN": "norm=lp",
    "mean-only BN": "norm=mean_only",
    "scale-only BN": "norm=scale_only",
    "layer": "norm=layer",
    "group, 4": "norm=group",
    "group, 16": "norm=group norm.num_groups=16",
    "RMS": "norm=rms",
    "weight": "norm=weight",
    "DyT": "norm=dyt",
}
_NET = ("model=mlp", "model.activation=relu", "model.depth=8", "model.width=32", "model.init=he", "model.init_scale=1")
_TRAINING = ("optimizer.momentum=0", "train.batch_size=64", "probes=none", "device=cpu", "threads=1")
#: At quick nothing learned soonest at .03, so that it is left out there.
RATES = {"smoke": (0.1, 0.3), "quick": (0.1, 0.3), "full": (0.03, 0.1, 0.3)}
HORIZON = {"smoke": 2, "quick": 200, "full": 1000}
DATA = {"smoke": "mnist_5k", "quick": "mnist_5k", "full": "mnist"}
#: Levels of training loss in nats, and over how many steps a loss is averaged before it is compared with them.
LEVELS, AVERAGED = np.geomspace(2.0, 0.4, 10), 10
EXAMPLES = 256

SIMILARITY, GRADIENTS, ACTIVATIONS = "similarity of examples", "growth of gradients", "growth of activations"
#: Metric to what it is, as an axis says it.
METRICS = {
    SIMILARITY: "mean cosine of two examples' last hidden activations",
    GRADIENTS: "|ln growth| of the gradient's norm a layer",
    ACTIVATIONS: "|ln growth| of the activations' size a layer",
}


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Metrics of the net at its start, ``[K, 3]``, and the mean over levels of log steps to each, by rate ``[K, R]``."""
    from bnexp.config.compose import compose
    from bnexp.engine.build import build, load_data

    shared = (*_NET, *_TRAINING, f"dataset={DATA[budget]}", f"seed={seed}")
    data = load_data(compose(shared))
    metrics, log_steps = [], []
    for words in NORMS.values():
        experiment = build(compose([*shared, *words.split()]), data)
        order = [experiment.batches.next() for _ in range(HORIZON[budget])]
        log_steps.append([_log_steps(experiment, order, rate) for rate in RATES[budget]])
        metrics.append(metrics_of(experiment))
    return {"metrics": np.array(metrics), "log_steps": np.array(log_steps)}


def metrics_of(experiment: Any) -> tuple[float, float, float]:
    """Those of ``METRICS``, of one batch in train mode and float64."""
    import torch
    from torch.nn.functional import cross_entropy, normalize

    from bnexp.models.blocks import NormAct

    seen: list[Any] = []
    sites = [module for module in experiment.model.modules() if isinstance(module, NormAct)]
    hooks = [site.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])) for site in sites]
    last: list[Any] = []
    hooks.append(sites[-1].register_forward_hook(lambda _, __, output: last.append(output)))
    net = experiment.model.double().train()
    logits = net(experiment.prepare(experiment.train.images[:: len(experiment.train) // EXAMPLES][:EXAMPLES]).double())
    labels = experiment.train.labels[:: len(experiment.train) // EXAMPLES][:EXAMPLES]
    gradients = torch.autograd.grad(cross_entropy(logits, labels), seen)
    for hook in hooks:
        hook.remove()
    layers = len(seen) - 1
    direction_NC = normalize(last[0].detach(), dim=1)
    count = len(direction_NC)
    cosine = (direction_NC.sum(0).square().sum() - direction_NC.square().sum()) / (count * (count - 1))
    growth = [abs(float((part[-1].norm() / part[0].norm()).log())) / layers for part in (gradients, [z.detach() for z in seen])]
    return float(cosine), growth[0], growth[1]


def _log_steps(experiment: Any, order: Sequence[Any], rate: float) -> float:
    """Mean over the levels of log T for plain SGD from the net as it is, which is left alone; T is the first step by which the
    last steps' mean loss is below the level, else the number of batches in ``order``."""
    import copy

    import torch
    from torch.nn.functional import cross_entropy

    net = copy.deepcopy(experiment.model).train()
    weights = list(net.parameters())
    losses: list[float] = []
    for indices in order:
        x, labels = experiment.training_batch(indices, experiment.augmentation)
        loss = cross_entropy(net(x), labels)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.sub_(gradient, alpha=rate)
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]) or np.mean(losses[-AVERAGED:]) < LEVELS[-1]:
            break
    return mean_log_steps(np.array(losses), len(order))


def mean_log_steps(losses: np.ndarray, horizon: int) -> float:
    """The number that :data:`LEVELS` make of a run's losses, one a step; a run that ends early has arrived, or has diverged.

    Example:
        >>> round(float(np.exp(mean_log_steps(np.full(50, 3.0), 50))), 6)
        50.0
    """
    smooth = np.array([losses[max(0, step + 1 - AVERAGED) : step + 1].mean() for step in range(len(losses))])
    reached = [np.flatnonzero(smooth < level) for level in LEVELS]
    return float(np.mean([np.log(found[0] + 1 if len(found) else horizon) for found in reached]))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Each normaliser is a case: its metrics, and its steps at the rate that is best for it, both means over seeds."""
    metrics = dict(zip(METRICS, stacked(runs, "metrics").mean(axis=0).T, strict=True))
    log_steps_KR = stacked(runs, "log_steps").mean(axis=0)
    steps_K, best_K = np.exp(log_steps_KR.min(1)), log_steps_KR.argmin(1)
    rates = RATES[runs.budget]
    own_rate_SK = stacked(runs, "log_steps")[:, np.arange(len(best_K)), best_K]
    by_seed = [spearman(alike_K, steps_K) for alike_K, steps_K in zip(stacked(runs, "metrics")[..., 0], own_rate_SK, strict=True)]
    return Evidence(
        samples={metric: Sample.of(values_K, steps_K) for metric, values_K in metrics.items()},
        numbers={
            **{
                f"steps, {label}": f"{steps:.0f} at rate {rates[best]:g}; "
                + ", ".join(f"{metric} {values_K[place]:.3g}" for metric, values_K in metrics.items())
                for place, (label, steps, best) in enumerate(zip(NORMS, steps_K, best_K, strict=True))
            },
            f"rho of {SIMILARITY} at each seed alone": ", ".join(f"{rho:.2f}" for rho in by_seed),
        },
        data={"metrics": metrics, "steps": steps_K, "labels": list(NORMS)},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The similarity of examples, then both growths."""
    primary = verdicts[SIMILARITY]
    end = ending(primary, "enough to say that it goes with how soon they learn",
                 too_small="too little to go with how soon they learn",
                 reversed_="so those that keep examples apart learn later, not sooner",
                 open_="which leaves open whether it goes with how soon they learn")  # fmt: skip

    def rho(metric: str) -> str:
        effect = verdicts[metric].effect
        return effect.in_words() if effect else "unknown"

    return (
        f"Over {len(evidence.data['steps'])} normalisers of a ReLU net of eight layers, how alike two examples are at its start "
        f"and how many steps it then needs have a rank correlation of {rho(SIMILARITY)}, {end}; the growth of gradients has "
        f"{rho(GRADIENTS)} and that of activations {rho(ACTIVATIONS)}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Steps of each normaliser against each of its metrics at initialisation."""
    figure.set_size_inches(9.2, 3.6)
    panels = figure.subplots(1, len(METRICS), sharey=True)
    for axes, (metric, values_K) in zip(panels, evidence.data["metrics"].items(), strict=True):
        for place, (label, value, steps) in enumerate(
            zip(evidence.data["labels"], values_K, evidence.data["steps"], strict=True)
        ):
            color, marker, _ = SERIES[place % len(SERIES)]
            filled = "full" if place < len(SERIES) else "none"
            axes.plot(value, steps, marker, color=color, fillstyle=filled, markersize=6, linewidth=0, label=label)
        axes.set_xlabel(METRICS[metric].replace(" of ", " of\n", 1))
        axes.set_title(metric)
    panels[0].set_ylabel(f"steps to the levels of training loss\n{LEVELS[0]:g} to {LEVELS[-1]:g} nats, own best rate")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)


_RULE = RankCorrelation(smallest=0.6, direction=1, drawn="normaliser")

CLAIM = register(Claim(
    id="init_metrics", section="L3, O2.10",
    statement="How a normaliser treats activations and gradients at initialisation tells how soon a net with it learns.",
    source="Lubana, Dick & Tanaka 2021 (Beyond BatchNorm): exploding activations, similar examples and exploding gradients, over "
    "ten normalisers; no rank correlation is given",
    formula="over normalisers, Spearman's rho of a metric of the net at its start with T, both means over seeds; T = geometric "
    "mean over ten levels of training loss (2 to 0.4 nats, mean of ten steps) of the first step below the level, at the best of "
    "three rates (quick: .1 and .3)",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 3, "full": 8}),
    endpoints={metric: Endpoint(f"rank correlation of T with the {words}", _RULE) for metric, words in METRICS.items()},
    caveats=(
        "A case is a normaliser: twelve of them, and several are relatives (four kinds of batch statistics, two of groups).",
        "A correlation over normalisers does not say that the metric is the cause.",
        "One kind of net, of eight narrow layers, for 200 steps at quick.",
    ),
    overturn="Other normalisers, another depth, or final accuracy in the place of speed",
    deviations=(
        "Training loss instead of validation error or final accuracy, so that running statistics have no say.",
        "Instance normalisation needs images and is not among the normalisers.",
        "At quick the rate .03 was left out, to save time, after it had been seen that no normaliser that learned was best at "
        "it, so that no T changed.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
