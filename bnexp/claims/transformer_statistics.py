"""O2.9. Shen et al.: BN loses in transformers because the statistics of a batch of tokens fluctuate more than those of images.

Legend: S seeds, K batches, U features, L sites of a norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, mean_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.stats.rules import Difference

VIT_BN, VIT_LN, CNN = "transformer with BN", "transformer with layer norm", "convolutional net with BN"
_VIT = ("model=vit", "model.patch=4", "model.width=32", "model.depth=2", "optimizer=adam", "optimizer.lr=0.005")
NETS = {
    VIT_BN: (*_VIT, "norm=batch"),
    VIT_LN: (*_VIT, "norm=layer"),
    CNN: ("model=cnn", "model.width=4", "norm=batch", "optimizer=adam", "optimizer.lr=0.01"),
}
TRAINED = {"smoke": 2, "quick": 100, "full": 1000}
BATCHES = {"smoke": 8, "quick": 40, "full": 400}
BATCH_SIZE = 32
DATA = {"smoke": "mnist_5k", "quick": "mnist_5k", "full": "mnist"}
MEAN, VARIANCE = "mean", "variance"
SMALLEST = 3.0


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Relative fluctuation of the batch mean and of the batch variance at every site of every net, median over features.

    Shape: ``<net>/mean`` and ``<net>/variance`` ``[L]``, ``<net>/places`` ``[L]``: values that an example gives to a feature.
    """
    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    found: dict[str, np.ndarray] = {}
    for net, words in NETS.items():
        shared = (
            f"dataset={DATA[budget]}",
            f"train.batch_size={BATCH_SIZE}",
            "probes=none",
            "device=cpu",
            "threads=1",
            f"seed={seed}",
        )
        experiment = build(compose([*shared, *words]))
        model = experiment.model.train()
        for _ in range(TRAINED[budget]):
            batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
            train_step(model, experiment.optimizer, *batch)
        found |= {f"{net}/{name}": values for name, values in _fluctuations(experiment, BATCHES[budget]).items()}
    return found


