"""A4 and L4. The blog: a net trained on black cats fails on coloured ones, and BN reduces this covariate shift."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Measurement, Runs, Tuning, Verdicts, register
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.quantities import FinalAccuracy
from bnexp.claims.runs import FINISHED, INSIDE, first_measured, test_points
from bnexp.claims.words import points_more, rates_words
from bnexp.figures.sizes import draw_sizes
from bnexp.figures.style import COLORS
from bnexp.records.reader import RunRecord
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Difference, Equivalence
from bnexp.stats.sample import Sample, Side

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LAYER, GROUP = "layer", "group"
ARMS = {CONTROL: "no norm", SUBJECT: "BN", LAYER: "layer norm", GROUP: "group norm"}
CLEAN, COLOUR = "clean", "colour"
SHIFTS = (COLOUR, "brightness", "contrast", "inversion", "noise")
BUT_CONTRAST = tuple(kind for kind in SHIFTS if kind != "contrast")
KINDS = (CLEAN, *SHIFTS)

#: Shifted examples without labels behind recomputed statistics; as many of one class as the control of the last endpoint has.
MANY, FEW = 512, 64

#: Endpoints that read the subject by recomputed statistics.
RECOMPUTED = (
    "recovery, all five", *(f"recovery, {kind}" for kind in SHIFTS), "recomputed BN above group norm", "clean cost",
    "one class at a time",
)  # fmt: skip

#: Points: the smallest loss worth calling one, the smallest difference between two nets, what a control may lose.
LOSS, ADVANTAGE = 5, 2

HURTS = f"colour costs the plain net more than {ADVANTAGE} points"
MATCHED = f"both nets read black digits equally well, within {ADVANTAGE} points"
READABLE = f"trained on coloured digits, the plain net reads them within {LOSS} points of black ones"

#: Seeds of an arm's net by way of reading and kind of picture, in points.
Table = Mapping[str, Mapping[str, np.ndarray]]
#: ``read(arm, kinds, way, minus)``, see :func:`_side`.
Read = Callable[..., Side]

#: Of a diverged run, which says nothing of whether its norm keeps statistics.
TRACKS = {CLEAN: {"recomputed": True}}

NUM_PICTURES = 4


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:  # the same pictures whatever the budget
    """A few test digits as the nets are shown them, in every kind: ``[N, 3, H, W]`` bytes."""
    from bnexp.config.compose import compose
    from bnexp.data import load_splits, resolve_data_dir
    from bnexp.probes.shift import shifts
    from bnexp.rng import numpy_stream

    config = compose(["dataset=coloured_digits", "probes=shift"])
    digits = load_splits(config.dataset, resolve_data_dir(config.data_dir)).test.images[:NUM_PICTURES]
    strengths = {key: config.probes["shift"][key] for key in ("brightness", "contrast", "noise")}
    return {
        kind: shift(digits, numpy_stream(seed, f"claims/covariate_shift/{kind}"))
        for kind, shift in shifts(3, **strengths).items()
    }


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Accuracies on test digits, in points, of the frozen nets: by training statistics and by those of shifted examples."""
    read = partial(_side, runs)
    samples, out_of_reach = _samples(read), {}
    if not all(_found(record).get("accuracy", TRACKS)[CLEAN]["recomputed"] for record in runs.reported(SUBJECT)):
        out_of_reach = dict.fromkeys(RECOMPUTED, "This norm keeps no statistics that could be recomputed.")
        samples = {name: sample for name, sample in samples.items() if name not in out_of_reach}
    tables = {arm: _table(read, arm, out_of_reach) for arm in ARMS}
    coloured = _by_seed(runs.side(test_points, CONTROL, grid=1))
    gates = _gates(tables, coloured) | runs.tuning_gate() | runs.finished_gate()
    return Evidence(
        samples=samples,
        out_of_reach=out_of_reach,
        gates=gates,
        numbers=_numbers(tables)
        | {"plain net trained on coloured digits, on coloured digits": f"{coloured.mean():.1f} %"}
        | {f"learning rate, {words}": rates_words(runs, arm) for arm, words in ARMS.items()},
        data={"tables": tables, "curves": {} if out_of_reach else _curves(runs.reported(SUBJECT)), "pictures": _pictures(runs)},
    )


def _side(runs: Runs, arm: str, kinds: Sequence[str], way: str = "training", minus: str = "") -> Side:
    """Mean accuracy of an arm over kinds of pictures, in points; less that on ``minus`` where that is given."""

    def points(record: RunRecord) -> float:
        found = fmean(_points(record, kind, way) for kind in kinds)
        return found - _points(record, minus, way) if minus else found

    return runs.side(points, arm)


def _by_seed(side: Side) -> np.ndarray:
    return Sample((side,)).seeds_of((side,))


