"""How often intervals hold the truth when the whole protocol is repeated: rates raced on tuning seeds, near-ties averaged.

A world draws every run anew. The truth is what the protocol reports on average over all worlds: the difference of the arms'
expected log steps, each at the rates that its tuning chooses. 1,000 worlds have a standard error of 0.7 points at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from bnexp.claims.base import BUDGETS, Tuning
from bnexp.claims.quantities import Levels, Speed
from bnexp.claims.tuning import chosen, next_runs
from bnexp.stats.intervals import intervals_by_bootstrap, intervals_by_t
from bnexp.stats.sample import Sample, Side

WORLDS, RESAMPLES = 1000, 500
BUDGET = BUDGETS["quick"]
TUNING = Tuning(
    key="optimizer.lr",
    values=(0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    by=Speed({"quick": Levels(0.15, 0.07, 3000)}),
)
Noise = Callable[[np.random.Generator], float]


@dataclass(frozen=True)
class Arm:
    """Mean log steps of an arm: a parabola over the logarithm of the rate.

    Attributes:
        best: log2 of the best rate.
        curvature: what one doubling away from it costs.
        level: log steps at the best rate.
    """

    best: float
    curvature: float
    level: float

    def expected(self, rate: float) -> float:
        return self.level + self.curvature * (np.log2(rate) - self.best) ** 2


@dataclass(frozen=True)
class Luck:
    """What chance adds to log steps.

    Attributes:
        seed: sd of what a seed adds to every run.
        run: sd of what it adds to each run alone.
    """

    seed: float = 0.15
    run: float = 0.1

    def draw(self, rng: np.random.Generator, sd: float, size: int | None = None) -> np.ndarray:
        return sd * rng.normal(size=size)


def race(arm: Arm, luck: Luck, seeds: np.ndarray, rng: np.random.Generator) -> dict[float, dict[int, float]]:
    """Tuning runs, asked for until the choice is known; a score is minus log steps."""
    scores: dict[float, dict[int, float]] = {}
    while runs := next_runs(TUNING, BUDGET, scores):
        noise = luck.draw(rng, luck.run, len(runs))
        for (rate, seed), own in zip(runs, noise, strict=True):
            scores.setdefault(rate, {})[seed] = -(arm.expected(rate) + seeds[seed - 1000] + own)
    return scores


@dataclass(frozen=True)
class Protocol:
    """Two arms, tuned, and reported at some seeds."""

    base: Arm
    arm: Arm
    luck: Luck = Luck()
    num_seeds: int = 8

    def tuned(self, rng: np.random.Generator) -> tuple[list[dict[float, dict[int, float]]], list[list[float]]]:
        """Scores and chosen rates of both arms; a tuning seed is the same in both."""
        seeds = self.luck.draw(rng, self.luck.seed, BUDGET.num_tuning_seeds)
        scores = [race(one, self.luck, seeds, rng) for one in (self.base, self.arm)]
        return scores, [chosen(TUNING, BUDGET, one) for one in scores]

    def truth(self, picked: list[list[float]]) -> float:
        """The expected log ratio at these rates."""
        base, arm = (
            np.mean([one.expected(rate) for rate in rates])
            for one, rates in zip((self.base, self.arm), picked, strict=True)
        )
        return float(base - arm)

    def world(self, rng: np.random.Generator) -> tuple[Sample, float]:
        """One draw of the experiment, and the truth of the rates that it chose."""
        scores, picked = self.tuned(rng)
        seeds = self.luck.draw(rng, self.luck.seed, self.num_seeds)
        sides = []
        for one, tried, rates in zip((self.base, self.arm), scores, picked, strict=True):
            rows = (np.exp(one.expected(rate) + seeds + self.luck.draw(rng, self.luck.run, len(seeds))) for rate in rates)
            sides.append(
                Side(
                    tuple(tuple(row.tolist()) for row in rows), tuple(tuple(tried[rate].values()) for rate in rates)
                )
            )
        return Sample((sides[1],), (sides[0],)), self.truth(picked)


def coverage(protocol: Protocol, num_worlds: int = WORLDS) -> dict[str, float]:
    """Share of worlds whose 95 % interval holds what the protocol reports on average."""
    rng = np.random.default_rng(2026)
    worlds = [protocol.world(rng) for _ in range(num_worlds)]
    truth = np.exp(np.mean([own for _, own in worlds]))
    return {
        "bootstrap": np.mean(
            [intervals_by_bootstrap(one, "ratio", rng, resamples=RESAMPLES)[0].covers(truth) for one, _ in worlds]
        ),
        "t": np.mean([intervals_by_t(one, "ratio", rng)[0].covers(truth) for one, _ in worlds]),
    }


NONE, BATCH = Arm(1.3, 0.08, 6.5), Arm(1.6, 0.08, 5.8)  # 2 and 4 are nearly tied, BN takes half the steps

PROTOCOLS = {
    "near ties": Protocol(NONE, BATCH),
    "near ties, 16 seeds": Protocol(NONE, BATCH, num_seeds=16),
    "runs that differ much": Protocol(NONE, BATCH, Luck(run=0.3)),
    "nothing shared by a seed, 16 seeds": Protocol(Arm(1.4, 0.15, 6.5), Arm(1.1, 0.15, 5.8), Luck(seed=0), 16),
    "a certain choice": Protocol(Arm(1, 2, 6.5), Arm(1, 2, 5.8)),
    "two rates that tie exactly": Protocol(Arm(1.5, 0.2, 6.5), Arm(1.5, 0.2, 5.8)),
    "an optimum beyond the list": Protocol(NONE, Arm(4.2, 0.3, 5.8)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_intervals_that_say_95_percent_hold_what_the_protocol_reports_about_95_times_in_100(name):
    found = coverage(PROTOCOLS[name])
    assert all(0.92 < share < 0.98 for share in found.values()), found


@pytest.mark.slow
def test_where_all_rates_do_alike_intervals_err_on_the_safe_side():
    # Re-drawn choices differ by the luck of the reported runs as well, which the variance over seeds counts already.
    found = coverage(Protocol(Arm(1.3, 0.02, 6.5), Arm(1.6, 0.02, 5.8)), 600)
    assert all(share > 0.94 for share in found.values()), found


def test_worlds_choose_as_declared():
    rng = np.random.default_rng(0)
    certain, tie, beyond = (PROTOCOLS[name] for name in list(PROTOCOLS)[4:])
    assert {tuple(rates) for _ in range(20) for rates in certain.tuned(rng)[1]} == {(2.0,)}
    ties = {tuple(rates) for _ in range(50) for rates in tie.tuned(rng)[1]}
    assert {(2.0,), (4.0,), (2.0, 4.0)} <= ties
    assert all(16.0 in beyond.tuned(rng)[1][1] for _ in range(20))
    assert {len(race(NONE, Luck(), np.zeros(6), rng)[0.125]) for _ in range(20)} == {2}  # far behind, so not tried further
