"""Claim B8 in made-up worlds, and that what its probe counts is the share of inputs beyond ±2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnexp.claims.affine_needed import (
    ARMS,
    BENT,
    CLAIM,
    FAST,
    FAST_BOTH,
    FAST_NEITHER,
    NEITHER,
    NORMAL_SHARE,
    analyse,
    bent,
    draw,
    say,
)
from bnexp.claims.judge import judge
from bnexp.claims.runs import FINISHED, recomputed_points
from bnexp.records.reader import RunRecord
from bnexp.stats.sample import Side


class Run:
    """A finished run with the numbers given, in points."""

    def __init__(self, points: float, share: float, status: str = "finished") -> None:
        saturated = {"hidden1": share / 100 - 0.01, "hidden2": share / 100 + 0.01}
        self.status = status
        self.end = {
            "test": {"accuracy": points / 100, "recomputed_accuracy": points / 100 + 0.01} if status == "finished" else None,
            "probes": {"saturation": {"saturated": saturated}},
        }


class World:
    """Eight seeds; with neither the net reads so many points less, at the high rate ten times as many."""

    budget = "quick"

    def __init__(self, costs: float) -> None:
        self.costs = costs

    def side(self, read, arm: str, regime: str = "own", grid: int = 0) -> Side:  # noqa: ARG002 - as Runs has it
        assert grid == ARMS[arm]
        lost = self.costs * (arm == NEITHER) + 10 * self.costs * (arm == FAST_NEITHER)
        rng = np.random.default_rng(list(arm.encode()))
        share = 30 if arm == FAST_BOTH else 5
        return Side((tuple(read(Run(90 - lost + 0.05 * rng.normal(), share)) for _ in range(8)),))

    def finished_gate(self):
        return {FINISHED: True}


def judged(world):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence)


@pytest.mark.parametrize(
    ("costs", "outcome", "end"),
    [
        (1.0, "SUPPORTED", "so they are worth the 0.2 points"),
        (0.0, "CONTRADICTED", "less than the 0.2 points that would matter"),
        (-1.0, "CONTRADICTED", "so it does better without them"),
    ],
)
def test_worlds_are_told_apart_and_the_sentence_follows(costs, outcome, end):
    evidence, verdicts = judged(World(costs))
    assert verdicts["accuracy"].outcome == outcome
    assert set(verdicts) == set(CLAIM.endpoints)
    assert end in say(evidence, verdicts)
    assert verdicts[f"{BENT}, rate {FAST}"].outcome == "SUPPORTED"
    assert verdicts[BENT].outcome == "CONTRADICTED"


def test_the_figure_has_a_row_for_every_arm_and_the_gaussian():
    figure = Figure()
    draw(judged(World(1.0))[0], figure)
    left, right = figure.axes
    assert len(left.lines) == len(ARMS)
    assert len(right.lines) == len(ARMS) + 1


def test_a_diverged_run_counts_as_nothing():
    diverged: RunRecord = Run(90, 5, status="diverged")
    assert bent(diverged) == recomputed_points(diverged) == 0


def test_what_the_probe_counts_is_the_share_of_inputs_beyond_two():
    margin = float(next(word for word in CLAIM.grids[0].overrides if "margin" in word).split("=")[1])
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    beyond = 100 * ((z.sigmoid() < margin) | (z.sigmoid() > 1 - margin)).double().mean().item()
    assert beyond == pytest.approx(NORMAL_SHARE, abs=0.2)
    assert bent(Run(90, 12.0)) == pytest.approx(12.0)
