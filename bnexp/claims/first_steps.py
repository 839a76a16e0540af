"""D2. Bjorck et al. 2018: in its first steps a net without BN diverges at learning rates at which one with BN does not.

Legend: R learning rates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.runs import all_measured
from bnexp.claims.words import ending
from bnexp.figures.arms import draw_panels
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from torch import Tensor, nn

ARMS = (CONTROL, SUBJECT)
RESIDUAL, PLAIN = "residual", "plain"
NETS = {
    RESIDUAL: ("model=resmlp", "model.depth=20", "model.width=128", "model.init=he", "model.init_scale=1"),
    PLAIN: ("model=mlp", "model.activation=relu", "model.depth=20", "model.width=128", "model.init=he", "model.init_scale=1"),
}
WORDS = {RESIDUAL: "residual nets of 20 blocks", PLAIN: "plain ReLU nets of 20 layers"}
DATA = {"smoke": "mnist_5k", "quick": "mnist_5k", "full": "mnist"}
BATCH_SIZE = 128

#: Learning rates, five a factor of ten, wide enough that every net passes the limit inside.
RATES = 10.0 ** np.arange(-8, 4.01, 0.2)
NUM_STEPS = 10
#: The loss after a step over the loss before it, on the same batch, from which a step counts as one that diverges; a loss that is
#: no finite number does too.
LIMIT = 10.0
FIRST, TEN = "first step", "ten steps"


def measure(seed: int, budget: str, control: str, subject: str, overrides: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """By net and arm: the loss after the first step over that before, by rate ``[1, R]``; log10 of both limits, ``[1]``."""
    from bnexp.config.compose import compose
    from bnexp.engine.build import build

    found: dict[str, np.ndarray] = {}
    shared = (f"dataset={DATA[budget]}", f"train.batch_size={BATCH_SIZE}", "optimizer.momentum=0", "probes=none")
    for net, words in NETS.items():
        for arm, norm in zip(ARMS, (control, subject), strict=True):
            composed = compose([*shared, "device=cpu", "threads=1", f"seed={seed}", *words, *norm.split(), *overrides])
            experiment = build(composed)
            draws = range(NUM_STEPS)
            batches = [experiment.training_batch(experiment.batches.next(), experiment.augmentation) for _ in draws]
            ratios_R = first_ratios(experiment.model, *batches[0])
            first = limit_of(ratios_R)
            stands = (place for place in range(first, 0, -1) if _worst(experiment.model, batches, RATES[place - 1]) <= LIMIT)
            found[f"{net}/{arm}/ratio"] = ratios_R[None].astype(np.float32)
            found[f"{net}/{arm}/{FIRST}"] = np.log10(RATES[[first]])
            found[f"{net}/{arm}/{TEN}"] = np.log10(RATES[[next(stands, 0)]])
    return found


def limit_of(ratios_R: np.ndarray) -> int:
    """Place of the first rate at which the loss grows beyond the limit; the last one where it never does."""
    beyond = np.flatnonzero(~(ratios_R <= LIMIT))
    return int(beyond[0]) if len(beyond) else len(ratios_R) - 1


def first_ratios(model: nn.Module, x: Tensor, answers: Tensor) -> np.ndarray:
    """Loss of a batch after one step of plain SGD on it over that before, at every rate, in train mode. Shape ``[R]``."""
    import torch
    from torch.func import functional_call
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    weights = dict(model.train().named_parameters())
    loss = F.cross_entropy(model(x), answers)
    gradient = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    with torch.no_grad():
        after = [
            F.cross_entropy(functional_call(model, {n: w - rate * gradient[n] for n, w in weights.items()}, (x,)), answers)
            for rate in RATES
        ]
    return (torch.stack(after).double() / loss.detach().double()).numpy()


def _worst(model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], rate: float) -> float:
    """The largest such ratio over steps on one batch after the other, from the weights as they are; infinite where one is none."""
    import copy

    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    net, worst = copy.deepcopy(model).train(), 0.0
    for x, answers in batches:
        before = F.cross_entropy(net(x), answers)
        gradients = torch.autograd.grad(before, list(net.parameters()))
        with torch.no_grad():
            for weight, gradient in zip(net.parameters(), gradients, strict=True):
                weight.sub_(gradient, alpha=float(rate))
            ratio = float(F.cross_entropy(net(x), answers).double() / before.double())
        worst = max(worst, ratio if np.isfinite(ratio) else np.inf)
        if worst > LIMIT:
            break
    return worst


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """By net the decades between the rate at which BN's first step, or one of its first ten, diverges and that without BN."""
    every = all_measured(runs)
    limits = {f"{net}/{arm}/{what}": every[f"{net}/{arm}/{what}"] for net in NETS for arm in ARMS for what in (FIRST, TEN)}
    inside = all((values > np.log10(RATES[0])).all() and (values < np.log10(RATES[-1])).all() for values in limits.values())
    middle = {key: float(10 ** np.median(values)) for key, values in limits.items()}
    return Evidence(
        samples={
            f"{net}, {what}": Sample.of(limits[f"{net}/{SUBJECT}/{what}"], limits[f"{net}/{CONTROL}/{what}"])
            for net in NETS
            for what in (FIRST, TEN)
        },
        gates={"every limit lies inside the rates that were tried": inside},
        numbers={
            f"{WORDS[net]}, {what}": f"rates up to about {middle[f'{net}/{CONTROL}/{what}']:.2g} without and "
            f"{middle[f'{net}/{SUBJECT}/{what}']:.2g} with BN (median over seeds)"
            for net in NETS
            for what in (FIRST, TEN)
        },
        data={"ratios": {f"{net}/{arm}": every[f"{net}/{arm}/ratio"] for net in NETS for arm in ARMS}, "middle": middle},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Both rates of the residual net, the decades between them, and those of the plain net."""
    primary = verdicts[f"{RESIDUAL}, {FIRST}"]
    without, with_bn = (evidence.data["middle"][f"{RESIDUAL}/{arm}/{FIRST}"] for arm in ARMS)
    other = verdicts[f"{PLAIN}, {FIRST}"].effect
    last = ending(primary, "so BN lets the first step be far larger", too_small="less than the factor of ten that would matter",
                  reversed_="so BN lets the first step be less large")  # fmt: skip
    between = f", {primary.effect.estimate:.1f} powers of ten apart" if primary.effect else ""
    return (
        f"With their first weights {WORDS[RESIDUAL]} multiply their loss by more than {LIMIT:g} in one step at learning rates "
        f"from about {without:.2g} on without BN and from {with_bn:.2g} on with it{between}, {last}"
        + (f" ({WORDS[PLAIN]}: {other.estimate:.1f} powers of ten)." if other else ".")
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Loss after the first step over that before, by learning rate; dotted: unchanged, and the limit of divergence."""
    figure.set_size_inches(7.6, 3.6)
    ratios, arms = evidence.data["ratios"], {"with BN": SUBJECT, "without BN": CONTROL}
    panels = {
        WORDS[net]: (RATES, {label: np.clip(ratios[f"{net}/{arm}"].astype(float), 1e-3, 1e6) for label, arm in arms.items()})
        for net in NETS
    }
    xlabel = "learning rate of the first step"
    for axes in draw_panels(figure, panels, xlabel=xlabel, ylabel="loss after the step / loss before"):
        axes.set(xscale="log", yscale="log", ylim=(0.03, 1e6))
        for height in (1, LIMIT):
            axes.axhline(height, color="#555555", linestyle=":", linewidth=1)
    figure.axes[0].annotate(f"{LIMIT:g} times", (RATES[0], LIMIT), xytext=(0, 3), textcoords="offset points", fontsize=8)


_RULE = Difference(null=0, smallest=1)

CLAIM = register(Claim(
    id="first_steps", section="D2",
    statement="In its first steps a net without batch normalisation diverges at learning rates far below those at which one with "
    "it does.",
    source="Bjorck et al. 2018, on ResNet-110: relative loss above 10^6 by about 3e-3 to 1e-2 without BN, at most about 3 at .2 "
    "with it",
    formula="log10 of the smallest learning rate at which L(w - lr g) > 10 L(w), g and L of one batch of 128 digits, at initial "
    "weights; with BN minus without, paired by seed; beside it the first ten steps in a row",
    control="norm=none", subject="norm=batch",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 12}, takes_subject=True),
    endpoints={
        f"{net}, {what}": Endpoint(f"powers of ten between both rates, {WORDS[net]}, {what}", _RULE, unit="powers of ten")
        for net in NETS for what in (FIRST, TEN)
    },
    gates=("every limit lies inside the rates that were tried",),
    caveats=(
        "He's initial weights in both arms: without BN the residual sum grows with every block, which a smaller scale of the "
        "branches cures as well (docs/claims.md, G1 and G2).",
        "A loss that grows in the first step may fall again; whether a net trains is another question (docs/claims.md, D1).",
    ),
    overturn="Another initialisation: bnexp reproduce first_steps model.init_scale=0.3",
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "Fully connected nets on digits instead of ResNet-110 on CIFAR-10; residual blocks of two layers, 128 units.",
        "Divergence is a loss 10 times as large, as docs/claims.md, D2 has it for the verdict, not 1,000 times.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
