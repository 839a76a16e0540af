"""Steps to a target with runs that never get there: by hand, against scipy, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bnexp.records.curves import Duration
from bnexp.stats.paired import ratio_interval
from bnexp.stats.survival import (
    log_rank_p_value,
    median_time,
    restricted_mean,
    restricted_mean_difference,
    restricted_mean_ratio,
    share_reached,
    speedup_lower_bound,
    survival_curve,
    times_or_inf,
    to_horizon,
)

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None)

DURATIONS = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=12).map(
    lambda pairs: tuple(Duration(steps, float(steps), observed) for steps, observed in pairs)
)


def test_kaplan_meier_by_hand():
    # At 6 three of ten arrive and one is censored; at 7 one of six arrives; at 10 one is censored; at 13 one of four arrives.
    runs = [(6, 1), (6, 1), (6, 1), (6, 0), (7, 1), (10, 0), (13, 1), (16, 0), (20, 0), (22, 0)]
    curve = survival_curve([Duration(steps, 0.0, bool(there)) for steps, there in runs])
    assert curve.times == (0, 6, 7, 13)
    assert curve.shares == pytest.approx((1, 7 / 10, 7 / 10 * 5 / 6, 7 / 10 * 5 / 6 * 3 / 4))
    assert curve.last == 22


@STEADY
@given(DURATIONS)
def test_kaplan_meier_is_scipys(durations):
    curve = survival_curve(durations)
    there = [duration.steps for duration in durations if duration.observed]
    censored = [duration.steps for duration in durations if not duration.observed]
    if not there:
        assert curve.times == (0,)
        return
    theirs = stats.ecdf(stats.CensoredData(uncensored=there, right=censored)).sf
    assert curve.times[1:] == tuple(sorted(set(there)))
    assert curve.shares[1:] == pytest.approx(tuple(theirs.evaluate(np.array(curve.times[1:]))), abs=1e-12)


def test_restricted_mean_by_hand(runs):
    # 1 until 10, then 2/3 until 20, then 1/3 until 30.
    assert restricted_mean(runs(10, 20, never=30, times=1), 30) == pytest.approx(10 + 20 / 3 + 10 / 3)
    # Censored at 15: 1 until 10, 2/3 until 20, then 0.
    assert restricted_mean(runs(10, 20, never=15, times=1), 30) == pytest.approx(10 + 10 * 2 / 3)


@STEADY
@given(st.lists(st.integers(0, 100), min_size=1, max_size=15), st.integers(1, 60))
def test_with_all_censoring_at_the_horizon_it_is_the_mean_of_the_smaller_of_time_and_horizon(times, horizon):
    durations = to_horizon([Duration(steps, 0.0, True) for steps in times], horizon)
    assert restricted_mean(durations, horizon) == pytest.approx(np.minimum(times, horizon).mean())


@STEADY
@given(DURATIONS, st.integers(1, 60))
def test_restricted_mean_is_the_area_under_the_curve(durations, horizon):
    curve = survival_curve(durations)
    if curve.last < horizon and curve.shares[-1] > 1e-12:
        with pytest.raises(ValueError, match="unknown beyond"):
            restricted_mean(durations, horizon)
        return
    grid = np.arange(horizon) + 0.5
    heights = [curve.shares[np.searchsorted(curve.times, time, side="right") - 1] for time in grid]
    assert restricted_mean(durations, horizon) == pytest.approx(sum(heights))


def test_seconds_are_judged_on_their_own(runs):
    durations = runs(100, 200, never=300, times=2)
    assert restricted_mean(durations, 3.0, "seconds") == pytest.approx(restricted_mean(durations, 300) / 100)
    assert median_time(durations, "seconds") == 2.0


def test_a_run_that_diverged_early_counts_as_never_there(runs):
    diverged = (*runs(100, 200), Duration(5, 0.05, False))
    seen = to_horizon(diverged, 300)
    assert seen[:2] == diverged[:2]
    assert (seen[2].steps, seen[2].observed) == (300, False)
    assert to_horizon(diverged, 3.0, "seconds")[2] == Duration(5, 3.0, False)
    assert restricted_mean(seen, 300) == pytest.approx((100 + 200 + 300) / 3)
    assert restricted_mean(diverged, 300) < restricted_mean(seen, 300)


def test_arriving_after_the_horizon_is_not_arriving(runs):
    assert to_horizon(runs(400), 300) == (Duration(300, 4.0, False),)


@pytest.mark.parametrize("method", [survival_curve, median_time, times_or_inf, share_reached])
def test_no_runs_are_refused(method):
    with pytest.raises(ValueError, match="no runs"):
        method([])


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_times_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="finite and at least 0"):
        survival_curve([Duration(1, bad, True)], "seconds")


@pytest.mark.parametrize("horizon", [0, -1, float("nan"), float("inf")])
def test_horizons_that_are_none_are_refused(runs, horizon):
    with pytest.raises(ValueError, match="positive and finite"):
        restricted_mean(runs(1), horizon)


def test_median_needs_half_of_the_runs(runs):
    assert median_time(runs(10, 20, 30, never=90, times=2)) == 30
    assert median_time(runs(10, 20, 30, never=90, times=3)) == 30
    assert median_time(runs(10, 20, 30, never=90, times=4)) is None
    assert median_time(runs(never=90, times=4)) is None


@pytest.mark.parametrize("half", range(1, 40))
def test_median_does_not_hang_on_rounding(runs, half):
    assert median_time(runs(*range(1, half + 1), never=99, times=half)) == half


def test_infinity_stands_for_never(runs):
    assert times_or_inf(runs(10, never=90, times=1)).tolist() == [10, np.inf]


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
    found = restricted_mean_ratio(base=runs(*BASE_STEPS), arm=runs(*ARM_STEPS), horizon=700, rng=rng)
    assert (found.estimate, found.low, found.high) == pytest.approx((2, 2, 2))


def test_the_difference_of_restricted_means_is_in_steps_and_below_zero_when_the_arm_is_sooner(runs, rng):
    found = restricted_mean_difference(arm=runs(*ARM_STEPS), base=runs(*BASE_STEPS), horizon=700, rng=rng)
    assert found.estimate == pytest.approx(np.mean(ARM_STEPS) - np.mean(BASE_STEPS))
    assert found.low < found.estimate < found.high < 0


def test_censored_baselines_stay_in_the_ratio(runs, rng):
    arm = runs(*ARM_STEPS)
    base = (*runs(*BASE_STEPS[:3]), *runs(never=700, times=3))
    found = restricted_mean_ratio(base=base, arm=arm, horizon=700, rng=rng)
    assert found.estimate == pytest.approx((sum(BASE_STEPS[:3]) + 3 * 700) / sum(ARM_STEPS))
    assert found.estimate > restricted_mean_ratio(base=base[:3], arm=arm[:3], horizon=700, rng=rng).estimate


def test_a_ratio_knows_nothing_when_nobody_arrives(runs, rng):
    never = runs(never=700, times=8)
    ratio = restricted_mean_ratio(base=never, arm=never, horizon=700, rng=rng)
    assert (ratio.estimate, ratio.low, ratio.high) == (1, 0, np.inf)
    late = runs(*[800] * 8)
    difference = restricted_mean_difference(arm=never, base=late, horizon=700, rng=rng)
    assert (difference.estimate, difference.low, difference.high) == (0, -700, 700)


@pytest.mark.parametrize("compare", [restricted_mean_ratio, restricted_mean_difference])
def test_same_rng_same_interval_other_rng_other_interval(runs, compare):
    base, arm = runs(*BASE_STEPS), runs(*reversed(ARM_STEPS))

    def draw(seed):
        return compare(base=base, arm=arm, horizon=700, rng=np.random.default_rng(seed))

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


@pytest.mark.parametrize("compare", [restricted_mean_ratio, restricted_mean_difference])
def test_arms_of_other_length_and_lost_runs_are_refused(runs, rng, compare):
    with pytest.raises(ValueError, match="as many runs"):
        compare(base=runs(1, 2, 3), arm=runs(1, 2), horizon=10, rng=rng)
    with pytest.raises(ValueError, match="to_horizon"):
        compare(base=runs(1, 2), arm=runs(1, never=5, times=1), horizon=10, rng=rng)


def test_an_arm_that_is_there_at_once_has_no_ratio(runs, rng):
    with pytest.raises(ValueError, match="not finite"):
        restricted_mean_ratio(base=runs(1, 2), arm=runs(0, 0), horizon=10, rng=rng)


def test_the_lower_bound_is_the_median_of_what_each_pair_is_known_to_reach(runs):
    base = (*runs(300, 400, 500), *runs(never=900, times=5))
    found = speedup_lower_bound(base=base, arm=runs(*[100] * 8))
    assert (found.estimate, found.low, found.high) == (9, 3, np.inf)


def test_the_lower_bound_needs_six_seeds_for_a_confidence_limit(runs):
    def bound(num_seeds):
        return speedup_lower_bound(base=runs(never=900, times=num_seeds), arm=runs(*[100] * num_seeds))

    assert (bound(5).estimate, bound(5).low) == (9, 0)
    assert (bound(6).estimate, bound(6).low) == (9, 9)


def test_baselines_that_diverged_at_once_bound_nothing_until_they_are_said_never_to_arrive(runs):
    diverged, arm = runs(never=0, times=8), runs(*[100] * 8)
    assert speedup_lower_bound(base=diverged, arm=arm).estimate == 0
    assert speedup_lower_bound(base=to_horizon(diverged, 900), arm=arm).estimate == 9


@STEADY
@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 500)), min_size=6, max_size=12), st.integers(600, 1500))
def test_the_lower_bound_never_exceeds_the_median_ratio_of_the_times_nobody_saw(pairs, budget):
    true_base, arm = np.array(pairs, float).T
    base = to_horizon([Duration(int(steps), 0.0, True) for steps in true_base], budget)
    if all(duration.observed for duration in base):
        return
    found = speedup_lower_bound(base=base, arm=[Duration(int(steps), 0.0, True) for steps in arm])
    assert found.low <= found.estimate <= np.median(true_base / arm) + 1e-12


def test_a_lower_bound_is_only_for_censored_baselines(runs):
    with pytest.raises(ValueError, match="censored baseline"):
        speedup_lower_bound(base=runs(3, 4), arm=runs(1, 2))
    with pytest.raises(ValueError, match="censored baseline"):
        speedup_lower_bound(base=runs(3, never=9, times=1), arm=runs(1, never=9, times=1))
    with pytest.raises(ValueError, match="as many runs"):
        speedup_lower_bound(base=runs(3, never=9, times=1), arm=runs(1))
    with pytest.raises(ValueError, match="no speed-up"):
        speedup_lower_bound(base=runs(3, never=9, times=1), arm=runs(0, 1))


def test_without_censoring_both_ratios_see_the_same_speed_up(runs, rng):
    restricted = restricted_mean_ratio(base=runs(*BASE_STEPS), arm=runs(*reversed(ARM_STEPS)), horizon=700, rng=rng)
    geometric = ratio_interval(BASE_STEPS, ARM_STEPS[::-1])
    assert restricted.estimate == pytest.approx(geometric.estimate, rel=0.05)
