"""B3. The paper: without BN the inputs of the sigmoids wander, with BN they are much steadier (Fig. 1b,c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import BATCH, NONE, PAPER_GRID, Claim, Endpoint, Evidence, Sample, register
from bnexp.claims.runs import Runs, probed
from bnexp.figures.curves import draw_tracks, median_unit
from bnexp.figures.style import COLORS
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRACK = "hidden3/post_norm/unit_quantiles"
ENDPOINTS = {
    "early": "tv50_early",
    "late": "tv50_late",
    "early spread": "tv_spread_early",
    "late spread": "tv_spread_late",
}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Per seed the median over all hidden units of each drift number, both arms at the baseline's best rate."""
    base, arm = runs.reported(NONE, "same"), runs.reported(BATCH, "same")
    samples = {
        name: Sample.of([_drift(arm[s], key) for s in base], base=[_drift(base[s], key) for s in base])
        for name, key in ENDPOINTS.items()
    }
    tracks = {name: by_seed[0] for name, by_seed in (("none", base), ("batch", arm)) if "layer_inputs" in by_seed[0].probes()}
    return Evidence(
        samples=samples,
        numbers={"learning rate of both arms": f"{runs.chosen(NONE):g}"},
        data={name: record.arrays("layer_inputs") for name, record in tracks.items()},
    )


def _drift(record: RunRecord, key: str) -> float:
    return probed(record, "layer_inputs", "post_norm", key)


def draw(evidence: Evidence, figure: Figure) -> None:
    """15/50/85 percentile tracks of one unit of the last hidden layer, seed 0: the unit of median total variation in each arm,
    and in grey the middle half of all units' medians.
    """
    words = {"none": "without BN", "batch": "with BN"}
    panels = np.atleast_1d(figure.subplots(1, max(1, len(evidence.data)), sharey=True))
    for axes, (name, arrays) in zip(panels, evidence.data.items(), strict=False):
        unit = median_unit(arrays[TRACK])
        draw_tracks(arrays["steps"], arrays[TRACK], axes, unit=unit, color=COLORS[name])
        axes.set_title(f"{words[name]}: unit {unit} of layer 3")
    panels[0].set_ylabel("input to the sigmoid")


CLAIM = register(
    Claim(
        id="fig1_stability",
        section="B3",
        statement="The distributions of sigmoid inputs wander without batch normalisation and are much steadier with it.",
        source="Ioffe & Szegedy 2015, 4.1, Fig. 1b,c: one typical unit of the last hidden layer",
        disputed_by="Santurkar et al. 2018: not the reason why BN helps (they do not dispute the picture)",
        formula="TV50 = sum over observations of |change of the median| over the unit's mean 15-85 spread, of what enters the "
        "sigmoid (after BN); median over all hidden units; early is the first fifth of training; ratio none/batch per seed",
        grids=(PAPER_GRID,),
        endpoints={
            "early": Endpoint("geometric-mean ratio of early TV50", Difference(null=1, smallest=2, scale="ratio")),
            "late": Endpoint("the same for the rest of training", Difference(null=1, smallest=2, scale="ratio")),
            "early spread": Endpoint(
                "early total variation of the log spread", Difference(null=1, smallest=2, scale="ratio")
            ),
            "late spread": Endpoint("the same for the rest of training", Difference(null=1, smallest=2, scale="ratio")),
        },
        caveats=(
            "Compares what enters the sigmoid: Wu+b without BN, gamma x^ + beta with it, as the paper does.",
            "Train-mode statistics of held-out batches; at one learning rate, so a net that learns faster also moves faster.",
        ),
        deviations=("The paper shows one unit; here every hidden unit counts.",),
        overturn="Another learning rate (the tuning curve is beside fig1_speed) or another initial scale",
        analyse=analyse,
        draw=draw,
    )
)
