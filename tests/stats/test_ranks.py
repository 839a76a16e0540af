"""Rank correlations: against scipy, the three worlds, and what a page shows of them."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnexp.stats.intervals import Interval
from bnexp.stats.ranks import RankCorrelation, Ranked, permutation_p, rank_interval, spearman, z_p
from bnexp.stats.redraws import REDRAWS
from bnexp.stats.sample import Sample

RULE = RankCorrelation(0.6, drawn="normaliser")
RISING = np.arange(10.0)
NUMBERS = st.lists(st.integers(-4, 4), min_size=4, max_size=12)


def ranked(rho, low, high, p=0.01, cases=10):
    return Ranked(Interval(rho, low, high, 0.95, cases), p)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.data())
def test_rho_is_scipys_with_ties_and_all(data):
    x = np.array(data.draw(NUMBERS), float)
    y = np.array(data.draw(st.lists(st.integers(-4, 4), min_size=len(x), max_size=len(x))), float)
    if np.ptp(x) and np.ptp(y):
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    else:
        assert spearman(x, y) == 0


def test_the_interval_is_fishers_with_bonetts_and_wrights_error(rng):
    x, y = rng.normal(size=(2, 12))
    rho = stats.spearmanr(x, y).statistic
    half = stats.norm.ppf(0.975) * math.sqrt((1 + rho**2 / 2) / 9)
    found = rank_interval(x, y)
    assert (found.estimate, found.num_seeds) == (pytest.approx(rho), 12)
    assert (found.low, found.high) == (
        pytest.approx(math.tanh(math.atanh(rho) - half)),
        pytest.approx(math.tanh(math.atanh(rho) + half)),
    )
    assert z_p(math.tanh(math.atanh(rho) + half), x, y) == pytest.approx(0.05, abs=1e-6)


def test_the_interval_covers_as_often_as_it_says(rng):
    covered = 0
    for _ in range(600):
        x = rng.normal(size=12)
        y = 0.6 * x + 0.8 * rng.normal(size=12)
        covered += rank_interval(x, y).covers(6 / math.pi * math.asin(0.3))  # rho of a normal pair with correlation .6
    assert covered / 600 == pytest.approx(0.95, abs=0.03)


def test_p_is_the_share_of_permutations(rng):
    x, y = np.array([1.0, 2, 3, 4, 5, 6]), np.array([2.0, 1, 3, 6, 5, 4])
    rhos = [stats.spearmanr(x, order).statistic for order in permutations(y)]
    found = abs(spearman(x, y)) - 1e-12
    assert permutation_p(x, y, rng) == pytest.approx(np.mean(np.abs(rhos) >= found))


@pytest.mark.parametrize(
    ("one", "outcome", "word"),
    [
        (ranked(0.8, 0.3, 0.95), "SUPPORTED", "as claimed"),
        (ranked(0.8, 0.3, 0.95, p=0.06), "INCONCLUSIVE", "too noisy"),
        (ranked(0.5, -0.1, 0.8), "INCONCLUSIVE", "maybe too small"),
        (ranked(0.1, -0.5, 0.7, p=0.8), "INCONCLUSIVE", "too noisy"),
        (ranked(0.0, -0.55, 0.55, p=1), "CONTRADICTED", "too small"),
        (ranked(-0.8, -0.95, -0.3), "CONTRADICTED", "reversed"),
    ],
)
def test_the_three_worlds(one, outcome, word):
    verdict = RULE.decide(one)
    assert (verdict.outcome, verdict.word) == (outcome, word)
    mirrored = ranked(-one.interval.estimate, -one.interval.high, -one.interval.low, one.p)
    verdict = RankCorrelation(0.6, -1).decide(mirrored)
    assert (verdict.outcome, verdict.word) == (outcome, word)


def test_too_few_cases_and_failed_gates_decide_nothing():
    assert RULE.decide(ranked(0.9, 0.5, 1.0, cases=7)).reason == "7 normalisers cannot decide it; 8 are needed."
    assert RULE.decide(ranked(0.9, 0.5, 1.0), gates={"all train": False}).word == "gate failed"
    with pytest.raises(ValueError, match="no evidence"):
        RULE.decide()


@pytest.mark.parametrize("declare", [lambda: RankCorrelation(0), lambda: RankCorrelation(1), lambda: RankCorrelation(0.6, 0)])
def test_declarations_without_meaning_are_refused(declare):
    with pytest.raises(ValueError, match="must be"):
        declare()


def test_samples_that_cannot_be_ranked_are_refused(rng):
    with pytest.raises(ValueError, match="two numbers of each case"):
        RULE.judge(Sample.of(RISING), rng)
    with pytest.raises(ValueError, match="at least 4 cases"):
        RULE.judge(Sample.of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), rng)


def test_a_perfect_ranking_is_supported_whatever_the_units_and_its_mirror_image_reversed(rng):
    sample = Sample.of(RISING, base=np.exp(RISING))
    verdict = RULE.judge(sample, rng)
    assert (verdict.outcome, verdict.effect.estimate) == ("SUPPORTED", 1)
    assert RULE.judge(Sample.of(RISING, base=-RISING), rng).word == "reversed"
    assert RULE.p_value(sample, verdict, rng) < 0.001
    assert RULE.redraw(sample, rng).count("SUPPORTED") > 0.99 * REDRAWS


def test_p_of_a_correlation_that_is_too_small_is_of_the_smallest(rng):
    sample = Sample.of(np.arange(40.0), base=np.tile([3.0, 1.0, 2.0, 4.0], 10))
    verdict = RULE.judge(sample, rng)
    assert verdict.word == "too small"
    assert RULE.p_value(sample, verdict, rng) == pytest.approx(z_p(0.6, np.arange(40.0), np.tile([3.0, 1.0, 2.0, 4.0], 10)))
    assert RULE.redraw(sample, rng).count("CONTRADICTED") > 0.8 * REDRAWS


def test_noise_leaves_it_open_with_p_one_and_fragile(rng):
    sample = Sample.of(RISING, base=np.array([0, 6, 2, 9, 3, 1, 8, 4, 5, 7.0]))
    verdict = RULE.judge(sample, rng)
    assert verdict.outcome == "INCONCLUSIVE"
    assert RULE.p_value(sample, verdict, rng) == 1


@pytest.mark.parametrize(
    ("rule", "edge", "inside", "outside"), [(RULE, "0.6", 0.7, 0.5), (RankCorrelation(0.6, -1), "-0.6", -0.7, -0.5)]
)
def test_words_and_marks_name_what_decides(rule, edge, inside, outside):
    words, marks = rule.in_words(), rule.marks()
    assert edge in words.supports
    assert "0.05" in words.supports
    assert edge in words.contradicts
    assert "At least 8" in words.needs
    assert marks.zone[0] < inside < marks.zone[1]
    assert not marks.zone[0] < outside < marks.zone[1]


def test_a_result_in_words_counts_cases(rng):
    sample = Sample.of(RISING, base=RISING)
    words = RULE.result_in_words(sample, RULE.judge(sample, rng))
    assert words.effect.startswith("rho 1.00 [")
    assert words.count == "10 normalisers"


def test_declaring_a_rule_loads_no_scipy():
    code = "import sys, bnexp.stats.ranks; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"
