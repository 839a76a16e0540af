"""Claims that are asked at several places (C1, C4, B24): made-up runs of every arm reach the verdict of their world."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS
from bnexp.claims.judge import Judged, judge_claim
from bnexp.claims.noisy_norm import MOVE, NOISY, NONE
from bnexp.claims.runs import Cell
from bnexp.figures.style import SETTINGS
from bnexp.runs.plan import advance, make_plan

STEPS = np.unique(np.geomspace(1, 1000, 120).astype(int))

#: Cell to how many times sooner than in 20 steps its run is at 60 % accuracy, and to further fields of its ``end.json``.
Make = Callable[[Cell], tuple[float, Mapping[str, Any]]]


def write_run(folder: Path, speed: float, end: Mapping[str, Any]) -> None:
    """A run whose error falls from .9 to .4 in ``20 / speed`` steps and to .08 in five times as many."""
    error = np.minimum(0.9, 0.4 * (STEPS * speed / 20) ** -1.0)
    events = [
        {"step": int(step), "name": "val/accuracy", "value": 1 - float(value), "seconds": step / 500}
        for step, value in zip(STEPS, error, strict=True)
    ]
    test = {"accuracy": 0.9 + 0.01 * float(np.log2(speed)), "recomputed_accuracy": None}
    folder.mkdir()
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "end.json").write_text(json.dumps({"status": "finished", "test": test, **end}), encoding="utf-8")
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
            one = judge_claim(claim, "quick", plan.cells[claim.key], folder)
            assert not one.failure
            assert one.evidence is not None
            return one


def make(speeds: Mapping[str, float], moves: Mapping[str, float] | None = None) -> Make:
    """A run of each cell, by its arm; all do best at the middle of their list, and seeds differ by a few per cent."""

    def one(cell: Cell) -> tuple[float, Mapping[str, Any]]:
        off = 0.0 if cell.value is None else abs(np.log2(cell.value / (1.0 if cell.grid == 0 else 0.5)))
        luck = 1 + 0.02 * ((cell.seed * 7) % 5 - 2)
        drift = (moves or {}).get(cell.arm, 0.1) * luck
        probes = {"layer_inputs": {"next_input": {"drift_mean": drift, "drift_sd": drift}}}
        return speeds[cell.arm] * luck * float(np.exp(-0.3 * off)), {"probes": probes}

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
        (3.0, "SUPPORTED", "does not need inputs that stay steady; about as soon as BN"),
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
    assert "move 3.0 times as much" in one.sentence
    ink(one)


def test_noise_that_moves_nothing_says_nothing(tmp_path):
    speeds = {"none": 1.0, "BN": 3.0, "noisy": 3.0, "noise x4": 0.7}
    one = judged("noisy_norm", tmp_path, make(speeds, {NONE: 0.1, "BN": 0.02, NOISY: 0.05}))
    assert one.primary is not None
    assert (one.primary.word, one.evidence.gates[MOVE]) == ("gate failed", False)
