"""Claims that are asked at several places (C1, C4, B24): made-up runs of every arm reach the verdict of their world."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS, deep_sigmoid
from bnexp.claims.base import BUDGETS
from bnexp.claims.judge import Judged, judge_runs
from bnexp.claims.noisy_norm import LOOKS, MOVE, NOISY, NONE
from bnexp.claims.one_shot_control import BN_GAINS
from bnexp.claims.runs import Cell, Runs
from bnexp.figures.style import SETTINGS
from bnexp.runs.plan import advance, make_plan

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

STEPS = np.unique(np.geomspace(1, 1000, 120).astype(int))

#: Cell to how many times sooner than in 20 steps its run is at 60 % accuracy, and to how far its layer inputs jump.
Make = Callable[[Cell], tuple[float, float]]


def write_run(folder: Path, speed: float, jump: float) -> None:
    """A run whose error falls from .9 to .4 in ``20 / speed`` steps and to .08 in five times as many."""
    error = np.minimum(0.9, 0.4 * (STEPS * speed / 20) ** -1.0)
    events = [
        {"step": int(step), "name": "val/accuracy", "value": 1 - float(value), "seconds": step / 500}
        for step, value in zip(STEPS, error, strict=True)
    ]
    test = {"accuracy": 0.9 + 0.01 * float(np.log2(speed)), "recomputed_accuracy": None}
    mean_TU = np.outer(np.repeat([0.0, 0.2, 0.4, 0.6], 2) + np.tile([0, jump], 4), np.ones(3))
    looks = {"steps": np.array(LOOKS), "hidden1/next_input/unit_mean": mean_TU, "hidden1/next_input/unit_sd": np.ones((8, 3))}
    (folder / "probes").mkdir(parents=True)
    np.savez(folder / "probes" / "layer_inputs.npz", **looks)
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "end.json").write_text(json.dumps({"status": "finished", "step": 1000, "test": test}), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def judged(name: str, folder: Path, make: Make) -> Judged:
    """A claim planned, its runs made up round by round, and judged."""
    claim = CLAIMS[name]
    plan = make_plan([claim], BUDGETS["quick"], folder)
    while True:
        cells = {cell.run_id: cell for cell in plan.cells[claim.key]}
        for job in plan.missing():
            write_run(folder / job.run_id, *make(cells[job.run_id]))
        if not advance(plan):
            one = judge_runs(Runs(claim, "quick", plan.cells[claim.key], folder))
            assert not one.failure
            assert one.evidence is not None
            return one


def make(speeds: Mapping[str, float], moves: Mapping[str, float] | None = None) -> Make:
    """A run of each cell, by its arm; all do best at the middle of their list, and seeds differ by a few per cent."""

    def one(cell: Cell) -> tuple[float, float]:
        off = 0.0 if cell.value is None else abs(np.log2(cell.value / (1.0 if cell.grid == 0 else 0.5)))
        luck = 1 + 0.02 * ((cell.seed * 7) % 5 - 2)
        return speeds[cell.arm] * luck * float(np.exp(-0.3 * off)), (moves or {}).get(cell.arm, 0.1) * luck

    return one


def ink(one: Judged) -> None:
    """The figure can be drawn."""
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        CLAIMS[one.claim.id].draw(one.evidence, figure)
        figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("noisy", "outcome", "words"),
    [
        (3.0, "SUPPORTED", "does not need inputs that keep still from step to step; about as soon as BN"),
        (1.0, "CONTRADICTED", "little is left of what BN gains; not as soon as BN"),
        (0.5, "CONTRADICTED", "costs more than BN gains; not as soon"),
    ],
)
def test_noise_that_hurts_or_not(tmp_path, noisy, outcome, words):
    speeds = {"none": 1.0, "BN": 3.0, "noisy": noisy, "noise x4": 0.7}
    one = judged("noisy_norm", tmp_path, make(speeds, {NONE: 0.1, "BN": 0.02, NOISY: 0.3}))
    assert one.primary is not None
    assert one.primary.outcome == one.verdicts["ReLU: sooner"].outcome == outcome, one.primary.reason
    assert one.verdicts["convolutional: sooner"].word == "out of reach"
    assert words in one.sentence
    assert "jump 3.0 times as far" in one.sentence
    ink(one)


def test_noise_that_moves_nothing_says_nothing(tmp_path):
    speeds = {"none": 1.0, "BN": 3.0, "noisy": 3.0, "noise x4": 0.7}
    one = judged("noisy_norm", tmp_path, make(speeds, {NONE: 0.1, "BN": 0.02, NOISY: 0.05}))
    assert one.primary is not None
    assert (one.primary.word, bool(one.evidence.gates[MOVE])) == ("gate failed", False)


# B24


@pytest.mark.parametrize(
    ("once", "outcome", "words"),
    [
        (1.2, "SUPPORTED", "so most of BN's gain there needs more than a good start"),
        (3.7, "CONTRADICTED", "so about half of BN's gain there is a good start"),
        (12.0, "CONTRADICTED", "so most of BN's gain there is a good start"),
    ],
)
def test_how_much_of_the_gain_is_a_good_start(tmp_path, once, outcome, words):
    speeds = {"none": 0.5, "BN": 8.0, "one-shot": 0.5 * once, "frozen": 8.0}
    one = judged("one_shot_control", tmp_path, make(speeds))
    assert one.primary is not None
    assert one.primary.outcome == outcome, one.primary.reason
    share = np.log(once) / np.log(16)
    assert one.evidence.data["shares"]["sigmoid"]["one-shot"][0] == pytest.approx(share, abs=0.1)
    assert one.verdicts["sigmoid: half, frozen"].word == "reversed"
    assert (one.verdicts["sigmoid: four fifths, one-shot"].outcome == "SUPPORTED") == (share > 0.85)
    assert words in one.sentence
    ink(one)


def test_where_bn_gains_nothing_there_is_nothing_to_share(tmp_path):
    one = judged("one_shot_control", tmp_path, make({"none": 4.0, "BN": 4.2, "one-shot": 4.0, "frozen": 4.0}))
    assert one.primary is not None
    assert (one.primary.word, bool(one.evidence.gates[BN_GAINS])) == ("gate failed", False)
    assert one.verdicts["ReLU: half, one-shot"].word == "out of reach"


# C4


@pytest.mark.parametrize(("l1", "outcome", "words"), [(4.0, "SUPPORTED", "about as soon"), (2.0, "CONTRADICTED", "not as soon"),
                                                      (8.0, "CONTRADICTED", "which is sooner than BN")])  # fmt: skip
def test_other_norms_than_the_standard_deviation(tmp_path, l1, outcome, words):
    one = judged("lp_norms", tmp_path, make({"none": 1.0, "BN": 4.0, "l1": l1, "l2": 4.0, "linf": 3.0}))
    assert one.primary is not None
    assert one.primary.outcome == outcome, one.primary.reason
    assert words in one.sentence
    assert one.verdicts["sigmoid: speed, l2"].outcome == "SUPPORTED"
    assert one.verdicts["sigmoid: speed, linf"].outcome == "CONTRADICTED"
    ink(one)


# B17


@pytest.mark.parametrize(
    ("careful", "outcome", "words"),
    [
        (2.0**-32, "SUPPORTED", "so within these steps BN does what no first weights tried here do"),
        (1.0, "CONTRADICTED", "so first weights can do what BN does there"),
    ],
)
def test_deep_sigmoids_with_careful_first_weights_or_without(tmp_path, careful, outcome, words):
    def speeds(cell: Cell) -> tuple[float, float]:
        arm = cell.arm.rpartition(", rate ")[0]
        luck = 1 + 0.02 * ((cell.seed * 7) % 5 - 2)
        return luck * {deep_sigmoid.BN: 1.0, "no norm, Glorot x4": careful}.get(arm, 2.0**-32), 0.1

    one = judged("deep_sigmoid", tmp_path, speeds)
    assert one.primary is not None
    assert one.primary.outcome == outcome, one.primary.reason
    assert one.verdicts["usual first weights"].outcome == "SUPPORTED"
    assert one.verdicts["trainable depth"].word == "out of reach"
    assert words in one.sentence
    ink(one)
