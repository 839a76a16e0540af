"""A5. The blog: with BN, mean and sd of each layer's inputs stay almost the same however earlier weights change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import BATCH, NONE, PAPER_GRID, Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.runs import Runs, probed
from bnexp.figures.style import COLORS
from bnexp.records.drift import net_sd_change, sd_drift, standardised_sd, unit_sd
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The objects the claim may mean, in the order of the computation.
OBJECTS = {
    "pre_norm": "$z = Wu$",
    "standardised": "$\\hat{x}$, by\nconstruction",
    "post_norm": "$y = \\gamma\\hat{x}+\\beta$",
    "next_input": "$u' = g(y)$",
}
RECORDED = ("pre_norm", "post_norm", "next_input")
KEYS = {"mean": "drift_mean", "sd": "drift_sd"}
#: What "almost the same" is to mean: 90 % of the units with a net change of their sd below 10 % (docs/claims.md, A5).
UNCHANGED, NEARLY_ALL = 1.1, 0.9


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Per seed the drift of the median unit's mean and sd, and the share of units whose sd ends where it began; same rate."""
    base, arm = runs.reported(NONE, "same"), runs.reported(BATCH, "same")
    samples = {
        f"{name} of the next layer's input": Sample.of(
            [_drift(arm[s], "next_input", key) for s in base], base=[_drift(base[s], "next_input", key) for s in base]
        )
        for name, key in KEYS.items()
    }
    table = {
        (point, name): [[_drift(by_seed[s], point, key) for s in base] for by_seed in (base, arm)]
        for point in RECORDED
        for name, key in KEYS.items()
    }
    standardised = [_standardised_drift(arm[s]) for s in base]
    table |= {("standardised", "mean"): [[], [0.0] * len(base)], ("standardised", "sd"): [[], standardised]}
    shares = [[_share_unchanged(by_seed[s]) for s in base] for by_seed in (base, arm)]
    return Evidence(
        samples={**samples, "sd nearly constant": Sample.of(shares[1])},
        numbers=_numbers(table, shares)
        | {
            "net change of a unit's sd, first to last look": " and ".join(
                f"x {np.exp(np.median([_drift(by_seed[s], 'next_input', 'net_sd') for s in base])):.2f} {words}"
                for by_seed, words in ((base, "without"), (arm, "with BN"))
            )
        },
        data={"table": table},
    )


def _drift(record: RunRecord, point: str, key: str) -> float:
    return probed(record, "layer_inputs", point, key)


def _share_unchanged(record: RunRecord) -> float:
    """Share of all hidden units whose output changes its sd by less than 10 % from the first look to the last."""
    change_U = net_sd_change(unit_sd(record.arrays("layer_inputs"), "next_input"))
    return float((change_U < np.log(UNCHANGED)).mean())


def _standardised_drift(record: RunRecord) -> float:
    """The median unit's drift of the log sd of x^, which follows from the variance of z alone."""
    eps = record.header["config"]["norm"]["options"]["eps"]
    return float(np.median(sd_drift(standardised_sd(unit_sd(record.arrays("layer_inputs"), "pre_norm"), eps))))


def _numbers(table: Mapping[tuple[str, str], list[list[float]]], shares: list[list[float]]) -> dict[str, str]:
    """Median over seeds of every object's drift in words, and the shares."""
    titles = {"pre_norm": "z = Wu", "post_norm": "y = gamma x^ + beta", "next_input": "u' = g(y)"}
    drifts = {
        f"drift of {title}": "; ".join(
            f"{name} {np.median(table[point, name][0]):.2g} without, {np.median(table[point, name][1]):.2g} with BN"
            for name in KEYS
        )
        for point, title in titles.items()
    }
    x_hat = {
        "drift of x^ = (z - mean) / sd": f"mean 0, sd {np.median(table['standardised', 'sd'][1]):.1g}: tautological, "
        "since its mean is 0 and its sd sqrt(v / (v + eps)) by construction; no evidence either way"
    }
    percent = [f"{100 * np.mean(row):.0f} % {words}" for row, words in zip(shares, ("without", "with BN"), strict=True)]
    return drifts | x_hat | {"units of u' whose sd changes by less than 10 %": f"{', '.join(percent)} (needed: 90 %)"}


def draw(evidence: Evidence, figure: Figure) -> None:
    """Drift of mean and sd of all four objects, one point per seed; hollow: computed, and steady by construction."""
    figure.set_size_inches(4.6, 4.4)
    panels = figure.subplots(2, 1)
    for axes, name in zip(panels, KEYS, strict=True):
        for place, point in enumerate(OBJECTS):
            for shift, (norm, values) in enumerate(
                zip(("none", "batch"), evidence.data["table"][point, name], strict=True)
            ):
                face = "white" if point == "standardised" else COLORS[norm]
                places = np.full(len(values), place + 0.22 * shift - 0.11)
                axes.plot(places, values, "os"[shift], color=COLORS[norm], markerfacecolor=face, markersize=4)
        axes.set_xticks(range(len(OBJECTS)), list(OBJECTS.values()))
        axes.set_ylim(-0.04 * axes.get_ylim()[1], None)  # room for the points at 0
        axes.set(
            xlim=(-0.5, len(OBJECTS) - 0.5),
            ylabel={"mean": "step of the mean, in sd", "sd": "step of the log sd"}[name],
        )
    panels[0].plot([], [], "o", color=COLORS["none"], label="norm=none")
    panels[0].plot([], [], "s", color=COLORS["batch"], label="norm=batch")
    panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0, ncols=2)  # above, where no point is


_RULE = Difference(null=1, smallest=2, scale="ratio")

CLAIM = register(
    Claim(
        id="pinned_moments",
        section="A5",
        statement="With batch normalisation, mean and standard deviation of the inputs of each layer stay almost the same.",
        source='the blog post; Ioffe & Szegedy 2015, 3: "fixed distribution of inputs"',
        disputed_by="Santurkar et al. 2018, 2.2: neither achieved in a useful sense nor needed",
        formula="drift of mean: mean over observations of |mean(t+1) - mean(t)| over the unit's time-mean sd; drift of sd: mean of "
        "|log sd(t+1) - log sd(t)|; median over all hidden units; ratio none/batch per seed; nearly constant: share of all "
        "hidden units with |log sd(T)/sd(0)| < log 1.1 from the first look to the last",
        grids=(PAPER_GRID,),
        endpoints={
            "mean of the next layer's input": Endpoint("geometric-mean ratio of the drift of the mean of u'", _RULE),
            "sd of the next layer's input": Endpoint("geometric-mean ratio of the drift of the log sd of u'", _RULE),
            "sd nearly constant": Endpoint(
                "with BN, mean share of the hidden units whose sd of u' ends within 10 % of where it began; "
                "almost the same means 0.9 of them, and half of them would not be it",
                Difference(null=0.5, smallest=NEARLY_ALL),
            ),
        },
        caveats=(
            "Steadier is not constant, which is why there are two kinds of endpoints.",
            "A net that learns faster also moves faster; both arms are compared at one learning rate and at equal steps.",
            "A unit that is dead throughout counts as constant.",
        ),
        deviations=(
            "docs/claims.md, A5 proposes the geometric mean over units; the median is not thrown by units that hardly vary.",
            "The endpoint 'sd nearly constant' is that of docs/claims.md, A5, with its thresholds, but was declared after the runs "
            "had been seen for the primary one.",
            "The sd of x^ is computed from the variance of z over all held-out batches together, not batch by batch.",
        ),
        overturn="Another learning rate, or the drift of another object (all of them are in the figure)",
        analyse=analyse,
        draw=draw,
    )
)
