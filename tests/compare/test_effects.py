"""Intervals, verdicts and the number of seeds, against scipy and against simulation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from bnexp.compare.effects import (
    BETTER,
    EQUIVALENT,
    OPEN,
    WORSE,
    Effect,
    Estimate,
    chance_settled,
    seeds_to_settle,
    with_holm,
)

FEW = [1.2, 0.4, 2.1, 1.6, 0.9]
MORE = [0.1, 0.4, -0.2, 0.3, 0.8, 0.2, 0.1]


def effect(values, smallest=0.5):
    """Of paired differences, alone."""
    return with_holm([Effect(Estimate.of(values), smallest, False, True, "")])[0]


def test_paired_intervals_and_p_are_those_of_scipy():
    theirs = stats.ttest_1samp(FEW, 0)
    ours = Estimate.of(FEW)
    assert (ours.interval().low, ours.interval().high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert 2 * ours.p_below(0) == pytest.approx(theirs.pvalue)


def test_unpaired_intervals_and_p_are_welchs():
    theirs = stats.ttest_ind(FEW, MORE, equal_var=False)
    ours = Estimate.unpaired(FEW, MORE)
    assert ours.freedom == pytest.approx(theirs.df)
    assert (ours.interval().low, ours.interval().high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert 2 * ours.p_below(0) == pytest.approx(theirs.pvalue)


def test_of_one_seed_there_is_neither_interval_nor_verdict():
    found = effect([3.0])
    assert (found.interval.low, found.interval.high) == (-math.inf, math.inf)
    assert (found.verdict, found.more_seeds) == (OPEN, None)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0, 1.2, 0.9, 1.1], BETTER),
        ([-1.0, -1.2, -0.9, -1.1], WORSE),
        ([0.1, -0.1, 0.05, 0.0], EQUIVALENT),
        ([0.3, 0.31, 0.29, 0.3], EQUIVALENT),  # surely above 0, and surely too small to matter
        ([0.4, 0.55, 0.3, 0.5], OPEN),  # above 0, and may or may not matter
        ([3.0, -1.0, 2.0, 0.0], OPEN),
        ([0.0, 0.0, 0.0], EQUIVALENT),
        ([1.0, 1.0], OPEN),  # two seeds that agree know nothing of their sd
    ],
)
def test_verdicts(values, verdict):
    assert effect(values).verdict == verdict


def test_holm_takes_back_what_one_of_many_arms_reached_by_chance():
    values = [0.9, 1.6, 0.2, 1.5]
    assert effect(values).verdict == BETTER
    several = with_holm(
        [Effect(Estimate.of(row), 0.5, False, True, "") for row in (values, *([[1.0, -1.0, 0.9, -0.5]] * 9))]
    )
    assert several[0].verdict == OPEN
    assert several[0].more_seeds > 0


@pytest.mark.parametrize(("mean", "smallest", "paired"), [(1.0, 0.5, True), (0.0, 0.5, True), (1.0, 0.5, False)])
def test_the_number_of_seeds_settles_it_in_four_of_five_simulations(mean, smallest, paired):
    number = seeds_to_settle(mean, 1.0, smallest, 0.05, paired)
    rng = np.random.default_rng(0)

    def settled(seeds):
        found = 0
        for _ in range(400):
            if paired:
                estimate = Estimate.of(rng.normal(mean, 1.0, seeds))
            else:
                estimate = Estimate.unpaired(
                    rng.normal(mean, math.sqrt(0.5), seeds), rng.normal(0, math.sqrt(0.5), seeds)
                )
            found += with_holm([Effect(estimate, smallest, False, paired, "")])[0].verdict != OPEN
        return found / 400

    assert settled(number) == pytest.approx(0.8, abs=0.07)
    assert (
        chance_settled(number, mean, 1.0, smallest, 0.05, paired)
        >= 0.8
        > chance_settled(number - 1, mean, 1.0, smallest, 0.05, paired)
    )


def test_a_difference_at_the_smallest_effect_itself_is_settled_by_no_number():
    assert seeds_to_settle(0.5, 1.0, 0.5, 0.05) is None
    assert effect([0.5, 1.5, -0.5, 0.5]).in_words == "open: more than 1,000 seeds"


def test_effects_do_without_the_slow_half_of_scipy():
    asked = "one = Estimate.of([1.0, 2.0, 4.0]); one.interval(); one.p_below(0.0); seeds_to_settle(1.0, 1.0, 0.5, 0.05)"
    loaded = "[name in sys.modules for name in ('scipy.special', 'scipy.stats')]"
    code = f"import sys; from bnexp.compare.effects import *; {asked}; print(*{loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "False"]
