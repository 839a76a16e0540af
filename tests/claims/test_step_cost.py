"""Claim N1: repetitions on one machine are counted as repetitions, and a price in steps becomes one in seconds."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims.judge import judge
from bnexp.claims.step_cost import ARMS, CLAIM, SUBJECT, analyse, draw, measure, say


class World:
    """Repetitions in which a step with BN takes ``ratio`` times as long; other work slows whole repetitions down."""

    def __init__(self, ratio: float, *, count: int = 8) -> None:
        self.ratio, self.count = ratio, count

    def seeds(self) -> tuple[int, ...]:
        return tuple(range(self.count))

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        slow = 1 + 0.5 * rng.random()
        return {
            arm: slow * (self.ratio if arm == SUBJECT else 1.0) * (1 + 0.01 * rng.normal(size=25)) for arm in ARMS
        }


def judged(world):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence)


@pytest.mark.parametrize(("ratio", "outcome"), [(1.3, "SUPPORTED"), (1.0, "CONTRADICTED"), (0.8, "CONTRADICTED")])
def test_the_analysis_tells_worlds_apart_though_the_machine_is_busy(ratio, outcome):
    verdict = judged(World(ratio))[1]["step time"]
    assert verdict.outcome == outcome
    assert verdict.effect.estimate == pytest.approx(ratio, rel=0.02)


def test_repetitions_are_not_called_seeds():
    evidence, verdicts = judged(World(1.25))
    rule = CLAIM.endpoints["step time"].rule
    assert rule.result_in_words(evidence.samples["step time"], verdicts["step time"]).count == "8 repetitions"
    assert rule.in_words().needs.startswith("At least 6 repetitions")
    assert "seed" not in rule.in_words().needs
    few = judged(World(1.25, count=2))[1]["step time"]
    assert few.reason == "2 repetitions cannot decide it; 6 are needed."


def test_the_sentence_says_what_a_speed_up_has_to_make_up_for():
    assert "at least 20 % of the steps" in say(*judged(World(1.25)))
    assert "no price of BN was found" in say(*judged(World(0.9)))


def test_the_figure_has_a_point_for_each_repetition():
    figure = Figure()
    draw(judged(World(1.25))[0], figure)
    assert {len(line.get_xdata()) for line in figure.axes[0].lines[::2][: len(ARMS)]} == {8}


def test_the_subject_is_what_is_timed():
    with pytest.raises(Exception, match="no_such_norm"):
        measure(0, "smoke", "norm=none", "norm=no_such_norm", ())
    times = measure(0, "smoke", "norm=none", "norm=layer", ())
    assert set(times) == set(ARMS)
    assert all((values > 0).all() for values in times.values())
