"""D3. Bjorck et al. 2018: after a step that diverges, channel means and sds of a net without BN grow exponentially with depth.

Legend: K places in front of a norm (or where one would be), from the first to the last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.first_steps import ARMS, BATCH_SIZE, DATA, NETS, PLAIN, RATES, RESIDUAL, WORDS, first_ratios, limit_of
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.runs import all_measured
from bnexp.claims.words import ending
from bnexp.figures.arms import draw_panels
from bnexp.stats.rules import Difference, Equivalence

if TYPE_CHECKING:
    from torch import Tensor

MOMENTS = ("sd", "mean")
GROWTH, FLAT = "growth without BN against with it", "growth with BN"
SMALLEST = 0.05  # powers of ten a layer


def measure(seed: int, budget: str, control: str, subject: str, overrides: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """By net and arm, before and after the first step that diverges: log10 of units' sd and |mean|, each averaged. ``[1, K]``."""
    import torch

    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.models.blocks import NormAct

    found: dict[str, np.ndarray] = {}
    shared = (f"dataset={DATA[budget]}", f"train.batch_size={BATCH_SIZE}", "optimizer.momentum=0", "probes=none")
    for net, words in NETS.items():
        for arm, norm in zip(ARMS, (control, subject), strict=True):
            composed = compose([*shared, "device=cpu", "threads=1", f"seed={seed}", *words, *norm.split(), *overrides])
            experiment = build(composed)
            model = experiment.model.train()
            x, answers = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
            rate = RATES[limit_of(first_ratios(model, x, answers))]
            seen: list[Tensor] = []

            def look(_: object, entered: tuple[Tensor, ...], into: list[Tensor] = seen) -> None:
                into.append(entered[0].detach().double())

            for module in model.modules():
                if isinstance(module, NormAct):
                    module.norm.register_forward_pre_hook(look)
            loss = torch.nn.functional.cross_entropy(model(x), answers)
            before, weights = list(seen), list(model.parameters())
            with torch.no_grad():
                for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                    weight.sub_(gradient, alpha=float(rate))
                seen.clear()
                model(x)
            for when, values in (("before", before), ("after", seen)):
                for moment, by_layer in zip(MOMENTS, _log_moments(values), strict=True):
                    found[f"{net}/{arm}/{when}/{moment}"] = by_layer[None]
    return found


