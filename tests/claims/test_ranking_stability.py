"""Claim N2: rules for the rate against brute force, and cells in made-up worlds."""

from __future__ import annotations

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import ranking_stability, speed_anywhere
from bnexp.claims.judge import judge
from bnexp.claims.ranking_stability import (
    CLAIM,
    DRAWN,
    LITTLE,
    OWN,
    RULES,
    SAME,
    TARGETS,
    analyse,
    arm,
    best_of_few,
    compared,
    draw,
    say,
)
from bnexp.claims.speed_anywhere import COARSE_SCALES, SIDES, SURFACES


def test_its_runs_are_those_of_the_surface_and_its_arms_are_called_alike():
    assert CLAIM.grids is speed_anywhere.CLAIM.grids
    for grid, (scales, rates) in enumerate(SURFACES.values()):
        assert {arm(side, scale, rate) for side in SIDES for scale in scales for rate in rates} == set(CLAIM.grids[grid].arms)


def test_the_expected_best_of_three_random_rates_is_the_mean_over_all_triples():
    log_QS = np.random.default_rng(0).normal(size=(7, 4))
    triples = [log_QS[list(chosen)].min(0) for chosen in combinations(range(7), DRAWN)]
    np.testing.assert_allclose(best_of_few(log_QS), np.mean(triples, axis=0))


def test_each_rule_reads_both_nets_at_its_own_rate():
    control = np.log([[100.0, 100.0], [50.0, 60.0], [90.0, 90.0]])
    subject = np.log([[10.0, 10.0], [40.0, 30.0], [5.0, 5.0]])
    ratios = {rule: np.exp(ratio_S) for rule, ratio_S in compared(control, subject, np.array([1, 1]), np.array([2, 0])).items()}
    np.testing.assert_allclose(ratios[OWN], [10.0, 6.0])
    np.testing.assert_allclose(ratios[SAME], [1.25, 2.0])
    np.testing.assert_allclose(ratios[LITTLE], [10.0, 12.0])


class World:
    """Six seeds; with BN every run arrives so many times sooner; ``never``: no run arrives at all."""

    budget = "quick"

    def __init__(self, factor: float, *, never: bool = False) -> None:
        self.factor, self.never = factor, never

    def reported(self, arm: str, regime: str = "own", grid: int = 0):  # noqa: ARG002 - as Runs has it
        steps = 600 if arm.startswith("control") else 600 / self.factor
        return [(steps * (1 + 0.01 * seed), not self.never) for seed in range(6)]


@pytest.fixture
def made_up(monkeypatch):
    """A run of a world is how many steps it takes to every level, and whether it arrives."""
    durations = lambda record, _: [SimpleNamespace(steps=record[0], observed=record[1])] * 10  # noqa: E731
    monkeypatch.setattr(ranking_stability, "SPEED", SimpleNamespace(durations=durations, values=speed_anywhere.SPEED.values))


@pytest.mark.parametrize(
    ("factor", "outcome", "end"),
    [(2.0, "SUPPORTED", "which is the four fifths or more"), (1.0, "CONTRADICTED", "so the ranking is conditional on them")],
)
@pytest.mark.usefixtures("made_up")
def test_worlds_are_told_apart(factor, outcome, end):
    evidence = analyse(World(factor), np.random.default_rng(0))
    verdicts = judge(CLAIM, evidence)
    assert {verdict.outcome for verdict in verdicts.values()} == {outcome}
    assert len(evidence.data["cells"]) == len(COARSE_SCALES) * len(TARGETS) * len(RULES)
    assert end in say(evidence, verdicts)
    figure = Figure()
    draw(evidence, figure)
    assert [len(axes.lines) for axes in figure.axes] == [len(COARSE_SCALES) + 2] * len(RULES)


@pytest.mark.usefixtures("made_up")
def test_where_neither_net_arrives_nothing_is_said():
    evidence = analyse(World(2.0, never=True), np.random.default_rng(0))
    assert set(evidence.out_of_reach) == set(CLAIM.endpoints)
    assert {verdict.outcome for verdict in judge(CLAIM, evidence).values()} == {"INCONCLUSIVE"}
    assert "nothing can be said" in say(evidence, judge(CLAIM, evidence))
    draw(evidence, Figure())
