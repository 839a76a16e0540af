"""Paired effects: t and bootstrap, on differences and on ratios."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnexp.stats.paired import (
    bootstrap_difference_interval,
    bootstrap_ratio_interval,
    difference_interval,
    difference_p_value,
    mean_interval,
    ratio_interval,
)

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None)

BASE = np.array([410.0, 520.0, 480.0, 610.0, 450.0, 500.0, 530.0, 470.0])
ARM = np.array([200.0, 240.0, 260.0, 250.0, 230.0, 210.0, 280.0, 220.0])


def test_the_t_interval_is_that_of_the_paired_t_test():
    theirs = stats.ttest_rel(ARM, BASE).confidence_interval(0.95)
    found = difference_interval(ARM, BASE)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)
    assert found.estimate == pytest.approx((ARM - BASE).mean())
    assert found.num_seeds == 8


def test_the_p_value_is_that_of_the_paired_t_test():
    assert difference_p_value(ARM, BASE) == pytest.approx(stats.ttest_rel(ARM, BASE).pvalue, rel=1e-12)


@STEADY
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=12), st.floats(-50, 50))
def test_p_is_below_five_percent_exactly_when_the_interval_excludes_zero(values, shift):
    row = np.array(values) + shift
    found, p = difference_interval(row, 0 * row), difference_p_value(row, 0 * row)
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (not found.covers(0))


def test_p_of_arms_that_never_or_always_differ_alike():
    assert difference_p_value([1, 2, 3], [1, 2, 3]) == 1
    assert difference_p_value([2, 3, 4], [1, 2, 3]) == 0


def test_the_ratio_is_the_geometric_mean_of_base_over_arm():
    found = ratio_interval(BASE, ARM)
    assert found.estimate == pytest.approx(stats.gmean(BASE / ARM))
    theirs = stats.ttest_rel(np.log(BASE), np.log(ARM)).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((np.exp(theirs.low), np.exp(theirs.high)))


def test_swapping_the_arms_inverts_the_ratio_and_negates_the_difference():
    there, back = ratio_interval(BASE, ARM), ratio_interval(ARM, BASE)
    assert (back.estimate, back.low, back.high) == pytest.approx((1 / there.estimate, 1 / there.high, 1 / there.low))
    there, back = difference_interval(ARM, BASE), difference_interval(BASE, ARM)
    assert (back.estimate, back.low, back.high) == pytest.approx((-there.estimate, -there.high, -there.low))


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_bootstrap_and_t_estimate_the_same_effects(rng, method):
    assert bootstrap_ratio_interval(BASE, ARM, rng, method=method).estimate == pytest.approx(
        ratio_interval(BASE, ARM).estimate
    )
    assert bootstrap_difference_interval(ARM, BASE, rng, method=method).estimate == pytest.approx(
        difference_interval(ARM, BASE).estimate
    )


def test_an_expanded_bootstrap_is_about_as_wide_as_the_t_interval(rng):
    by_t = difference_interval(ARM, BASE)
    expanded = bootstrap_difference_interval(ARM, BASE, rng)
    plain = bootstrap_difference_interval(ARM, BASE, rng, expand=False)
    widths = [(each.high - each.low) / (by_t.high - by_t.low) for each in (expanded, plain)]
    assert 0.9 < widths[0] < 1.1
    assert widths[1] < 0.85


def test_a_seed_that_is_slow_in_both_arms_costs_no_precision(rng):
    slowness = rng.lognormal(0, 2, 8)
    found = ratio_interval(BASE * slowness, ARM * slowness)
    assert (found.low, found.high) == pytest.approx((ratio_interval(BASE, ARM).low, ratio_interval(BASE, ARM).high))


@pytest.mark.parametrize("estimate", [difference_interval, ratio_interval, difference_p_value])
@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0]), ([1.0, 2.0], [1.0, 2.0, 3.0]), ([], [])])
def test_rows_that_are_no_pairs_are_refused(estimate, first, second):
    with pytest.raises(ValueError, match="same 2 or more seeds"):
        estimate(first, second)


@pytest.mark.parametrize("estimate", [difference_interval, ratio_interval, difference_p_value])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_sent_to_survival_methods(estimate, bad):
    with pytest.raises(ValueError, match="survival"):
        estimate([1.0, bad], [1.0, bad])


def test_ratios_of_zero_or_negative_values_are_refused(rng):
    with pytest.raises(ValueError, match="positive"):
        ratio_interval([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="positive"):
        bootstrap_ratio_interval([1.0, 1.0], [1.0, -1.0], rng)


@pytest.mark.parametrize("row", [[1.0], [1.0, np.nan], [[1.0, 2.0]]])
def test_a_mean_needs_two_finite_values(row):
    with pytest.raises(ValueError, match="2 or more finite"):
        mean_interval(row)


def test_two_equal_seeds_give_an_interval_of_width_zero():
    found = mean_interval([2.0, 2.0])
    assert (found.estimate, found.low, found.high) == (2, 2, 2)