def _fluctuations(experiment: Any, num_batches: int) -> dict[str, np.ndarray]:
    """Of what enters each norm, over batches of the frozen net in train mode."""
    import torch

    from bnexp.models.blocks import NormAct

    sites = [module.norm for module in experiment.model.modules() if isinstance(module, NormAct)]
    moments: dict[int, list[tuple[Any, Any, int]]] = {place: [] for place in range(len(sites))}

    def enter(place: int, values: Any) -> None:
        by_feature = values.double().movedim(1, 0).flatten(1)
        var_U, mean_U = torch.var_mean(by_feature, 1, correction=0)
        moments[place].append((mean_U, var_U, by_feature.shape[1]))

    hooks = [
        site.register_forward_pre_hook(lambda _, inputs, place=place: enter(place, inputs[0])) for place, site in enumerate(sites)
    ]
    with torch.no_grad():
        for _ in range(num_batches):
            indices = experiment.batches.next()
            experiment.model(experiment.training_batch(indices, experiment.augmentation)[0])
    for hook in hooks:
        hook.remove()
    size = len(indices)
    rows = [fluctuation(*(torch.stack(part).numpy() for part in list(zip(*kept, strict=True))[:2])) for kept in moments.values()]
    return {
        MEAN: np.array([row[0] for row in rows]),
        VARIANCE: np.array([row[1] for row in rows]),
        "places": np.array([kept[0][2] // size for kept in moments.values()]),
    }


def fluctuation(mean_KU: np.ndarray, var_KU: np.ndarray) -> tuple[float, float]:
    """How far batches differ: sd of the mean over batches, in sds of the feature; sd of the variance, in its mean; medians over U.

    Features that are constant are left out. For values that are all independent, m of them in a batch and normal, they are
    ``1 / sqrt(m)`` and ``sqrt(2 / m)``.
    """
    whole_U = var_KU.mean(0) + mean_KU.var(0)
    kept = var_KU.mean(0) > 1e-12
    mean, var = mean_KU[:, kept].std(0) / np.sqrt(whole_U[kept]), var_KU[:, kept].std(0) / var_KU[:, kept].mean(0)
    return float(np.median(mean)), float(np.median(var))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Fluctuations of each seed, geometric mean over sites, and the ratio of the transformer's to the convolutional net's."""
    every = {
        moment: {net: np.exp(np.log(stacked(runs, f"{net}/{moment}")).mean(1)) for net in NETS} for moment in (VARIANCE, MEAN)
    }
    equal = {
        net: np.array([_at_equal_places(runs.measured(seed), net) for seed in runs.seeds()]) for net in (VIT_BN, CNN)
    }
    return Evidence(
        samples={
            f"{VARIANCE}, {VIT_BN}": Sample.of(every[VARIANCE][CNN], every[VARIANCE][VIT_BN]),
            f"{MEAN}, {VIT_BN}": Sample.of(every[MEAN][CNN], every[MEAN][VIT_BN]),
            f"{VARIANCE}, {VIT_LN}": Sample.of(every[VARIANCE][CNN], every[VARIANCE][VIT_LN]),
            f"{MEAN}, {VIT_LN}": Sample.of(every[MEAN][CNN], every[MEAN][VIT_LN]),
            f"{VARIANCE}, as many places": Sample.of(equal[CNN], equal[VIT_BN]),
        },
        numbers={
            f"fluctuation of the batch {moment}, {label}": mean_words(100 * values_S)
            for moment, found in every.items()
            for label, values_S in found.items()
        },
        data={"every": every},
    )


def _at_equal_places(measured: Mapping[str, np.ndarray], net: str) -> float:
    """Of the variance, at sites where an example gives a feature as many values as it has tokens."""
    same = measured[f"{net}/places"] == measured[f"{VIT_BN}/places"][0]
    return float(np.exp(np.log(measured[f"{net}/{VARIANCE}"][same]).mean()))


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The variance in the nets with BN, then the mean, then at as many places."""
    variance, mean = evidence.data["every"][VARIANCE], evidence.data["every"][MEAN]
    primary = verdicts[f"{VARIANCE}, {VIT_BN}"]

    def times(name: str) -> str:
        effect = verdicts[name].effect
        return effect.in_words() if effect else "unknown"

    end = ending(primary, f"so at least {SMALLEST:g} times as much",
                 too_small=f"less than the {SMALLEST:g} times that the claim asks for",
                 reversed_="so it is the other way round", open_=f"which leaves open whether it is {SMALLEST:g} times as much")
    tokens, space = (tuple(f"{100 * found[net].mean():.1f} %" for found in (variance, mean)) for net in (VIT_BN, CNN))
    names = (f"{VARIANCE}, {VIT_BN}", f"{MEAN}, {VIT_BN}", f"{VARIANCE}, as many places")
    more, of_mean, at_places = (times(name) for name in names)
    return (
        f"From one batch of {BATCH_SIZE} digits to the next the variance of a feature moves by {tokens[0]} in a tiny vision "
        f"transformer with BN and by {space[0]} in a small convolutional net: {more} times as much, {end}; its mean moves by "
        f"{tokens[1]} and {space[1]} of its sd ({of_mean} times), and where both have as many places an image the variance moves "
        f"{at_places} times as much."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Fluctuation of batch mean and batch variance of each seed by net, on one logarithmic scale."""
    figure.set_size_inches(8.4, 2.8)
    for axes, moment in zip(figure.subplots(1, 2, sharey=True), (VARIANCE, MEAN), strict=True):
        found = {net: 100 * values for net, values in evidence.data["every"][moment].items()}
        unit = "% of itself" if moment == VARIANCE else "% of the feature's sd"
        draw_arms_by_seed(found, axes, xlabel=f"sd between batches, {unit}")
        axes.set_xlim(left=0)
        axes.set_title(f"batch {moment}")


_RULE = Difference(null=1, smallest=SMALLEST, scale="ratio")

CLAIM = register(Claim(
    id="transformer_statistics", section="O2.9",
    statement="Batch normalisation suits transformers badly because the statistics of a batch of token features fluctuate much "
    "more than those of convolutional features.",
    source="Shen et al. 2020 (PowerNorm), section 3 and Fig. 2: transformers on text against ResNet20 on CIFAR-10; nobody gives "
    "a number for pictures",
    disputed_by="Yao et al. 2021: vision transformers train with BN, once their hidden layers have it too",
    formula="of what enters each norm in a net frozen after 100 steps (quick; full 1,000): sd over batches of 32 of a feature's "
    "batch variance, over its mean; sd of its batch mean, over the feature's sd; median over features, geometric mean over "
    "norms; transformer over convolutional net, paired by seed",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 8}),
    endpoints={
        f"{VARIANCE}, {VIT_BN}": Endpoint("geometric-mean ratio of the variance's fluctuation, both nets with BN", _RULE),
        f"{MEAN}, {VIT_BN}": Endpoint("the same of the mean's", _RULE),
        f"{VARIANCE}, {VIT_LN}": Endpoint("the variance's, of the transformer with layer norm", _RULE),
        f"{MEAN}, {VIT_LN}": Endpoint("the mean's, of the transformer with layer norm", _RULE),
        f"{VARIANCE}, as many places": Endpoint("the variance's, of the norms of both nets to which an image gives 49 values a "
                                                "feature", _RULE),
    },
    caveats=(
        "Digits cut into patches are not text: words of very different frequency, which the source's transformers read, are not "
        "among them.",
        "How much statistics fluctuate is not yet how much BN loses by it.",
        "An image gives a feature 49 values in this transformer and 784, 196 or 49 in the convolutional net; the last endpoint "
        "compares norms with 49.",
    ),
    overturn="The same numbers of a transformer that reads text",
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "The net is frozen while batches are compared; the source compares batches with running statistics in training.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
