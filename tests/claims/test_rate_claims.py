"""Claims about rates (B15, D1, B21): what is read off a sweep, and made-up sweeps that reach the verdicts of their worlds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS
from bnexp.claims.judge import Judged, judge_runs
from bnexp.claims.runs import Cell, Runs
from bnexp.claims.sweeps import at, best_mean, cross_fitted, largest, largest_for_all, num_near_best
from bnexp.figures.style import SETTINGS
from bnexp.runs.plan import make_plan

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


def test_the_largest_rate_and_the_width_are_read_by_seed():
    learns_QS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
    assert largest(learns_QS).tolist() == [3, 2, -1]
    points_QS = np.array([[90.0, 95, 91], [94.2, 94.5, 99], [95.0, 90, 98.5], [94.1, 95, 98.1]])
    assert num_near_best(points_QS, 1.0).tolist() == [3, 2, 3]  # the last rate of the second seed is no neighbour


def test_a_choice_never_sees_the_seed_that_it_is_judged_by():
    values_QS = np.array([[5.0, 1, 1], [0, 2, 2]])
    assert cross_fitted(best_mean, values_QS).tolist() == [1, 0, 0]  # the first seed alone likes the first rate
    learns_QS = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1]], bool)
    assert cross_fitted(largest_for_all, learns_QS).tolist() == [2, 0, 1]
    assert at(values_QS, np.array([1, 0, 0])).tolist() == [0, 1, 1]


def write_run(folder: Path, points: float, steps: float, learns: bool) -> None:
    """A run that ends at so many points of accuracy, at 60 % of it after ``steps``, diverged where it does not learn."""
    grid = np.unique(np.geomspace(1, 500, 60).astype(int))
    accuracy = np.minimum(points / 100, 1 - 0.4 * steps / grid)
    events = [
        {"step": int(step), "name": name, "value": float(value), "seconds": step / 500}
        for step, value in zip(grid, accuracy, strict=True)
        for name, value in (("val/accuracy", max(value, 0.1)), ("train/loss", 0.05 if learns else 2.4))
    ]
    end = {"status": "finished" if learns else "diverged", "step": 300, "test": {"accuracy": points / 100} if learns else None}
    folder.mkdir()
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "end.json").write_text(json.dumps(end), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


def judged(name: str, folder: Path, make: Callable[[str, float], tuple[float, float, bool]]) -> Judged:
    """A claim whose runs are made up by side and rate; seeds differ by tenths of a point and a few per cent of steps."""
    claim = CLAIMS[name]
    plan = make_plan([claim], BUDGETS["quick"], folder)
    for cell in plan.cells[claim.key]:
        side, _, rate = cell.arm.partition(" at ")
        points, steps, learns = make(side, float(rate) / (1 if _is_relu(cell) else 16))
        luck = (cell.seed * 7) % 5 - 2
        write_run(folder / cell.run_id, points + 0.1 * luck, steps * (1 + 0.02 * luck), learns)
    one = judge_runs(Runs(claim, "quick", plan.cells[claim.key], folder))
    assert not one.failure
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        claim.draw(one.evidence, figure)
        figure.draw_without_rendering()
    return one


def _is_relu(cell: Cell) -> bool:
    return "model.activation=relu" in cell.command


def world(limit: float, gain: float, best: float = 2.0**-4, bn_best: float = 1.0):
    """Without BN a net learns up to rate 1/4, with it up to ``limit``, ``gain`` points better; best at ``best`` and ``bn_best``."""

    def make(side: str, rate: float) -> tuple[float, float, bool]:
        top, at_best, more = (0.25, best, 0.0) if side == "control" else (limit, bn_best, gain)
        off = abs(np.log2(rate / at_best))
        return 93 - 0.8 * off + more, 10 * 2 ** (0.7 * off), rate <= top

    return make


@pytest.mark.parametrize(
    ("limit", "outcome", "words"),
    [(4.0, "SUPPORTED", "16.0 times [16.0, 16.0] as large with BN as without"), (0.25, "CONTRADICTED", "less than the 4 times"),
     (0.125, "CONTRADICTED", "it is plain nets that can be trained at larger rates")],
)  # fmt: skip
def test_how_much_larger_rates_may_be(tmp_path, limit, outcome, words):
    one = judged("higher_rates", tmp_path, world(limit, 0.0))
    assert one.primary is not None
    assert one.primary.outcome == one.verdicts["sigmoid: largest"].outcome == outcome
    assert words in one.sentence
    assert one.verdicts["convolutional: width"].word == "out of reach"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gain", "best", "bn_best", "outcome", "words"),
    [(0.0, 0.25, 0.25, "SUPPORTED", "which is no gain that matters"),
     (4.0, 0.25, 0.25, "CONTRADICTED", "so it gains without any larger rate"),
     (-4.0, 0.25, 0.25, "CONTRADICTED", "so at that rate it loses")],
)  # fmt: skip
def test_what_bn_gains_at_a_plain_rate(tmp_path, gain, best, bn_best, outcome, words):
    one = judged("only_the_rate", tmp_path, world(4.0, gain, best, bn_best))
    assert one.primary is not None
    assert one.primary.outcome == outcome, one.primary.reason
    assert words in one.sentence
    assert one.verdicts["ReLU: gain of larger rates"].word == "too small"


def test_what_a_larger_rate_adds(tmp_path):
    one = judged("only_the_rate", tmp_path, world(4.0, 1.6, best=0.25, bn_best=1.0))  # two octaves off cost BN 1.6 points
    assert one.primary is not None
    assert one.primary.outcome == "SUPPORTED"
    assert one.verdicts["ReLU: gain of larger rates"].outcome == "SUPPORTED"
    assert "its own best rate adds 1.6" in one.sentence


@pytest.mark.parametrize(
    ("bn_best", "words"), [(0.25, "so that it is slower at an unchanged rate"), (1 / 16, "less than the 1.5 times")]
)
def test_rows_of_the_table(tmp_path, bn_best, words):
    one = judged("table_fig3", tmp_path, world(64.0, 0.0, best=1 / 16, bn_best=bn_best))
    same = one.verdicts["ReLU: same rate"]
    assert same.effect is not None
    assert same.effect.estimate == pytest.approx(1.0 if bn_best == 1 / 16 else 2**-1.4, rel=0.1)
    fast = one.verdicts["ReLU: fast"].effect
    assert fast is not None
    assert fast.estimate == pytest.approx(2**-1.4 if bn_best == 1 / 16 else 2**1.4, rel=0.1)
    assert words in one.sentence
