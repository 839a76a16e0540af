"""Steps to a target with runs that never get there: by hand, against scipy, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnexp.records.curves import Duration
from bnexp.stats.intervals import intervals_by_t
from bnexp.stats.survival import (
    Times,
    log_rank_p_value,
    restricted_mean_ratio,
    share_reached,
    speedup_lower_bound,
    survival_curve,
)


def test_times_of_durations_keep_steps_and_what_was_censored():
    durations = [Duration(300, 1.0, True), Duration(900, 3.0, False)]
    assert Times.of(durations) == Times((300.0, 900.0), (True, False))


@pytest.mark.parametrize(
    ("steps", "observed", "words"),
    [
        ((), (), "one flag per run"),
        ((1.0,), (), "one flag per run"),
        ((float("nan"),), (True,), "finite and at least 0"),
        ((float("inf"),), (True,), "finite and at least 0"),
        ((-1.0,), (True,), "finite and at least 0"),
    ],
)
def test_times_that_are_none_are_refused(steps, observed, words):
    with pytest.raises(ValueError, match=words):
        Times(steps, observed)


def test_kaplan_meier_by_hand():
    # At 6 three of ten arrive and one is censored; at 7 one of six arrives; at 10 one is censored; at 13 one of four arrives.
    runs = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (10, 0), (13, 1), (16, 0), (20, 0), (22, 0)]
    curve = survival_curve(Times(*zip(*[(float(steps), bool(there)) for steps, there in runs], strict=True)))
    assert curve.times == (0, 6, 7, 13)
    assert curve.shares == pytest.approx((1, 7 / 10, 7 / 10 * 5 / 6, 7 / 10 * 5 / 6 * 3 / 4))
    assert curve.last == 22


def test_a_curve_of_runs_that_never_arrive_stays_at_one(runs):
    curve = survival_curve(runs(never=90, times=4))
    assert (curve.times, curve.shares, curve.last) == ((0,), (1,), 90)


def test_a_run_that_diverged_early_or_arrived_late_counts_as_on_the_way_all_the_time():
    seen = Times((100.0, 5.0, 400.0), (True, False, True)).seen_at(300)
    assert seen == Times((100.0, 300.0, 300.0), (True, False, False))


def test_share_reached_has_the_exact_limits(runs):
    found = share_reached(runs(*range(1, 8), never=90, times=1))
    assert found.estimate == 7 / 8
    assert found.low == pytest.approx(stats.beta.ppf(0.025, 7, 2))
    assert found.high == pytest.approx(stats.beta.ppf(0.975, 8, 1))


def test_share_reached_of_none_or_all_touches_zero_or_one(runs):
    none, every = share_reached(runs(never=90, times=8)), share_reached(runs(*range(1, 9)))
    assert (none.estimate, none.low) == (0, 0)
    assert (every.estimate, every.high) == (1, 1)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 8)) == 1 - every.low


def test_log_rank_by_hand(runs):
    # Arm at 1, 2; base at 3, 4. Observed in arm 2; expected 2/4 + 1/3 = 5/6; variance 1/4 + 2/9 = 17/36.
    chi_square = (2 - 5 / 6) ** 2 / (17 / 36)
    assert log_rank_p_value(runs(1, 2), runs(3, 4)) == pytest.approx(stats.chi2.sf(chi_square, 1))


def test_log_rank_tells_arms_apart_when_one_never_arrives(runs):
    assert log_rank_p_value(runs(*range(10, 18)), runs(never=90, times=8)) < 0.001


def test_log_rank_knows_nothing_when_nobody_arrives(runs):
    assert log_rank_p_value(runs(never=90, times=8), runs(never=90, times=8)) == 1
    assert log_rank_p_value(runs(9), runs(never=5, times=1)) == 1  # alone at risk when it arrives


BASE_STEPS, ARM_STEPS = (400, 520, 480, 610, 450, 500), (200, 260, 240, 305, 225, 250)


def test_the_ratio_of_restricted_means_is_exact_when_one_arm_is_twice_as_fast(runs, rng):
    found = restricted_mean_ratio(runs(*BASE_STEPS), runs(*ARM_STEPS), 700, rng)
    assert (found.estimate, found.low, found.high) == pytest.approx((2, 2, 2))


def test_censored_baselines_stay_in_the_ratio(runs, rng):
    arm, base = runs(*ARM_STEPS), runs(*BASE_STEPS[:3], never=700, times=3)
    found = restricted_mean_ratio(base, arm, 700, rng)
    assert found.estimate == pytest.approx((sum(BASE_STEPS[:3]) + 3 * 700) / sum(ARM_STEPS))


@pytest.mark.parametrize("horizon", [450, 700, 1000])
def test_it_is_the_ratio_of_areas_under_the_kaplan_meier_curves(runs, rng, horizon):
    base, arm = runs(*BASE_STEPS[:4], never=500, times=2), runs(*ARM_STEPS)

    def area(times):
        curve = survival_curve(times.seen_at(horizon))
        edges = [time for time in curve.times if time < horizon]
        return sum(np.diff([*edges, horizon]) * np.array(curve.shares[: len(edges)]))

    assert restricted_mean_ratio(base, arm, horizon, rng).estimate == pytest.approx(area(base) / area(arm))


def test_a_ratio_knows_nothing_when_nobody_arrives(runs, rng):
    never, late = runs(never=700, times=8), runs(*[800] * 8)
    for base in (never, late):
        found = restricted_mean_ratio(base, never, 700, rng)
        assert (found.estimate, found.low, found.high) == (1, 0, np.inf)


def test_arms_of_other_length_and_horizons_that_are_none_are_refused(runs, rng):
    with pytest.raises(ValueError, match="as many runs"):
        restricted_mean_ratio(runs(1, 2, 3), runs(1, 2), 10, rng)
    for horizon in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive and finite"):
            restricted_mean_ratio(runs(1, 2), runs(1, 2), horizon, rng)


def test_an_arm_that_is_there_at_once_has_no_ratio(runs, rng):
    with pytest.raises(ValueError, match="not finite"):
        restricted_mean_ratio(runs(1, 2), runs(0, 0), 10, rng)


def test_the_lower_bound_is_the_median_of_what_each_pair_is_known_to_reach(runs):
    found = speedup_lower_bound(runs(300, 400, 500, never=900, times=5), runs(*[100] * 8))
    assert (found.estimate, found.low, found.high) == (9, 3, np.inf)


def test_the_lower_bound_needs_six_seeds_for_a_confidence_limit(runs):
    def bound(num_seeds):
        return speedup_lower_bound(runs(never=900, times=num_seeds), runs(*[100] * num_seeds))

    assert (bound(5).estimate, bound(5).low) == (9, 0)
    assert (bound(6).estimate, bound(6).low) == (9, 9)


def test_baselines_that_diverged_at_once_bound_nothing_until_they_are_said_never_to_arrive(runs):
    diverged, arm = runs(never=0, times=8), runs(*[100] * 8)
    assert speedup_lower_bound(diverged, arm).estimate == 0
    assert speedup_lower_bound(diverged.seen_at(900), arm).estimate == 9


def test_the_lower_bound_never_exceeds_the_median_ratio_of_the_times_nobody_saw(rng):
    for num_seeds in (6, 8, 12) * 10:
        true_base, arm = rng.integers(1, 2000, num_seeds), rng.integers(1, 500, num_seeds)
        base = Times(tuple(map(float, true_base)), (True,) * num_seeds).seen_at(900)
        if not all(base.observed):
            found = speedup_lower_bound(base, Times(tuple(map(float, arm)), (True,) * num_seeds))
            assert found.low <= found.estimate <= np.median(true_base / arm) + 1e-12


def test_a_lower_bound_is_only_for_censored_baselines(runs):
    for base, arm, words in (
        (runs(3, 4), runs(1, 2), "censored baseline"),
        (runs(3, never=9, times=1), runs(1, never=9, times=1), "censored baseline"),
        (runs(3, never=9, times=1), runs(1), "as many runs"),
        (runs(3, never=9, times=1), runs(0, 1), "no speed-up"),
    ):
        with pytest.raises(ValueError, match=words):
            speedup_lower_bound(base, arm)


def test_without_censoring_both_ratios_see_the_same_speed_up(runs, rng):
    restricted = restricted_mean_ratio(runs(*BASE_STEPS), runs(*reversed(ARM_STEPS)), 700, rng)
    (geometric,) = intervals_by_t(BASE_STEPS, ARM_STEPS[::-1], "ratio")
    assert restricted.estimate == pytest.approx(geometric.estimate, rel=0.05)
