"""B1 and N2. The paper states neither a learning rate nor a scale of the initial weights: how much of the claim hangs on them?

Legend: P scales, Q rates, S seeds.
"""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Sample, Verdicts, register
from bnexp.claims.quantities import Levels, Speed
from bnexp.figures.surface import draw_surface
from bnexp.stats.rules import Difference

SPEED = Speed({"smoke": Levels(0.5, 0.3, 60), "quick": Levels(0.15, 0.08, 1500), "full": Levels(0.15, 0.05, 6000)})

#: Standard deviations of the initial weights, and the scale that Glorot & Bengio 2010 give.
SCALES = {"0.01": "model.init_scale=0.01", "0.05": "model.init_scale=0.05", "0.1": "model.init_scale=0.1"} | {
    "Glorot": "model.init=glorot model.init_scale=1",
    "1": "model.init_scale=1",
}
RATES = tuple(2.0**power for power in range(-8, 5))
COARSE_SCALES, COARSE_RATES = ("0.01", "0.1", "1"), RATES[::2]
#: Scales and rates of each budget, in the order of the grids; at the smallest rate hardly a net learns within the steps of quick.
SURFACES = {"smoke": (COARSE_SCALES, COARSE_RATES), "full": (tuple(SCALES), RATES), "quick": (COARSE_SCALES, COARSE_RATES[1:])}

#: Rates that people used for such nets before BN; the paper, which states none, most likely was among them.
SMALL = 1 / 16
#: Sooner, or later, by less than this is neither.
MATTERS = 1.2

SIDES = ("control", "subject")


def _arms(scales: tuple[str, ...], rates: tuple[float, ...]) -> dict[str, str]:
    return {
        arm(side, scale, rate): f"{{{side}}} {SCALES[scale]} optimizer.lr={rate}"
        for side in SIDES
        for scale in scales
        for rate in rates
    }


