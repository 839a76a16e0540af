"""A4 and L4. The blog: a net trained on black cats fails on coloured ones, and BN reduces this covariate shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Measurement, Sample, Tuning, register
from bnexp.claims.runs import Runs, test_points
from bnexp.figures.style import COLORS
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference, Equivalence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NORMS = ("none", "batch", "layer", "group")
CLEAN, COLOUR = "clean", "colour"
SHIFTS = (COLOUR, "brightness", "contrast", "inversion", "noise")
KINDS = (CLEAN, *SHIFTS)

#: Shifted examples without labels behind recomputed statistics; as many of one class as the control has.
MANY, CONTROL = 512, 64

#: Points: the smallest loss worth calling one, the smallest difference between two nets, what a control may lose.
LOSS, ADVANTAGE = 5, 2

HURTS = f"colour costs the plain net more than {ADVANTAGE} points"
MATCHED = f"both nets read black digits equally well, within {ADVANTAGE} points"
READABLE = f"trained on coloured digits, the plain net reads them within {LOSS} points of black ones"
ENDED = "no reported run diverged"

#: Seeds of a norm's net by way of reading and kind of picture, in points.
Table = Mapping[str, Mapping[str, np.ndarray]]

NUM_PICTURES = 4


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:  # noqa: ARG001 - the same pictures whatever the budget
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


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Accuracies on test digits, in points, of the frozen nets: by training statistics and by those of shifted examples."""
    records = {norm: tuple(runs.reported(f"norm={norm}").values()) for norm in NORMS}
    tables = {norm: _table(norm, by_seed) for norm, by_seed in records.items()}
    control = tuple(runs.reported("norm=none", grid=1).values())
    coloured = np.array([test_points(record) for record in control])
    finished = all(record.status == "finished" for record in (*control, *sum(records.values(), ())))
    return Evidence(
        samples=_samples(tables),
        gates=_gates(tables, coloured) | {ENDED: finished},
        numbers=_numbers(tables)
        | {"plain net trained on coloured digits, on coloured digits": f"{coloured.mean():.1f} %"},
        data={"tables": tables, "curves": _curves(records["batch"]), "pictures": _pictures(runs)},
    )


def _samples(tables: Mapping[str, Table]) -> dict[str, Sample]:
    """One number per seed for both sides of each endpoint."""
    none, batch, group = (tables[norm]["training"] for norm in ("none", "batch", "group"))
    recomputed = tables["batch"]["recomputed"]
    lost = {name: {kind: table[kind] - table[CLEAN] for kind in SHIFTS} for name, table in (("n", none), ("b", batch))}
    return {
        "robust to colour": Sample.of(lost["b"][COLOUR], base=lost["n"][COLOUR]),
        "robust to all five": Sample.of(_mean(lost["b"]), base=_mean(lost["n"])),
        "colour hurts": Sample.of(none[CLEAN], base=none[COLOUR]),
        "recovery, all five": Sample.of(_mean(recomputed), base=_mean(batch)),
        **{f"recovery, {kind}": Sample.of(recomputed[kind], base=batch[kind]) for kind in SHIFTS},
        "recomputed BN above group norm": Sample.of(_mean(recomputed), base=_mean(group)),
        "group norm above BN": Sample.of(_mean(group), base=_mean(batch)),
        "clean cost": Sample.of(recomputed[CLEAN], base=batch[CLEAN]),
        "one class at a time": Sample.of(tables["batch"]["one_class"][COLOUR], base=tables["batch"]["mixed"][COLOUR]),
    }


def _mean(by_kind: Mapping[str, np.ndarray]) -> np.ndarray:
    """Over the five shifts, ``[S]``."""
    return np.mean([by_kind[kind] for kind in SHIFTS], axis=0)


def _gates(tables: Mapping[str, Table], coloured_S: np.ndarray) -> dict[str, bool]:
    none, batch = (tables[norm]["training"] for norm in ("none", "batch"))
    clean = none[CLEAN].mean()
    return {
        HURTS: bool(clean - none[COLOUR].mean() > ADVANTAGE),
        MATCHED: bool(abs(batch[CLEAN].mean() - clean) < ADVANTAGE),
        READABLE: bool(clean - coloured_S.mean() < LOSS),
    }


def _numbers(tables: Mapping[str, Table]) -> dict[str, str]:
    numbers = {f"norm={norm}": _words(table["training"]) for norm, table in tables.items()}
    return numbers | {f"norm=batch, statistics of {MANY} shifted examples": _words(tables["batch"]["recomputed"])}