def _samples(read: Read) -> dict[str, Sample]:
    """Both sides of each endpoint."""

    def against(arm: Side, base: Side) -> Sample:
        return Sample((arm,), (base,))

    def robust(arm: str, kinds: Sequence[str]) -> Sample:
        return against(read(arm, kinds, minus=CLEAN), read(CONTROL, kinds, minus=CLEAN))

    def recovery(kinds: Sequence[str]) -> Sample:
        return against(read(SUBJECT, kinds, "recomputed"), read(SUBJECT, kinds))

    return {
        "robust to colour": robust(SUBJECT, [COLOUR]),
        "robust to all but contrast": robust(SUBJECT, BUT_CONTRAST),
        "robust to all five": robust(SUBJECT, SHIFTS),
        "group norm, robust to colour": robust(GROUP, [COLOUR]),
        "layer norm, robust to colour": robust(LAYER, [COLOUR]),
        "colour hurts": against(read(CONTROL, [CLEAN]), read(CONTROL, [COLOUR])),
        "recovery, all five": recovery(SHIFTS),
        **{f"recovery, {kind}": recovery([kind]) for kind in SHIFTS},
        "recomputed BN above group norm": against(read(SUBJECT, SHIFTS, "recomputed"), read(GROUP, SHIFTS)),
        "group norm above BN": against(read(GROUP, SHIFTS), read(SUBJECT, SHIFTS)),
        "clean cost": recovery([CLEAN]),
        "one class at a time": against(read(SUBJECT, [COLOUR], "one_class"), read(SUBJECT, [COLOUR], "mixed")),
    }


def _table(read: Read, arm: str, out_of_reach: Mapping[str, str]) -> Table:
    """Way of reading to kind of picture to points, ``[S]``; only the subject has statistics to recompute."""
    ways = ("training", "recomputed") if arm == SUBJECT and not out_of_reach else ("training",)
    return {way: {kind: _by_seed(read(arm, [kind], way)) for kind in KINDS} for way in ways}


def _mean(by_kind: Mapping[str, np.ndarray]) -> np.ndarray:
    """Over the five shifts, ``[S]``."""
    return np.mean([by_kind[kind] for kind in SHIFTS], axis=0)


def _gates(tables: Mapping[str, Table], coloured_S: np.ndarray) -> dict[str, bool | Gate]:
    none, batch = (tables[arm]["training"] for arm in (CONTROL, SUBJECT))
    return {
        HURTS: Gate.above(ADVANTAGE, none[CLEAN] - none[COLOUR]),
        MATCHED: Gate(tuple(batch[CLEAN] - none[CLEAN]), -ADVANTAGE, ADVANTAGE),
        READABLE: Gate.below(LOSS, none[CLEAN] - coloured_S),
    }


def _numbers(tables: Mapping[str, Table]) -> dict[str, str]:
    numbers = {words: _words(tables[arm]["training"]) for arm, words in ARMS.items()}
    if "recomputed" in tables[SUBJECT]:
        numbers[f"BN, statistics of {MANY} shifted examples"] = _words(tables[SUBJECT]["recomputed"])
    return numbers


