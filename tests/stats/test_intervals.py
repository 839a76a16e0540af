"""Intervals over seeds: what is refused, what t and the bootstrap compute, and how digits are chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.intervals import (
    LEVELS,
    Interval,
    TwoLevels,
    bootstrap,
    expanded_level,
    intervals_by_bootstrap,
    intervals_by_t,
)

SKEWED = np.random.default_rng(7).lognormal(0, 1, 12)
BASE = np.array([410.0, 520.0, 480.0, 610.0, 450.0, 500.0, 530.0, 470.0])
ARM = np.array([200.0, 240.0, 260.0, 250.0, 230.0, 210.0, 280.0, 220.0])


def mean(row_RS):
    return row_RS.mean(-1)


def ratio_of_means(base_RS, arm_RS):
    return base_RS.mean(-1) / arm_RS.mean(-1)


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
def test_t_intervals_are_those_of_the_paired_t_test_on_differences_and_on_logarithms(level):
    (found,) = intervals_by_t(BASE, ARM, levels=(level,))
    theirs = stats.ttest_rel(ARM, BASE).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert (found.estimate, found.num_seeds, found.level) == (pytest.approx((ARM - BASE).mean()), 8, level)
    (found,) = intervals_by_t(BASE, ARM, "ratio", levels=(level,))
    theirs = stats.ttest_rel(np.log(BASE), np.log(ARM)).confidence_interval(level)
    assert (found.low, found.high) == pytest.approx((np.exp(theirs.low), np.exp(theirs.high)))
    assert found.estimate == pytest.approx(stats.gmean(BASE / ARM))


def test_a_seed_that_is_slow_in_both_arms_costs_no_precision(rng):
    slowness = rng.lognormal(0, 2, 8)
    found, expected = (intervals_by_t(BASE * scale, ARM * scale, "ratio")[0] for scale in (slowness, 1))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("scale", ["difference", "ratio"])
@pytest.mark.parametrize(
    "make", [intervals_by_t, lambda *args: intervals_by_bootstrap(*args, np.random.default_rng(0))]
)
def test_what_is_no_pair_of_rows_of_positive_finite_values_is_refused(make, scale):
    for first, second in (([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([], [])):
        with pytest.raises(ValueError, match="same 2 or more seeds"):
            make(first, second, scale)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="survival"):
            make([1.0, bad], [1.0, 2.0], scale)
    if scale == "ratio":
        with pytest.raises(ValueError, match="positive"):
            make([0.0, 1.0], [1.0, 1.0], scale)


@pytest.mark.parametrize("values", [[2.0, 2.0], [0.0, 0.0, 0.0], [1e9, 1e9 + 1e-6]])
def test_seeds_that_hardly_differ_give_an_interval_of_hardly_any_width_and_no_warning(rng, values):
    zeros = [0.0] * len(values)
    for found in (intervals_by_t(zeros, values)[0], intervals_by_bootstrap(zeros, values, "difference", rng)[0]):
        assert (found.estimate, found.low, found.high) == pytest.approx((values[0],) * 3)


# By bootstrap


def test_it_is_scipys_percentile_bootstrap_at_the_expanded_level():
    (found,) = bootstrap((SKEWED,), mean, np.random.default_rng(3), resamples=2000)
    seeds = np.random.default_rng(3).integers(0, len(SKEWED), (2000, len(SKEWED)))
    tail = (1 - expanded_level(0.95, len(SKEWED))) / 2
    assert (found.low, found.high) == pytest.approx(np.quantile(SKEWED[seeds].mean(1), [tail, 1 - tail]), rel=1e-12)


def test_rows_of_one_seed_stay_together(rng):
    base = rng.normal(100, 30, 8)
    (found,) = bootstrap((2 * base, base), ratio_of_means, rng)
    assert (found.low, found.high) == pytest.approx((2, 2))
    (shuffled,) = bootstrap((2 * base, base[::-1]), ratio_of_means, rng)
    assert shuffled.high - shuffled.low > 0.1


def test_same_rng_same_interval_other_rng_other_interval_and_no_global_generator_is_moved():
    before = np.random.get_state()[1].tolist()
    first, again, other = (bootstrap((SKEWED,), mean, np.random.default_rng(seed), resamples=500) for seed in (0, 0, 1))
    assert first == again != other
    assert np.random.get_state()[1].tolist() == before


def test_levels_come_from_one_draw_and_are_nested():
    narrow, wide = intervals_by_bootstrap(BASE, ARM, "ratio", np.random.default_rng(5), LEVELS)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.level, wide.level) == LEVELS
    assert (narrow,) == intervals_by_bootstrap(BASE, ARM, "ratio", np.random.default_rng(5), LEVELS[:1])


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_bootstrap_and_t_have_one_estimate_and_about_one_width(rng, scale):
    (by_bootstrap,), (by_t,) = intervals_by_bootstrap(BASE, ARM, scale, rng), intervals_by_t(BASE, ARM, scale)
    assert by_bootstrap.estimate == pytest.approx(by_t.estimate)
    assert 0.9 < (by_bootstrap.high - by_bootstrap.low) / (by_t.high - by_t.low) < 1.1


def test_two_seeds_are_enough_for_an_interval_between_them(rng):
    (found,) = bootstrap(([1.0, 2.0],), mean, rng)
    assert (found.estimate, found.low, found.high) == (1.5, 1, 2)


def test_a_statistic_that_fails_in_some_resample_is_an_error(rng):
    with pytest.raises(ValueError, match="not finite"):
        bootstrap(([1.0, 1.0, 1.0], [0.0, 1.0, 1.0]), ratio_of_means, rng)


@pytest.mark.parametrize("rows", [(), ([1.0],), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]],)])
def test_rows_that_are_not_over_the_same_seeds_are_refused(rng, rows):
    with pytest.raises(ValueError, match="same 2 or more seeds"):
        bootstrap(rows, mean, rng)


def test_values_that_are_not_finite_are_sent_to_survival_methods(rng):
    with pytest.raises(ValueError, match="survival"):
        bootstrap(([1.0, np.inf],), mean, rng)


@pytest.mark.parametrize("num_seeds", [3, 8, 100])
def test_the_expanded_level_makes_a_normal_quantile_the_t_quantile(num_seeds):
    z = stats.norm.ppf((1 + expanded_level(0.95, num_seeds)) / 2)
    t = stats.t.ppf(0.975, num_seeds - 1)
    assert z * np.sqrt((num_seeds - 1) / num_seeds) == pytest.approx(t, rel=1e-6)


# How often intervals hold the truth: 600 simulations have a standard error of 0.9 points


def coverage(make, truth):
    """The share of 600 intervals ``make(rng)`` that hold ``truth``."""
    rng = np.random.default_rng(2026)
    return np.mean([make(rng).covers(truth) for _ in range(600)])


def log_normal_pair(rng, num_seeds, speed_up):
    """Steps of two arms that share what their seed contributes; log-ratios are normal."""
    seed = rng.normal(0, 0.3, num_seeds)
    base = np.exp(6 + seed + rng.normal(0, 0.2, num_seeds))
    return base, np.exp(6 + seed + rng.normal(0, 0.2, num_seeds)) / speed_up


@pytest.mark.parametrize("num_seeds", [8, 16])
def test_intervals_that_say_95_percent_hold_the_true_ratio_about_95_times_in_100(num_seeds):
    def by_t(rng):
        return intervals_by_t(*log_normal_pair(rng, num_seeds, 3), "ratio")[0]

    def by_bootstrap(rng):
        return intervals_by_bootstrap(*log_normal_pair(rng, num_seeds, 3), "ratio", rng, resamples=500)[0]

    assert 0.92 < coverage(by_t, 3) < 0.98
    assert 0.92 < coverage(by_bootstrap, 3) < 0.98


def test_without_expansion_they_would_hold_it_89_times_in_100_at_eight_seeds():
    # Why tails are widened. Theory: P(|t_7| < 1.96 sqrt(7/8)) = 0.891.
    def plain(rng):
        result = stats.bootstrap((rng.normal(size=8),), np.mean, n_resamples=500, method="percentile", rng=rng)
        return Interval(0.0, *result.confidence_interval, level=0.95, num_seeds=8)

    assert 0.86 < coverage(plain, 0) < 0.915
