"""Intervals over seeds: what is refused, what t and the bootstrap compute, and how digits are chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.intervals import (
    LEVELS,
    Interval,
    MeanEffect,
    TwoLevels,
    expanded_level,
    intervals_by_bootstrap,
    intervals_by_t,
    mean_effect,
)
from bnexp.stats.sample import Sample, Side

SKEWED = np.random.default_rng(7).lognormal(0, 1, 12)
BASE = np.array([410.0, 520.0, 480.0, 610.0, 450.0, 500.0, 530.0, 470.0])
ARM = np.array([200.0, 240.0, 260.0, 250.0, 230.0, 210.0, 280.0, 220.0])
PAIRS = Sample.of(ARM, BASE)


def fresh(seed=0):
    return np.random.default_rng(seed)


# What is no interval


@pytest.mark.parametrize(
    ("numbers", "words"),
    [((math.nan, 0, 1), "NaN"), ((0, math.nan, 1), "NaN"), ((0, 1, -1), "low must not exceed")],
)
def test_numbers_that_are_no_interval_are_refused(interval, numbers, words):
    with pytest.raises(ValueError, match=words):
        interval(*numbers)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(interval, level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        interval(0, -1, 1, level=level)


def test_an_interval_knows_whether_it_holds_its_own_estimate_up_to_rounding(interval):
    assert interval(1, 1 + 1e-15, 2).holds_its_estimate()
    assert not interval(3, 0, 2).holds_its_estimate()
    assert not interval(-1, 0, 2).holds_its_estimate()


@pytest.mark.parametrize("narrow", [(0, -1, 3, 0.9), (0, -3, 1, 0.9), (0, -1, 1, 0.95)])
def test_two_levels_must_be_90_and_95_percent_and_nested(interval, narrow):
    with pytest.raises(ValueError, match=r"must lie inside|levels must be"):
        TwoLevels(interval(*narrow), interval(0, -2, 2))


@pytest.mark.parametrize(
    ("estimate", "low", "high", "words"),
    [
        (1.523, 1.204, 1.911, "1.52 [1.20, 1.91]"),
        (0.01234, 0.0101, 0.0146, "0.0123 [0.0101, 0.0146]"),
        (1234.5, 1100, 1400, "1,234 [1,100, 1,400]"),
        (-0.0004, -0.02, 0.02, "0.000 [-0.020, 0.020]"),
        (3.0, 3.0, 3.0, "3.00 [3.00, 3.00]"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
        (1.0, 0.0, math.inf, "unknown"),
        (0.0, -math.inf, math.inf, "unknown"),
    ],
)
def test_an_interval_has_the_digits_its_width_deserves(estimate, low, high, words):
    assert Interval(estimate, low, high, level=0.95, num_seeds=8).in_words() == words


# By t


@pytest.mark.parametrize("level", LEVELS)
def test_t_intervals_are_those_of_the_paired_t_test_on_differences_and_on_logarithms(rng, level):
    (found,) = intervals_by_t(PAIRS, "difference", rng, (level,))
    theirs = stats.ttest_rel(ARM, BASE).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert (found.estimate, found.num_seeds, found.level) == (pytest.approx((ARM - BASE).mean()), 8, level)
    (found,) = intervals_by_t(PAIRS, "ratio", rng, (level,))
    theirs = stats.ttest_rel(np.log(BASE), np.log(ARM)).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((np.exp(theirs.low), np.exp(theirs.high)))
    assert found.estimate == pytest.approx(stats.gmean(BASE / ARM))


def test_a_seed_that_is_slow_in_both_arms_costs_no_precision(rng):
    slowness = rng.lognormal(0, 2, 8)
    found, expected = (intervals_by_t(Sample.of(ARM * k, BASE * k), "ratio", rng)[0] for k in (slowness, 1))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("scale", ["difference", "ratio"])
@pytest.mark.parametrize("make", [intervals_by_t, intervals_by_bootstrap, mean_effect])
def test_one_seed_and_ratios_of_what_is_not_positive_are_refused(rng, make, scale):
    with pytest.raises(ValueError, match="two or more"):
        make(Sample.of([1.0], [1.0]), scale, rng)
    if scale == "ratio":
        with pytest.raises(ValueError, match="positive"):
            make(Sample.of([0.0, 1.0], [1.0, 1.0]), scale, rng)


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0, 0.0], [1e9, 1e9 + 1e-6]])
def test_seeds_that_hardly_differ_give_an_interval_of_hardly_any_width_and_no_warning(rng, values):
    sample = Sample.of(values, [0.0] * len(values))
    for make in (intervals_by_t, intervals_by_bootstrap):
        found = make(sample, "difference", rng)[0]
        assert (found.estimate, found.low, found.high) == pytest.approx((values[0],) * 3)


def test_p_is_that_of_the_paired_t_test_and_of_seeds_that_never_differ_0_or_1(rng):
    expected = stats.ttest_rel(ARM, BASE, alternative="two-sided").pvalue
    assert mean_effect(PAIRS, "difference", rng).p_value(0) == pytest.approx(expected, rel=1e-9)
    assert [MeanEffect(1.0, 0.0, 8).p_value(value) for value in (1.0, 0.9)] == [1, 0]


@pytest.mark.parametrize("value", np.linspace(-0.5, 1.5, 21).tolist())
def test_p_is_below_five_percent_exactly_when_the_interval_excludes_the_value(value):
    effect = MeanEffect(0.4, 0.25, 6)
    assert (effect.p_value(value) < 0.05) == (not effect.interval(0.95).covers(value))


# The choice of a tuned value is part of the uncertainty


def tuned(scores, values=((1.0,) * 8, (3.0,) * 8)):
    """Two candidates whose reported runs all give 1 and all give 3: all that can vary is which of them counts."""
    return Sample((Side(values, scores),))


def test_the_variance_includes_that_of_the_choice(rng):
    scores = ((0.0, 2.0, 1.0, 0.0, 2.0, 1.0), (2.0, 0.0, 1.0, 1.0, 2.0, 0.0))
    found = mean_effect(tuned(scores), "difference", rng)
    draws = fresh(1).integers(6, size=(4000, 6))
    shares = Side(((1.0,), (3.0,)), scores).shares(draws)
    assert found.estimate == 2  # both count
    assert found.error == pytest.approx((shares @ [1.0, 3.0]).std(), rel=0.05)
    assert found.error > 0.3
    (by_bootstrap,) = intervals_by_bootstrap(tuned(scores), "difference", rng)
    assert (by_bootstrap.estimate, by_bootstrap.low, by_bootstrap.high) == (2, 1, 3)


def test_a_choice_that_comes_out_alike_in_every_redraw_adds_nothing(rng):
    row = tuple(rng.normal(size=8).tolist())
    sure = Sample((Side((row, tuple(x + 5 for x in row)), ((9.0, 9.1, 9.2), (0.0, 0.1, 0.2))),))
    alone = Sample.of(row)
    for make in (mean_effect, lambda *words: intervals_by_bootstrap(*words)[0].estimate):
        assert make(sure, "difference", fresh()) == make(alone, "difference", fresh())
    theirs = intervals_by_bootstrap(sure, "difference", fresh())[0], intervals_by_bootstrap(alone, "difference", fresh())[0]
    assert theirs[0].low == pytest.approx(theirs[1].low, abs=0.05)


def test_one_tuning_seed_has_no_variance_of_its_choice(rng):
    sample = tuned(((1.0,), (0.0,)))
    assert mean_effect(sample, "difference", rng) == MeanEffect(1.0, 0.0, 8)
    assert intervals_by_bootstrap(sample, "difference", rng)[0].high == 1


# By bootstrap


def test_it_is_the_percentile_bootstrap_at_the_expanded_level():
    (found,) = intervals_by_bootstrap(Sample.of(SKEWED), "difference", fresh(3), resamples=2000)
    seeds = fresh(3).integers(0, len(SKEWED), (2000, len(SKEWED)))
    tail = (1 - expanded_level(0.95, len(SKEWED))) / 2
    assert (found.low, found.high) == pytest.approx(np.quantile(SKEWED[seeds].mean(1), [tail, 1 - tail]), rel=1e-12)


def test_pairs_of_one_seed_stay_together(rng):
    (found,) = intervals_by_bootstrap(Sample.of(BASE, 2 * BASE), "ratio", rng)
    assert (found.low, found.high) == pytest.approx((2, 2))
    (shuffled,) = intervals_by_bootstrap(Sample.of(BASE[::-1], 2 * BASE), "ratio", rng)
    assert shuffled.high - shuffled.low > 0.1


def test_same_rng_same_interval_other_rng_other_interval_and_no_global_generator_is_moved():
    before = np.random.get_state()[1].tolist()
    first, again, other = (
        intervals_by_bootstrap(Sample.of(SKEWED), "difference", fresh(seed), resamples=500) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert np.random.get_state()[1].tolist() == before


def test_levels_come_from_one_draw_and_are_nested():
    narrow, wide = intervals_by_bootstrap(PAIRS, "ratio", fresh(5), LEVELS)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.level, wide.level) == LEVELS
    assert (narrow,) == intervals_by_bootstrap(PAIRS, "ratio", fresh(5), LEVELS[:1])


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_bootstrap_and_t_have_one_estimate_and_about_one_width(rng, scale):
    (by_bootstrap,), (by_t,) = intervals_by_bootstrap(PAIRS, scale, rng), intervals_by_t(PAIRS, scale, rng)
    assert by_bootstrap.estimate == pytest.approx(by_t.estimate)
    assert 0.9 < (by_bootstrap.high - by_bootstrap.low) / (by_t.high - by_t.low) < 1.1


def test_two_seeds_are_enough_for_an_interval_between_them(rng):
    (found,) = intervals_by_bootstrap(Sample.of([1.0, 2.0]), "difference", rng)
    assert (found.estimate, found.low, found.high) == (1.5, 1, 2)


@pytest.mark.parametrize("num_seeds", [3, 8, 100])
def test_the_expanded_level_makes_a_normal_quantile_the_t_quantile(num_seeds):
    z = stats.norm.ppf((1 + expanded_level(0.95, num_seeds)) / 2)
    t = stats.t.ppf(0.975, num_seeds - 1)
    assert z * np.sqrt((num_seeds - 1) / num_seeds) == pytest.approx(t, rel=1e-6)


# How often intervals hold the truth is in test_coverage.py: they do, with tails that are widened


def test_without_expansion_they_would_hold_it_89_times_in_100_at_eight_seeds():
    # Theory: P(|t_7| < 1.96 sqrt(7/8)) = 0.891. 600 simulations have a standard error of 1.3 points.
    rng = np.random.default_rng(2026)

    def plain():
        return stats.bootstrap((rng.normal(size=8),), np.mean, n_resamples=500, method="percentile", rng=rng)

    limits = [plain().confidence_interval for _ in range(600)]
    assert 0.86 < np.mean([low <= 0 <= high for low, high in limits]) < 0.915