def _words(by_kind: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{kind} {by_kind[kind].mean():.1f}" for kind in KINDS) + " %"


def _found(record: RunRecord) -> dict[str, Any]:
    return record.end["probes"]["shift"] or {}


def _points(record: RunRecord, kind: str, way: str) -> float:
    """0 for a diverged run, which a gate reports, and for recomputed statistics where there are none."""
    found = _found(record)
    accuracy = found["accuracy"][kind] if found else {}
    if way in ("recomputed", "mixed"):
        size = MANY if way == "recomputed" else FEW
        by_prior = accuracy.get("recomputed")
        return 100 * by_prior[found["priors"].index(0)][found["sizes"].index(size)] if by_prior else 0.0
    return 100 * (accuracy.get(way) or 0.0)


def _curves(records: Sequence[RunRecord]) -> Mapping[str, np.ndarray]:
    """Mean accuracy over the five shifts and over all runs by prior and size, in points, with both axes."""
    found = [_found(record) for record in records if _found(record)]
    if not found:
        return {}
    recomputed = [[one["accuracy"][kind]["recomputed"] for kind in SHIFTS] for one in found]
    return {
        "sizes": np.array(found[0]["sizes"]),
        "priors": np.array(found[0]["priors"]),
        "points": 100 * np.mean(recomputed, axis=(0, 1)),
    }


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The blog's sentence, what recomputed statistics do, and what group norm does."""
    colour, group = (verdicts[name].interval for name in ("robust to colour", "group norm, robust to colour"))
    recovery, plain = verdicts["recovery, colour"].effect, evidence.data["tables"][CONTROL]["training"]
    lost = (plain[CLEAN] - plain[COLOUR]).mean()
    recomputed = ""
    if recovery is not None:
        recomputed = f", and with statistics of {MANY} coloured digits it then reads {points_more(recovery)} of them"
    return (
        f"Trained on black digits, a plain net loses {lost:.1f} points on coloured ones; with BN, as trained, it loses "
        f"{points_more(colour, 'less', 'more')}{recomputed}; with group norm it loses {points_more(group, 'less', 'more')}."
    )


def _pictures(runs: Runs) -> Mapping[str, np.ndarray]:
    """Kind to four digits of it in a square, ``[2H, 2W, 3]`` bytes."""
    squares = {}
    for kind, x_NCHW in first_measured(runs).items():
        x_NHWC = x_NCHW.transpose(0, 2, 3, 1)
        squares[kind] = np.concatenate([np.concatenate(x_NHWC[i : i + 2], axis=1) for i in (0, 2)])
    return squares


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left: what the nets learnt (clean) and what they meet, and how many test digits they read; a point is the mean over seeds,
    its line goes from the lowest seed to the highest. Right: batch normalisation by statistics of n shifted examples, mean over
    the five shifts; N is how many examples the training statistics count for.
    """
    figure.set_size_inches(9.4, 5.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    _draw_kinds(evidence, left)
    net, plain = (_mean(evidence.data["tables"][arm]["training"]).mean() for arm in (SUBJECT, CONTROL))
    lines = [("training statistics", net, COLORS["batch"], "-"), ("no norm", plain, COLORS["none"], "--")]
    draw_sizes(right, evidence.data["curves"], lines)


#: Series of the left panel: arm, way of reading, words, colour, marker.
SERIES = (
    (CONTROL, "training", "no norm", COLORS["none"], "s"),
    (LAYER, "training", "layer norm", "#009E73", "^"),
    (GROUP, "training", "group norm", "#CC79A7", "D"),
    (SUBJECT, "training", "BN, training statistics", COLORS["batch"], "o"),
    (SUBJECT, "recomputed", f"BN, statistics of {MANY} shifted examples", COLORS["batch_same_lr"], "v"),
)


def _draw_kinds(evidence: Evidence, axes: Axes) -> None:
    places = np.arange(len(KINDS))
    for index, (arm, way, words, color, marker) in enumerate(SERIES):
        if (by_kind := evidence.data["tables"][arm].get(way)) is None:
            continue
        x = places + 0.15 * (index - 2)
        low, high = ([end(by_kind[kind]) for kind in KINDS] for end in (np.min, np.max))
        axes.vlines(x, low, high, color=color, linewidth=1.2)
        axes.plot(x, [by_kind[kind].mean() for kind in KINDS], marker, color=color, markersize=5.5, label=words)
    for place, kind in zip(places, KINDS, strict=True):
        picture = axes.inset_axes((place - 0.42, 103, 0.84, 26), transform=axes.transData)
        picture.imshow(evidence.data["pictures"][kind], aspect="auto", interpolation="nearest")
        picture.set(xticks=[], yticks=[])
        for spine in picture.spines.values():
            spine.set(visible=True, color="#9aa5b1", linewidth=0.6)
    axes.axvline(0.5, color="#9aa5b1", linewidth=0.8)
    axes.set_xticks(places, ["clean\n(trained on)", *SHIFTS], fontsize=8)
    axes.set(ylim=(0, 101), xlim=(-0.5, len(KINDS) - 0.5), ylabel="test accuracy, %")
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, fontsize=8)


_BUDGETS = {
    "smoke": ("dataset.digits=mnist_5k", "train.steps=30", "train.eval_every=10"),
    "quick": ("dataset.digits=mnist_5k", "train.steps=600", "train.eval_from=500"),
    "full": (
        "dataset.digits=mnist",
        "dataset.train_examples=20000",
        "dataset.validation_examples=2000",
        "train.steps=1500",
        "train.eval_every=200",
    ),
}


def _grid(*overrides: str, arms: Mapping[str, str]) -> Grid:
    """A small ReLU net, each arm at its own best rate."""
    net = ("model=mlp", "model.activation=relu", "model.init=he", "model.init_scale=1", "optimizer.momentum=0")
    return Grid(
        overrides=("dataset=coloured_digits", *net, *overrides),
        arms=arms,
        tuning=Tuning(key="optimizer.lr", values=(0.1, 0.3, 1.0), by=FinalAccuracy(),
                      overrides=dict.fromkeys(_BUDGETS, ("probes=none",))),
        budgets=_BUDGETS, num_seeds={"quick": 16},
    )  # fmt: skip


_RECOVERY = Difference(null=0, smallest=LOSS)
_RANK = Difference(null=0, smallest=ADVANTAGE)

CLAIM = register(Claim(
    id="covariate_shift", section="A4, L4",
    statement="Batch normalisation reduces covariate shift: trained on black digits, the net loses less on coloured ones.",
    source='the blog post: "black cats only ... This is known as covariate shift. Batch normalization reduces this covariate '
    "shift\", after A. Ng's lecture",
    disputed_by="Schneider et al. 2020: by its training statistics a BN net is the more fragile one; recomputing them helps "
    "(also Li et al. 2016, Nado et al. 2020)",
    formula="points of test accuracy on coloured minus on black digits, with BN (training statistics) minus without; each arm at "
    "its own best learning rate, nets frozen, the same digits in every arm",
    control="norm=none", subject="norm=batch",
    grids=(
        _grid("probes=shift", arms={CONTROL: "{control}", SUBJECT: "{subject}", LAYER: "norm=layer", GROUP: "norm=group"}),
        _grid("probes=none", "dataset.ink=colour", arms={CONTROL: "{control}"}),
    ),
    measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 1, "full": 1}),
    endpoints={
        "robust to colour": Endpoint("the blog's sentence: points lost to colour without BN minus with BN", _RANK, unit="points"),
        "robust to all but contrast": Endpoint("the same, mean over colour, brightness, inversion, noise", _RANK, unit="points"),
        "robust to all five": Endpoint("the same, mean over all five shifts", _RANK, unit="points"),
        "group norm, robust to colour": Endpoint("points lost to colour without a norm minus with group norm", _RANK,
                                                 unit="points"),
        "layer norm, robust to colour": Endpoint("points lost to colour without a norm minus with layer norm", _RANK,
                                                 unit="points"),
        "colour hurts": Endpoint("points that the plain net loses to colour", Difference(null=0, smallest=LOSS), unit="points"),
        "recovery, all five": Endpoint(f"accuracy with BN by statistics of {MANY} shifted examples minus by training "
                                       "statistics, mean over the five", _RECOVERY, unit="points"),
        **{f"recovery, {kind}": Endpoint(f"the same on {kind} alone", _RECOVERY, unit="points") for kind in SHIFTS},
        "recomputed BN above group norm": Endpoint(f"mean accuracy over the five: BN by statistics of {MANY} shifted examples "
                                                   "minus group norm", _RANK, unit="points"),
        "group norm above BN": Endpoint("mean accuracy over the five: group norm minus BN, training statistics", _RANK,
                                        unit="points"),
        "clean cost": Endpoint(f"accuracy on clean digits by statistics of {MANY} clean examples minus by training statistics",
                               Equivalence(margin=0.5), unit="points"),
        "one class at a time": Endpoint(f"coloured digits of one class by statistics of {FEW} of that class minus by {FEW} of "
                                        "all classes", Difference(null=0, smallest=-10, direction=-1), unit="points"),
    },
    gates=(HURTS, MATCHED, READABLE, INSIDE, FINISHED),
    caveats=(
        "At quick, five whole repetitions with other seeds, those of tuning included, were contradicted three times and left open "
        "twice (-1.5, -0.1 and -0.2, 0.7 and 2.0 points): it hangs on which rates are chosen, and the share of re-draws knows the "
        "chosen ones alone (results/LOG.md, 28 November 2026).",
        "By its training statistics BN is a fixed affine map at test time: nothing in it can react to a shift.",
        "Contrast decides the mean over all five: less of it is nearly a factor on the input, and a ReLU net without a norm is "
        "nearly homogeneous (a factor on the input is one on the logits, but for the biases): the plain net hardly sees it. That "
        "is a property of what BN is compared with, and why the mean over all but contrast stands beside it.",
        "Inversion takes every net to a floor of a few per cent, below chance, where nothing tells two nets apart.",
        "One net and one strength of each shift; the strengths are those of a benchmark of photographs, not of digits.",
        "Digits in ink stand for cats: a hue is a global change of pixels. A shift of shape or place is not tried.",
        "Recomputed statistics need examples of the shifted kind in the right mix of classes; the last endpoint gets it wrong.",
    ),
    deviations=(
        "docs/claims.md, A4 wants clean accuracies matched within 0.3 points; ours are where tuning leaves them, and a gate asks "
        "for 2.",
        "docs/claims.md, A4 wants five levels of the shifts; ours are at severity 3 of Hendrycks & Dietterich 2019 (brightness, "
        "contrast, noise) or have no level (colour, inversion).",
        '"All but contrast" and the endpoints of group and layer norm were added after the records of version 0.1 were seen.',
        "A fully connected net and digits instead of a ResNet-50 and photographs; variances are biased (1/m).",
        "Made cheaper at quick after its first records: 4 tuning seeds instead of 6. 300 steps instead of 600 were tried and put "
        "back: its gate failed.",
    ),
    overturn="Another net (model=cnn), other pictures, or statistics that are recomputed: those are among the endpoints",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