def arm(side: str, scale: str, rate: float) -> str:
    """What an arm is called."""
    return f"{side}, scale {scale}, rate {rate:g}"


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Per seed the share of cells in which the subject is sooner by ``MATTERS``, among those in which either arm learns."""
    grid, (scales, rates) = list(SURFACES).index(runs.budget), SURFACES[runs.budget]
    cells = [[_cell(runs, grid, scale, rate) for rate in rates] for scale in scales]
    log_ratio_PQS, learns_PQ = (np.array([[cell[part] for cell in row] for row in cells]) for part in (0, 1))
    cells_CS, mean_PQ = log_ratio_PQS[learns_PQ], np.where(learns_PQ, log_ratio_PQS.mean(-1), np.nan)
    small_PQ = learns_PQ & (np.asarray(rates) <= SMALL)
    edge = np.log(MATTERS)

    def shares(values: np.ndarray) -> tuple[float, float]:
        return float((values >= edge).mean()), float((values <= -edge).mean())

    sooner, later = shares(mean_PQ[learns_PQ])
    small = shares(mean_PQ[small_PQ])[0] if small_PQ.any() else float("nan")
    return Evidence(
        samples={"sooner": Sample.of((cells_CS >= edge).mean(0)), "later": Sample.of((cells_CS <= -edge).mean(0))},
        numbers={
            "cells": f"{len(rates)} rates from {rates[0]:g} to {rates[-1]:g} times initial scales {', '.join(scales)}; in "
            f"{int(learns_PQ.sum())} of {learns_PQ.size} either net learns",
            "sooner, later, neither": f"{_percent(sooner)}, {_percent(later)}, {_percent(1 - sooner - later)} of these, by the "
            f"mean over seeds and a factor of {MATTERS}",
            f"sooner at rates up to {SMALL:g}": f"{_percent(small)}",
        },
        data={"scales": scales, "rates": rates, "log_ratio": mean_PQ, "small": SMALL, "shares": (sooner, later, small)},
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _cell(runs: Runs, grid: int, scale: str, rate: float) -> tuple[np.ndarray, bool]:
    """log(T_control / T_subject) of every seed ``[S]``, and whether either arm reaches the easiest level in half of its runs."""
    control, subject = (runs.reported(arm(side, scale, rate), grid=grid) for side in SIDES)
    steps = [[SPEED.durations(record, runs.budget) for record in records] for records in (control, subject)]
    learns = any(np.mean([one[0].observed for one in side]) >= 0.5 for side in steps)
    means = [np.array([np.mean(np.log([level.steps for level in one])) for one in side]) for side in steps]
    return means[0] - means[1], learns


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The shares of cells, small rates apart."""
    sooner, later, small = evidence.data["shares"]
    return (
        "Over all learning rates and initial scales tried at which either network learns, the one with BN learns sooner by a "
        f"factor of {MATTERS} or more in {_percent(sooner)} and later by as much in {_percent(later)}; at rates up to {SMALL:g} it "
        f"is sooner in {_percent(small)}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """How many times sooner the network with BN reaches the levels, by learning rate and initial scale, both arms at the same ones.
    Purple: sooner; orange: later; grey: neither network learns. The bracket marks small rates, where the paper most likely was.
    """
    figure.set_size_inches(7.6, 3.2)
    draw_surface(evidence.data, figure.subplots())


_BUDGETS = {
    "smoke": ("dataset=mnist_5k", "train.steps=60", "train.eval_every=10", "train.log_every=20"),
    "full": ("train.steps=6000", "dataset.validation_examples=2000", "train.stop_at_accuracy=0.95"),
    "quick": (
        "dataset=mnist_5k", "train.steps=1500", "train.eval_every=100", "train.eval_gap=0.15", "train.log_every=50",
        "train.stop_at_accuracy=0.92",
    ),
}  # fmt: skip


def _grid(budget: str) -> Grid:
    seeds = dict.fromkeys(("quick", "full"), 6)
    overrides = ("experiment=paper_mnist", "probes=none")
    return Grid(overrides=overrides, arms=_arms(*SURFACES[budget]), budgets={budget: _BUDGETS[budget]}, num_seeds=seeds)


CLAIM = register(Claim(
    id="speed_anywhere", section="B1, N2",
    statement="With batch normalisation the paper's network learns sooner at nearly every learning rate and initial scale.",
    source="Ioffe & Szegedy 2015, 1 and 4.1: no rate and no scale are stated",
    disputed_by="Bjorck et al. 2018: the gain comes from the large rates BN allows; Zhang et al. 2019: from initialisation",
    formula="share of cells (rate x initial scale, the same in both arms) with T_none / T_batch of at least 1.2, T the geometric "
    "mean of steps to ten levels of validation error (quick .15 to .08, at most 1,500 steps; full .15 to .05, 6,000), among "
    "cells in which either arm reaches the easiest level in half of its runs; per seed",
    control="norm=none", subject="norm=batch",
    grids=tuple(map(_grid, SURFACES)),
    endpoints={
        "sooner": Endpoint("share of cells in which BN is sooner by 1.2; nearly every means 0.8 of them, and half of them "
                           "would not be it", Difference(null=0.5, smallest=0.8), unit="of the cells"),
        "later": Endpoint("share of cells in which BN is later by 1.2; at most a tenth would be few, and half would not",
                          Difference(null=0.5, smallest=0.1, direction=-1), unit="of the cells"),
    },
    caveats=(
        "The share depends on which cells are tried; the grid is that of docs/claims.md, O1, and every cell is in the figure.",
        "A level that is not reached counts as the last step, in both arms alike, so that large ratios are understated.",
    ),
    overturn="Another grid of cells: bnexp train experiment=paper_mnist model.init_scale=... optimizer.lr=... norm=none,batch",
    deviations=(
        "Made cheaper at quick after its first records: levels down to .08 instead of .07, evaluations at most 15 % of a step "
        "number apart instead of 5, and without the smallest rate, 2^-8, at which BN was sooner by 1.07 at one scale and no net "
        "learnt at the others: in favour of the claim. (With 1,000 steps, which was tried on those records too, ratios were "
        "understated so far that the shares lay at .875 and, for ranking_stability, .80.)",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
