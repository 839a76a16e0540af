"""J3. Wu & Johnson: where a batch holds one class, a net with BN may read the label off the companions."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Verdicts, register
from bnexp.claims.batches import DIGITS, NET, read_by
from bnexp.claims.contrast import Arm, by_seed, contrast, interaction
from bnexp.claims.words import ending, means_words
from bnexp.figures.style import SERIES, legend_above
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

MIXED, ONE, TWO = "shuffled", "one class", "two classes"
ORDERS = {MIXED: "shuffled", ONE: "one_class", TWO: "two_classes"}
BN, GROUP, PLAIN, RENORM = "BN", "group norm", "no norm", "batch renorm"
#: Which layer trains on which batches.
TRAINED = {BN: (MIXED, ONE, TWO), RENORM: (ONE,), GROUP: (MIXED, ONE), PLAIN: (MIXED, ONE)}
_RAMPS = {"smoke": (2, 5), "quick": (40, 120), "full": (150, 450)}
WAYS = {
    "batch": "train mode, batches as in training",
    "mixed": "train mode, mixed batches",
    "eval": "eval mode, running statistics",
}


def gap(record: RunRecord) -> float:
    """How many more held-out digits are read in train mode, in batches arranged as in training, than in eval mode, in points."""
    return read_by("batch")(record) - read_by("eval")(record)


def _arm(norm: str, order: str) -> Arm:
    return Arm(f"{norm}, {order}", grid=int(norm == RENORM))


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The gap between the modes, sorted minus shuffled; and what sorting costs in eval mode with BN beside the controls and a
    cure.
    """
    bn = {order: _arm(BN, order) for order in ORDERS}
    accuracy = read_by("eval")
    costs = {
        f"cost beside {other}": interaction(runs, (bn[MIXED], bn[ONE]), (_arm(other, MIXED), _arm(other, ONE)), accuracy)
        for other in (GROUP, PLAIN)
    }
    seen = {
        f"{norm}, {order}": {
            way: by_seed(runs, _arm(norm, order), read_by("batch" if order == MIXED and way == "mixed" else way)) for way in WAYS
        }
        for norm, orders in TRAINED.items()
        for order in orders
    }
    return Evidence(
        samples={
            ONE: contrast(runs, bn[ONE], bn[MIXED], gap),
            TWO: contrast(runs, bn[TWO], bn[MIXED], gap),
            **costs,
            RENORM: contrast(runs, _arm(RENORM, ONE), bn[ONE], accuracy),
        },
        gates=runs.finished_gate(),
        numbers={
            f"{arm}: {WAYS[way]}": words
            for arm, by_way in seen.items()
            for way, words in means_words(by_way).items()
            if way == "eval" or arm.startswith((BN, RENORM))
        },
        data={"seen": seen},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Both modes with batches of one class, what follows, and what the controls read."""
    seen, primary = evidence.data["seen"], verdicts[ONE]
    found = ending(primary, "so it does read labels off the companions", too_small="so it reads no labels off the companions",
                   reversed_="so the companions take away rather than tell",
                   open_="which leaves open whether it reads labels off companions")  # fmt: skip

    def read(norm: str, order: str, way: str = "eval") -> str:
        return f"{seen[f'{norm}, {order}'][way].mean():.0f} %"

    return (
        f"Trained on batches of one class each, a ReLU net with BN reads {read(BN, ONE, 'batch')} of held-out digits in train "
        f"mode, in such batches, and {read(BN, ONE)} in eval mode (trained on shuffled batches {read(BN, MIXED, 'batch')} and "
        f"{read(BN, MIXED)}), {found}; on the same batches of one class group norm ends at {read(GROUP, ONE)}, no norm at "
        f"{read(PLAIN, ONE)}, batch renorm at {read(RENORM, ONE)}. Trained on batches of two classes, it reads "
        f"{read(BN, TWO, 'batch')} in them and {read(BN, TWO)} in eval mode."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Held-out digits read after training, by how the training batches were put together: a point is a seed, a bar their mean.
    Nets without batch statistics read alike in all three ways. Grey: guessing.
    """
    figure.set_size_inches(9.6, 4.4)
    panels = figure.subplots(1, len(ORDERS), sharey=True, width_ratios=[3, 4, 1.9])
    titles = {MIXED: "shuffled batches", ONE: "one class a batch", TWO: "two classes a batch"}
    for axes, order in zip(panels, ORDERS, strict=True):
        norms = [norm for norm, orders in TRAINED.items() if order in orders]
        for place, norm in enumerate(norms):
            for index, (way, words) in enumerate(WAYS.items()):
                values_S = evidence.data["seen"][f"{norm}, {order}"][way]
                color, marker, _ = SERIES[index]
                spot = place + 0.26 * (index - 1)
                axes.plot(np.full(len(values_S), spot), values_S, marker, color=color, markersize=3.5, alpha=0.6, linewidth=0,
                          label=words if place == 0 else None)  # fmt: skip
                axes.hlines(values_S.mean(), spot - 0.12, spot + 0.12, color=color, linewidth=2)
        axes.axhline(10, color="#555555", linestyle=(0, (4, 2)), linewidth=1, label="guessing")
        axes.set_xticks(range(len(norms)), norms, rotation=20)
        axes.set_title(titles[order])
        axes.set_xlim(-0.6, len(norms) - 0.4)
        axes.set_ylim(0, 100)
    panels[0].set_ylabel("held-out digits read right, %")
    legend_above(figure, 4)


def _grid(norms: Mapping[str, str], further: Mapping[str, tuple[str, ...]] = MappingProxyType({})) -> Grid:
    steps = {
        "smoke": ("train.steps=20", "train.eval_every=10"),
        "quick": ("train.steps=800", "train.eval_from=800"),
        "full": ("train.steps=3000", "train.eval_every=500"),
    }
    return Grid(
        overrides=(*NET, "train.batch_size=50", "probes=final_statistics"),
        arms={
            f"{norm}, {order}": f"{words} train.order={ORDERS[order]}" for norm, words in norms.items() for order in TRAINED[norm]
        },
        budgets={budget: (*DIGITS[budget], *words, *further.get(budget, ())) for budget, words in steps.items()},
        num_seeds={"quick": 6},
    )


_RENORM = {
    budget: (f"norm.warmup_steps={start}", f"norm.r_ramp_steps={ramp}", f"norm.d_ramp_steps={ramp}")
    for budget, (start, ramp) in _RAMPS.items()
}
_POINTS = Difference(null=0, smallest=20)

CLAIM = register(Claim(
    id="batch_leakage", section="J3",
    statement="On batches of one class a net with batch normalisation learns to read the label off the companions: it is right "
    "in such batches and wrong without them.",
    source="Wu & Johnson 2021, of correlated batches in general; Ioffe 2017 of batches that are not independent (67.0 instead of "
    "78.5 %)",
    formula="gap = held-out accuracy in train mode, in batches arranged as in training, minus that in eval mode, of the trained "
    "net; gap after batches of one class minus gap after shuffled batches, in points, paired by seed",
    grids=(
        _grid({BN: "norm=batch optimizer.lr=0.3", GROUP: "norm=group optimizer.lr=0.1", PLAIN: "norm=none optimizer.lr=0.1"}),
        _grid({RENORM: "norm=renorm norm.momentum=0.05 optimizer.lr=0.3"}, _RENORM),
    ),
    endpoints={
        ONE: Endpoint("difference of gaps, batches of one class", _POINTS, unit="points"),
        TWO: Endpoint("difference of gaps, batches of two classes that are drawn anew each epoch", _POINTS, unit="points"),
        **{
            f"cost beside {other}": Endpoint(f"what batches of one class cost in eval mode, with BN minus with {other}",
                                             _POINTS, unit="points")
            for other in (GROUP, PLAIN)
        },
        RENORM: Endpoint("accuracy in eval mode, batch renorm minus BN, batches of one class", _POINTS, unit="points"),
    },
    caveats=(
        "Of a batch of one class BN takes away mean and size, which tell the class, in every layer; what is left to read is the "
        "form of its distribution, and to learn that takes time: at a tuning seed both modes are near chance after 300 steps.",
        "BN and batch renorm train at rate 0.3, group norm and no norm, for which that is too much, at 0.1. The latter two show "
        "that the batches alone do not keep a net from learning.",
        "Batches of one class come in random order; in blocks of a class any net forgets.",
    ),
    overturn="Shorter or longer training: bnexp reproduce batch_leakage train.steps=300",
    deviations=(
        "docs/claims.md, J3 compares accuracy in training with eval mode; here both modes read the same held-out digits with the "
        "same frozen net, so that only the companions differ and nothing is forgotten in between.",
        "Ghost norm across classes cannot be had where a batch is of one class; mixed batches at evaluation stand in its place.",
        "Batch renorm's averages weigh the newest batch by 0.05, its ramps end after a fifth of the run; pairs of classes are "
        "for BN only.",
        "6 seeds at quick, 8 in its first records.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