def _log_moments(values: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """log10 of the sd and of the |mean| over the batch, each averaged over units, of every place ``[K]``."""
    sds = [value.std(dim=0, unbiased=False).mean().log10().item() for value in values]
    means = [value.mean(dim=0).abs().mean().log10().item() for value in values]
    return np.array(sds), np.array(means)


def slopes(logs_SK: np.ndarray) -> np.ndarray:
    """Least-squares growth of log10 of a moment, in powers of ten a layer, of each seed. Shape ``[S]``."""
    return np.polyfit(np.arange(logs_SK.shape[1]), logs_SK.T, deg=1)[0]


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Growth of both moments with depth after the step, without against with BN, and with BN by itself."""
    every = all_measured(runs)
    finite = all(np.isfinite(values).all() for values in every.values())
    samples, numbers = {}, {}
    for net in NETS:
        for moment in MOMENTS:
            plain_S, with_bn_S = (slopes(np.nan_to_num(every[f"{net}/{arm}/after/{moment}"])) for arm in ARMS)
            samples[f"{net}, {moment}: {GROWTH}"] = Sample.of(plain_S, with_bn_S)
            samples[f"{net}, {moment}: {FLAT}"] = Sample.of(with_bn_S)
            start = [slopes(np.nan_to_num(every[f"{net}/{arm}/before/{moment}"])).mean() for arm in ARMS]
            numbers[f"{WORDS[net]}, {moment}"] = (
                f"{plain_S.mean():.3f} powers of ten a layer without, {with_bn_S.mean():.3f} with BN after the step; before it "
                f"{start[0]:.3f} and {start[1]:.3f}"
            )
    data: dict[str, Any] = {key: values for key, values in every.items() if key.endswith("/sd")}
    data["slopes before"] = {arm: slopes(np.nan_to_num(every[f"{RESIDUAL}/{arm}/before/sd"])).mean() for arm in ARMS}
    return Evidence(samples=samples, gates={"every moment is a number": finite}, numbers=numbers, data=data)


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Growth of the sd in residual nets without and with BN, and in plain ones."""
    growth, flat = verdicts[f"{RESIDUAL}, sd: {GROWTH}"], verdicts[f"{RESIDUAL}, sd: {FLAT}"]
    last = ending(
        growth,
        f"so it grows faster without BN by more than the {SMALLEST:g} that matter"
        + (", and hardly with it" if flat.outcome == "SUPPORTED" else ""),
        too_small=f"so it does not grow faster without BN by the {SMALLEST:g} that matter",
        reversed_="so it grows faster with BN",
    )

    before = evidence.data["slopes before"]

    def both(net: str) -> str:
        sample = evidence.samples[f"{net}, sd: {GROWTH}"]
        without, with_bn = (float(sample.seeds_of(sides).mean()) for sides in (sample.arm, sample.base))
        return f"{without:.3f} powers of ten a layer without BN and {with_bn:.3f} with it"

    return (
        "After the first step that multiplies their loss by ten, the sd of what a unit receives grows with depth by "
        f"{both(RESIDUAL)} in {WORDS[RESIDUAL]} (before it by {before[CONTROL]:.3f} and {before[SUBJECT]:.3f}), {last} "
        f"({WORDS[PLAIN]}, after the step: {both(PLAIN)})."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """sd of what a unit receives at each place in front of a norm, or where one would be, before and after the step."""
    figure.set_size_inches(7.6, 3.6)
    panels = {}
    for net in NETS:
        series = {
            f"{label}, {when} the step": 10 ** evidence.data[f"{net}/{arm}/{when}/sd"]
            for when in ("after", "before")
            for label, arm in (("with BN", SUBJECT), ("without BN", CONTROL))
        }
        panels[WORDS[net]] = 1 + np.arange(next(iter(series.values())).shape[1]), series
    xlabel, ylabel = "place in the net, from its input on", "sd of what a unit receives,\nmean over units"
    for axes in draw_panels(figure, panels, xlabel=xlabel, ylabel=ylabel):
        axes.set_yscale("log")


_NAMES = [f"{net}, {moment}" for net in NETS for moment in MOMENTS]

CLAIM = register(Claim(
    id="moments_explode", section="D3",
    statement="After a first step that diverges, the means and sds of what units receive grow exponentially with depth without "
    "batch normalisation, and hardly with it.",
    source="Bjorck et al. 2018, on ResNet-110: sd from 10^-1.2 to 10^3 without BN, within 10^±1 with it",
    formula="slope of log10 of the sd (or |mean|) over the batch, mean over units, on the layer, after one step at the smallest "
    "rate at which L(w - lr g) > 10 L(w), each net at its own; without BN minus with it, paired by seed; beside it the slope "
    "with BN",
    control="norm=none", subject="norm=batch",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 12}, takes_subject=True),
    endpoints={
        **{
            f"{name}: {GROWTH}": Endpoint("slope without BN minus slope with it", Difference(null=0, smallest=SMALLEST),
                                          unit="powers of ten a layer")
            for name in _NAMES
        },
        **{
            f"{name}: {FLAT}": Endpoint("slope with BN", Equivalence(margin=SMALLEST), unit="powers of ten a layer")
            for name in _NAMES
        },
    },
    gates=("every moment is a number",),
    caveats=(
        "The step is the one that diverges for each net: with BN at a rate ten thousand times as large (first_steps).",
        "What enters a norm is looked at, also with BN; what leaves it has mean beta and sd gamma by construction.",
        "In residual nets the sum grows with every block before any step as well; the numbers give that growth.",
    ),
    overturn="Another initialisation: bnexp reproduce moments_explode model.init_scale=0.3",
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "Fully connected nets on digits instead of ResNet-110 on CIFAR-10; one step, and moments over a batch of 128.",
        "docs/claims.md, D3 asks for a slope with BN whose interval includes 0; here it is to lie within .05 a layer of it, "
        "since no finite number of seeds shows that a slope is 0.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