def _words(by_kind: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{kind} {by_kind[kind].mean():.1f}" for kind in KINDS) + " %"


def _table(norm: str, by_seed: tuple[RunRecord, ...]) -> Table:
    """Way of reading to kind of picture to points, ``[S]``; only BN has statistics to recompute."""
    ways = ("training", "recomputed", "mixed", "one_class") if norm == "batch" else ("training",)
    return {way: {kind: np.array([_points(record, kind, way) for record in by_seed]) for kind in KINDS} for way in ways}


def _found(record: RunRecord) -> dict[str, Any]:
    return record.end["probes"]["shift"]


def _points(record: RunRecord, kind: str, way: str) -> float:
    """0 for a diverged run, which a gate reports."""
    found = _found(record)
    if not found:
        return 0.0
    accuracy = found["accuracy"][kind]
    if way in ("recomputed", "mixed"):
        size = MANY if way == "recomputed" else CONTROL
        return 100 * accuracy["recomputed"][found["priors"].index(0)][found["sizes"].index(size)]
    return 100 * accuracy[way]


def _curves(by_seed: tuple[RunRecord, ...]) -> Mapping[str, np.ndarray]:
    """Mean accuracy over the five shifts and over seeds by prior and size, in points, with both axes."""
    found = [_found(record) for record in by_seed if _found(record)]
    if not found:
        return {}
    recomputed = [[one["accuracy"][kind]["recomputed"] for kind in SHIFTS] for one in found]
    return {
        "sizes": np.array(found[0]["sizes"]),
        "priors": np.array(found[0]["priors"]),
        "points": 100 * np.mean(recomputed, axis=(0, 1)),
    }


def _pictures(runs: Runs) -> Mapping[str, np.ndarray]:
    """Kind to four digits of it in a square, ``[2H, 2W, 3]`` bytes."""
    squares = {}
    for kind, x_NCHW in runs.measured(runs.seeds()[0]).items():
        x_NHWC = x_NCHW.transpose(0, 2, 3, 1)
        squares[kind] = np.concatenate([np.concatenate(x_NHWC[i : i + 2], axis=1) for i in (0, 2)])
    return squares


def draw(evidence: Evidence, figure: Figure) -> None:
    """Above: what the nets learnt (clean) and what they meet, and how many test digits they read; a point is the mean over seeds,
    its line goes from the lowest seed to the highest. Below: batch normalisation by statistics of n shifted examples, mean over
    the five shifts; N is how many examples the training statistics count for.
    """
    figure.set_size_inches(5.2, 7.4)
    above, below = figure.subplots(2, 1, height_ratios=(1.25, 1))
    _draw_kinds(evidence, above)
    _draw_sizes(evidence, below)


#: Series of the upper panel: norm, way of reading, words, colour, marker.
SERIES = (
    ("none", "training", "no norm", COLORS["none"], "s"),
    ("layer", "training", "layer norm", "#009E73", "^"),
    ("group", "training", "group norm", "#CC79A7", "D"),
    ("batch", "training", "BN, training statistics", COLORS["batch"], "o"),
    ("batch", "recomputed", f"BN, statistics of {MANY} shifted examples", COLORS["batch_same_lr"], "v"),
)


def _draw_kinds(evidence: Evidence, axes: Axes) -> None:
    places = np.arange(len(KINDS))
    for index, (norm, way, words, color, marker) in enumerate(SERIES):
        by_kind = evidence.data["tables"][norm][way]
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


def _draw_sizes(evidence: Evidence, axes: Axes) -> None:
    curves, tables = evidence.data["curves"], evidence.data["tables"]
    shades = ("#56B4E9", "#3b93cc", "#0072B2", "#00456b")
    for index, prior in enumerate(curves.get("priors", ())):
        words = "N = 0: shifted only" if prior == 0 else f"N = {prior}"
        color, marker = shades[index % len(shades)], "vsD^"[index % 4]
        axes.plot(curves["sizes"], curves["points"][index], color=color, marker=marker, markersize=4.5, label=words)
    for norm, words, style in (("batch", "training statistics", "-"), ("none", "no norm", "--")):
        axes.axhline(
            _mean(tables[norm]["training"]).mean(), color=COLORS[norm], linestyle=style, linewidth=1, label=words
        )
    axes.set_xscale("log", base=2)
    if curves:
        axes.set_xticks(curves["sizes"], [str(size) for size in curves["sizes"]])
    axes.minorticks_off()
    axes.set(ylim=(0, 101), xlabel="n shifted examples without labels", title="Mean of the five shifts")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, fontsize=8)


