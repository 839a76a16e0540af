"""The same numbers from libraries that are not ours: lifelines, statsmodels, rliable. Skipped where they are not installed."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import pytest
from bnexp.stats.aggregate import interquartile_mean, interquartile_mean_interval
from bnexp.stats.equivalence import equivalence_p_value, levels_by_t
from bnexp.stats.improvement import probability_of_improvement, sign_test
from bnexp.stats.multiplicity import holm
from bnexp.stats.paired import difference_interval, difference_p_value

from bnexp.records.curves import Duration
from bnexp.stats.slopes import log_log_slopes
from bnexp.stats.survival import (
    log_rank_p_value,
    median_time,
    restricted_mean,
    share_reached,
    survival_curve,
)

pytestmark = pytest.mark.slow

EXACTLY = {"rel": 1e-9, "abs": 1e-9}


def other(name: str) -> ModuleType:
    """The module ``name``, imported without its deprecation warnings; the test is skipped where it is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed (it is no dependency of bnexp)")


def censored_runs(seed: int, num_runs: int = 14) -> tuple[list[Duration], np.ndarray, np.ndarray]:
    """Runs with ties and censorings at several times, the longest one observed; with their times and flags."""
    rng = np.random.default_rng(seed)
    steps, there = rng.integers(1, 40, num_runs), rng.random(num_runs) < 0.6
    steps[0], there[0] = 45, True
    durations = [Duration(int(step), float(step), bool(flag)) for step, flag in zip(steps, there, strict=True)]
    return durations, steps.astype(float), there


@pytest.mark.parametrize("seed", range(20))
def test_lifelines_draws_the_same_curve_with_the_same_median_and_restricted_mean(seed):
    lifelines, utils = other("lifelines"), other("lifelines.utils")
    durations, times, there = censored_runs(seed)
    fitted = lifelines.KaplanMeierFitter().fit(times, there)
    curve = survival_curve(durations)
    assert curve.shares == pytest.approx(fitted.survival_function_at_times(curve.times).to_numpy(), **EXACTLY)
    if min(abs(share - 0.5) for share in curve.shares) > 1e-9:  # at exactly one half, theirs hangs on rounding
        assert median_time(durations) == fitted.median_survival_time_
    for horizon in (7, 22.5, 44, 60):
        theirs = utils.restricted_mean_survival_time(fitted, t=horizon)
        assert restricted_mean(durations, horizon) == pytest.approx(theirs, **EXACTLY)


@pytest.mark.parametrize("seed", range(20))
def test_lifelines_has_the_same_log_rank_p(seed):
    statistics = other("lifelines.statistics")
    first, times, there = censored_runs(seed)
    second, more_times, more_there = censored_runs(100 + seed)
    theirs = statistics.logrank_test(times, more_times, there, more_there).p_value
    assert log_rank_p_value(first, second) == pytest.approx(theirs, **EXACTLY)


@pytest.mark.parametrize("seed", range(20))
def test_statsmodels_draws_the_same_curve(seed):
    survival = other("statsmodels.duration.survfunc")
    durations, times, there = censored_runs(seed)
    theirs = survival.SurvfuncRight(times, there.astype(int))
    curve = survival_curve(durations)
    at = dict(zip(theirs.surv_times, theirs.surv_prob, strict=True))
    assert curve.shares[1:] == pytest.approx([at[time] for time in curve.times[1:]], **EXACTLY)


def test_statsmodels_has_the_same_t_interval_p_and_equivalence(rng):
    weightstats = other("statsmodels.stats.weightstats")
    for num_seeds in (3, 8, 16):
        arm, base = rng.normal(0.1, 1, num_seeds), rng.normal(0, 1, num_seeds)
        theirs = weightstats.DescrStatsW(arm - base)
        found = difference_interval(arm, base)
        assert (found.low, found.high) == pytest.approx(theirs.tconfint_mean(), **EXACTLY)
        assert difference_p_value(arm, base) == pytest.approx(theirs.ttest_mean()[1], **EXACTLY)
        assert equivalence_p_value(arm, base, 0.8) == pytest.approx(
            weightstats.ttost_paired(arm, base, -0.8, 0.8)[0], **EXACTLY
        )
        narrow = levels_by_t(arm_S=arm, base_S=base, scale="difference").narrow
        assert (narrow.low, narrow.high) == pytest.approx(theirs.tconfint_mean(alpha=0.1), **EXACTLY)


def test_statsmodels_has_the_same_clopper_pearson_limits(runs):
    proportion = other("statsmodels.stats.proportion")
    for reached in range(9):
        found = share_reached((*runs(*[1] * reached), *runs(never=9, times=8 - reached)))
        theirs = proportion.proportion_confint(reached, 8, method="beta")
        assert (found.low, found.high) == pytest.approx(theirs, **EXACTLY)


def test_statsmodels_has_the_same_holm_correction(rng):
    multitest = other("statsmodels.stats.multitest")
    for size in (1, 2, 5, 12):
        p_values = rng.random(size) ** 3
        found = holm({str(index): p for index, p in enumerate(p_values)})
        assert list(found.values()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], **EXACTLY)


def test_statsmodels_has_the_same_sign_test(rng):
    descriptive = other("statsmodels.stats.descriptivestats")
    for num_seeds in (6, 8, 13):
        arm, base = rng.integers(0, 4, num_seeds), rng.integers(0, 4, num_seeds)
        theirs = descriptive.sign_test(arm - base)[1]
        assert sign_test(arm, base, lower_is_better=False).p == pytest.approx(theirs, **EXACTLY)


def test_statsmodels_fits_the_same_slopes(rng):
    linear = other("statsmodels.regression.linear_model")
    x, y = rng.uniform(1, 9, 6), rng.lognormal(0, 1, (4, 6))
    design = np.stack([np.ones(6), np.log(x)], axis=1)
    theirs = [linear.OLS(np.log(row), design).fit().params[1] for row in y]
    assert log_log_slopes(x, y) == pytest.approx(theirs, **EXACTLY)


@pytest.mark.parametrize("shape", [(8, 1), (8, 5), (5, 3), (13, 4)])
def test_rliable_has_the_same_interquartile_mean_and_probability_of_improvement(rng, shape):
    metrics = other("rliable.metrics")
    arm, base = rng.integers(0, 9, shape).astype(float), rng.integers(0, 8, (7, shape[1])).astype(float)
    assert interquartile_mean(arm) == pytest.approx(metrics.aggregate_iqm(arm), **EXACTLY)
    assert probability_of_improvement(arm, base, lower_is_better=False) == pytest.approx(
        metrics.probability_of_improvement(arm, base), **EXACTLY
    )


def test_rliable_has_the_same_stratified_interval_up_to_its_random_draws(rng):
    library, metrics = other("rliable.library"), other("rliable.metrics")
    scores = rng.normal(size=(8, 5)) + np.arange(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arch tells of its own changes
        _, limits = library.get_interval_estimates(
            {"arm": scores}, lambda each: np.array([metrics.aggregate_iqm(each)]), reps=20_000
        )
    found = interquartile_mean_interval(scores, rng, resamples=20_000)
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(tuple(limits["arm"][:, 0]), abs=0.03 * width)
