"""p values of secondary endpoints, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.intervals import intervals_by_t
from bnexp.stats.p_values import holm, paired_p_value


def test_the_p_value_is_that_of_the_paired_t_test_on_differences_and_on_logarithms(rng):
    base, arm = rng.lognormal(0, 1, (2, 8))
    assert paired_p_value(base, arm) == pytest.approx(stats.ttest_rel(arm, base).pvalue, rel=1e-12)
    expected = stats.ttest_rel(np.log(arm), np.log(base)).pvalue
    assert paired_p_value(base, arm, "ratio") == pytest.approx(expected, rel=1e-12)


def test_p_is_below_five_percent_exactly_when_the_interval_excludes_zero(rng):
    for shift in np.linspace(0, 2, 50):
        row = rng.normal(shift, 1, 6)
        assert (paired_p_value(0 * row, row) < 0.05) == (not intervals_by_t(0 * row, row)[0].covers(0))


def test_p_of_arms_that_never_or_always_differ_alike():
    assert paired_p_value([1, 2, 3], [1, 2, 3]) == 1
    assert paired_p_value([1, 2, 3], [2, 3, 4]) == 0


def test_holms_own_steps_by_hand():
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to the one before), 0.5 * 1
    assert holm({"d": 0.5, "b": 0.02, "a": 0.01, "c": 0.03}) == pytest.approx(
        {"d": 0.5, "b": 0.06, "a": 0.04, "c": 0.06}
    )


def test_a_single_endpoint_is_left_alone_equal_ones_get_equal_answers_and_none_exceeds_one():
    assert holm({"only": 0.3}) == {"only": 0.3}
    assert set(holm({"a": 0.02, "b": 0.02, "c": 0.02}).values()) == {0.06}
    assert set(holm({"a": 0.6, "b": 0.9}).values()) == {1.0}


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="p of late"):
        holm({"late": bad})