_BUDGETS = {
    "smoke": ("dataset.digits=mnist_5k", "train.steps=30", "train.eval_every=10"),
    "quick": ("dataset.digits=mnist_5k", "train.steps=800", "train.eval_every=100"),
    "full": (
        "dataset.digits=mnist",
        "dataset.train_examples=20000",
        "dataset.validation_examples=2000",
        "train.steps=2000",
        "train.eval_every=200",
    ),
}


def _grid(*overrides: str, norms: tuple[str, ...]) -> Grid:
    """A small ReLU net, each arm at its own best rate."""
    net = ("model=mlp", "model.activation=relu", "model.init=he", "model.init_scale=1", "optimizer.momentum=0")
    return Grid(
        overrides=("dataset=coloured_digits", *net, *overrides),
        vary={"norm": norms},
        tuning=Tuning(key="optimizer.lr", values=(0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
        budgets=_BUDGETS,
    )


_RECOVERY = Difference(null=0, smallest=LOSS)
_RANK = Difference(null=0, smallest=ADVANTAGE)

CLAIM = register(
    Claim(
        id="covariate_shift",
        section="A4, L4",
        statement="Batch normalisation reduces covariate shift: trained on black digits, the net loses less on coloured ones.",
        source='the blog post: "black cats only ... This is known as covariate shift. Batch normalization reduces this covariate '
        "shift\", after A. Ng's lecture",
        disputed_by="Schneider et al. 2020: by its training statistics a BN net is the more fragile one; recomputing them helps "
        "(also Li et al. 2016, Nado et al. 2020)",
        formula="points of test accuracy on coloured minus on black digits, with BN (training statistics) minus without; each arm "
        "at its own best learning rate, nets frozen, the same digits in every arm",
        grids=(_grid("probes=shift", norms=NORMS), _grid("probes=none", "dataset.ink=colour", norms=("none",))),
        measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 1, "full": 1}),
        endpoints={
            "robust to colour": Endpoint("the blog's sentence: points lost to colour without BN minus with BN", _RANK),
            "robust to all five": Endpoint("the same, mean over colour, brightness, contrast, inversion, noise", _RANK),
            "colour hurts": Endpoint("points that the plain net loses to colour", Difference(null=0, smallest=LOSS)),
            "recovery, all five": Endpoint(
                f"accuracy with BN by statistics of {MANY} shifted examples minus by training statistics, mean over the five",
                _RECOVERY,
            ),
            **{f"recovery, {kind}": Endpoint(f"the same on {kind} alone", _RECOVERY) for kind in SHIFTS},
            "recomputed BN above group norm": Endpoint(
                f"mean accuracy over the five: BN by statistics of {MANY} shifted examples minus group norm", _RANK
            ),
            "group norm above BN": Endpoint(
                "mean accuracy over the five: group norm minus BN, training statistics", _RANK
            ),
            "clean cost": Endpoint(
                f"accuracy on clean digits by statistics of {MANY} clean examples minus by training statistics",
                Equivalence(margin=0.5),
            ),
            "one class at a time": Endpoint(
                f"coloured digits of one class by statistics of {CONTROL} of that class minus by {CONTROL} of all classes",
                Difference(null=0, smallest=-10, direction=-1),
            ),
        },
        gates=(HURTS, MATCHED, READABLE, ENDED),
        caveats=(
            "By its training statistics BN is a fixed affine map at test time: nothing in it can react to a shift.",
            "One net and one strength of each shift; the strengths are those of a benchmark of photographs, not of digits.",
            "Digits in ink stand for cats: a hue is a global change of pixels. A shift of shape or place is not tried.",
            "Recomputed statistics need examples of the shifted kind in the right mix of classes; the last endpoint gets it wrong.",
        ),
        deviations=(
            "docs/claims.md, A4 wants clean accuracies matched within 0.3 points; ours are where tuning leaves them, and a gate "
            "asks for 2.",
            "docs/claims.md, A4 wants five levels of the shifts; ours are at severity 3 of Hendrycks & Dietterich 2019 "
            "(brightness, contrast, noise) or have no level (colour, inversion).",
            "The list of rates ended at 1 at first; BN chose that, so 3 was added, as docs/claims.md, 0.4 asks for a choice at "
            "an edge.",
            "A fully connected net and digits instead of a ResNet-50 and photographs; variances are biased (1/m).",
        ),
        overturn="Another net (model=cnn), other pictures, or statistics that are recomputed: those are among the endpoints",
        analyse=analyse,
        draw=draw,
    )
)
