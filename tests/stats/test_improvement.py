"""Ranks and signs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnexp.stats.improvement import paired_probability_of_improvement, probability_of_improvement, sign_test

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None)

SCORES = st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0, np.inf]), min_size=1, max_size=9)


@STEADY
@given(SCORES, SCORES)
def test_unpaired_is_mann_whitney_u_over_all_pairs(arm, base):
    found = probability_of_improvement(arm, base, lower_is_better=False)
    u = sum((a > b) + (a == b) / 2 for a in arm for b in base)
    assert found == pytest.approx(u / (len(arm) * len(base)))


def test_unpaired_agrees_with_scipy(rng):
    arm, base = rng.normal(0.5, 1, 9), rng.normal(0, 1, 7)
    u = stats.mannwhitneyu(arm, base).statistic
    assert probability_of_improvement(arm, base, lower_is_better=False) == pytest.approx(u / 63)


@STEADY
@given(SCORES, SCORES)
def test_one_arm_improves_exactly_as_often_as_the_other_does_not(arm, base):
    there = probability_of_improvement(arm, base, lower_is_better=True)
    assert there + probability_of_improvement(base, arm, lower_is_better=True) == pytest.approx(1)
    assert there == pytest.approx(probability_of_improvement(base, arm, lower_is_better=False))


def test_tasks_weigh_the_same():
    arm, base = np.array([[2.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 1.0], [1.0, 0.0]])
    assert probability_of_improvement(arm, base, lower_is_better=False) == pytest.approx((1 + 0.25) / 2)


def test_never_arriving_loses_to_arriving_and_ties_with_itself():
    assert sign_test([10, np.inf, np.inf], [np.inf, 10, np.inf], lower_is_better=True) == sign_test(
        [1, 2, 3], [2, 1, 3], lower_is_better=True
    )
    assert paired_probability_of_improvement([np.inf] * 8, [np.inf] * 8, lower_is_better=True).estimate == 0.5


def test_pairing_sees_what_ranks_miss():
    base = np.arange(8) * 100.0
    arm = base - 1
    assert paired_probability_of_improvement(arm, base, lower_is_better=True).estimate == 1
    assert probability_of_improvement(arm, base, lower_is_better=True) < 0.6


def test_eight_wins_of_eight_are_not_certainty():
    found = paired_probability_of_improvement([1] * 8, [2] * 8, lower_is_better=True)
    assert (found.estimate, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 8))


def test_ties_widen_the_interval_on_both_sides():
    tied = paired_probability_of_improvement([1] * 4 + [2] * 4, [2] * 8, lower_is_better=True)
    assert tied.estimate == 0.75
    assert tied.low == pytest.approx(stats.beta.ppf(0.025, 4, 5))
    assert tied.high == 1


@pytest.mark.parametrize(
    ("num_seeds", "losses", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (8, 0, 0.0078125), (10, 1, 0.0215), (12, 2, 0.0386)]
)
def test_sign_test_reaches_what_the_binomial_allows(num_seeds, losses, p):
    arm = [2] * losses + [0] * (num_seeds - losses)
    found = sign_test(arm, [1] * num_seeds, lower_is_better=True)
    assert (found.wins, found.losses, found.ties) == (num_seeds - losses, losses, 0)
    assert found.p == pytest.approx(p, abs=5e-5)


def test_sign_test_leaves_ties_out():
    with_ties = sign_test([0] * 6 + [1] * 5, [1] * 11, lower_is_better=True)
    assert (with_ties.ties, with_ties.p) == (5, 0.03125)
    assert sign_test([1] * 3, [1] * 3, lower_is_better=True).p == 1


@pytest.mark.parametrize(("arm", "base"), [([], []), ([np.nan], [1.0]), ([1.0], [np.nan]), (1.0, 2.0)])
def test_empty_or_nan_is_refused(arm, base):
    for compare in (probability_of_improvement, paired_probability_of_improvement, sign_test):
        with pytest.raises(ValueError, match="none of them NaN"):
            compare(arm, base, lower_is_better=True)


def test_unlike_arms_are_refused():
    with pytest.raises(ValueError, match="same seeds"):
        sign_test([1, 2], [1, 2, 3], lower_is_better=True)
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1, 2]], [[1, 2, 3]], lower_is_better=True)
