"""Two one-sided tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnexp.stats.equivalence import equivalence_p_value, levels_by_bootstrap, levels_by_t
from bnexp.stats.paired import bootstrap_ratio_interval, difference_interval, ratio_interval

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None)

BASE = np.array([0.971, 0.968, 0.974, 0.969, 0.972, 0.970, 0.973, 0.967])
ARM = BASE + np.array([0.001, -0.002, 0.001, 0.0, 0.002, -0.001, 0.0, 0.001])


def test_it_is_the_larger_of_two_one_sided_t_tests():
    above = stats.ttest_1samp(ARM - BASE, -0.002, alternative="greater").pvalue
    below = stats.ttest_1samp(ARM - BASE, 0.002, alternative="less").pvalue
    assert equivalence_p_value(ARM, BASE, 0.002) == pytest.approx(max(above, below), rel=1e-12)


@STEADY
@given(st.lists(st.floats(-1, 1), min_size=3, max_size=10), st.floats(0.01, 2))
def test_p_is_below_five_percent_exactly_when_the_90_percent_interval_is_inside(values, margin):
    row = np.array(values)
    p, levels = equivalence_p_value(row, 0 * row, margin), levels_by_t(arm_S=row, base_S=0 * row, scale="difference")
    if abs(p - 0.05) > 1e-9:
        assert (p < 0.05) == (-margin < levels.narrow.low and levels.narrow.high < margin)


def test_no_difference_in_two_noisy_arms_is_no_evidence_of_equivalence(rng):
    noise = rng.normal(0, 1, 8)
    noise -= noise.mean()
    assert difference_interval(noise, 0 * noise).covers(0)
    assert equivalence_p_value(noise, 0 * noise, 0.1) > 0.3


def test_differences_that_never_vary_are_inside_or_outside():
    assert equivalence_p_value([1.5, 1.5], [1, 1], 1) == 0
    assert equivalence_p_value([1.5, 1.5], [1, 1], 0.5) == 1


@pytest.mark.parametrize("margin", [0, -1, np.nan])
def test_a_margin_must_be_positive(margin):
    with pytest.raises(ValueError, match="margin must be positive"):
        equivalence_p_value(ARM, BASE, margin)


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_levels_are_the_paired_intervals(scale):
    levels = levels_by_t(arm_S=ARM, base_S=BASE, scale=scale)
    expected = ratio_interval(BASE, ARM) if scale == "ratio" else difference_interval(ARM, BASE)
    assert levels.wide == expected


def test_bootstrapped_levels_come_from_one_draw_and_are_the_paired_bootstrap():
    levels = levels_by_bootstrap(arm_S=ARM, base_S=BASE, scale="ratio", rng=np.random.default_rng(5))
    again = bootstrap_ratio_interval(BASE, ARM, np.random.default_rng(5), level=0.9)
    assert levels.narrow == again
    assert levels.wide.low < levels.narrow.low


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_same_rng_same_levels_other_rng_other_levels(rng, method):
    arm = rng.normal(0, 1, 8)

    def draw(seed):
        pair = {"arm_S": arm, "base_S": BASE, "scale": "difference"}
        return levels_by_bootstrap(**pair, rng=np.random.default_rng(seed), method=method)

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(rng, bad):
    for scale in ("difference", "ratio"):
        with pytest.raises(ValueError, match="survival"):
            levels_by_bootstrap(arm_S=[1.0, bad], base_S=[1.0, 2.0], scale=scale, rng=rng)
