"""The same numbers from libraries that are not ours, lifelines and statsmodels (the extra ``compare``).

Marked slow, so that ``./scripts/test`` needs neither; where they are selected they run or fail, and are never skipped.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest

from bnexp.stats.intervals import intervals_by_t
from bnexp.stats.p_values import holm, paired_p_value
from bnexp.stats.rules import Equivalence
from bnexp.stats.slopes import log_log_slopes
from bnexp.stats.survival import Times, log_rank_p_value, restricted_mean_ratio, share_reached, survival_curve
from bnexp.stats.verdict import Sample

pytestmark = pytest.mark.slow

EXACTLY = {"rel": 1e-9, "abs": 1e-9}


def other(name: str) -> ModuleType:
    """The module ``name``, imported without its deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def censored_runs(seed: int, num_runs: int = 14) -> Times:
    """Runs with ties and censorings at several times, the longest one observed."""
    rng = np.random.default_rng(seed)
    steps, there = rng.integers(1, 40, num_runs), rng.random(num_runs) < 0.6
    steps[0], there[0] = 45, True
    return Times(tuple(steps.astype(float).tolist()), tuple(there.tolist()))


@pytest.mark.parametrize("seed", range(5))
def test_lifelines_draws_the_same_curve(seed):
    times = censored_runs(seed)
    fitted = other("lifelines").KaplanMeierFitter().fit(times.steps, times.observed)
    curve = survival_curve(times)
    assert curve.shares == pytest.approx(fitted.survival_function_at_times(curve.times).to_numpy(), **EXACTLY)


@pytest.mark.parametrize("horizon", [7, 22.5, 44, 60])
def test_lifelines_has_the_same_ratio_of_restricted_means(rng, horizon):
    arms = [censored_runs(seed).seen_at(horizon) for seed in (1, 2)]
    fitted = [other("lifelines").KaplanMeierFitter().fit(arm.steps, arm.observed) for arm in arms]
    base, arm = (other("lifelines.utils").restricted_mean_survival_time(one, t=horizon) for one in fitted)
    found = restricted_mean_ratio(*arms, horizon, rng, resamples=10)
    assert found.estimate == pytest.approx(base / arm, **EXACTLY)


@pytest.mark.parametrize("seed", range(5))
def test_lifelines_has_the_same_log_rank_p(seed):
    first, second = censored_runs(seed), censored_runs(100 + seed)
    logrank_test = other("lifelines.statistics").logrank_test
    theirs = logrank_test(first.steps, second.steps, first.observed, second.observed).p_value
    assert log_rank_p_value(first, second) == pytest.approx(theirs, **EXACTLY)


def test_statsmodels_has_the_same_t_intervals_p_and_two_one_sided_tests(rng):
    weightstats = other("statsmodels.stats.weightstats")
    for num_seeds in (6, 8, 16):
        arm, base = rng.normal(0.1, 1, num_seeds), rng.normal(0, 1, num_seeds)
        theirs = weightstats.DescrStatsW(arm - base)
        narrow, wide = intervals_by_t(base, arm, levels=(0.9, 0.95))
        assert (wide.low, wide.high) == pytest.approx(theirs.tconfint_mean(), **EXACTLY)
        assert (narrow.low, narrow.high) == pytest.approx(theirs.tconfint_mean(alpha=0.1), **EXACTLY)
        assert paired_p_value(base, arm) == pytest.approx(theirs.ttest_mean()[1], **EXACTLY)
        levels = Equivalence(0.8).evidence(Sample.of(arm, base=base), rng)[1]
        inside = weightstats.ttost_paired(arm, base, -0.8, 0.8)[0] < 0.05
        assert (Equivalence(0.8).decide(levels).outcome == "SUPPORTED") == inside


def test_statsmodels_has_the_same_clopper_pearson_limits(runs):
    proportion = other("statsmodels.stats.proportion")
    for reached in range(9):
        found = share_reached(runs(*[1] * reached, never=9, times=8 - reached))
        assert (found.low, found.high) == pytest.approx(
            proportion.proportion_confint(reached, 8, method="beta"), **EXACTLY
        )


def test_statsmodels_has_the_same_holm_correction(rng):
    multitest = other("statsmodels.stats.multitest")
    for size in (1, 2, 5, 12):
        p_values = rng.random(size) ** 3
        found = holm({str(index): p for index, p in enumerate(p_values)})
        assert list(found.values()) == pytest.approx(multitest.multipletests(p_values, method="holm")[1], **EXACTLY)


def test_statsmodels_fits_the_same_slopes(rng):
    linear = other("statsmodels.regression.linear_model")
    x, y = rng.uniform(1, 9, 6), rng.lognormal(0, 1, (4, 6))
    design = np.stack([np.ones(6), np.log(x)], axis=1)
    theirs = [linear.OLS(np.log(row), design).fit().params[1] for row in y]
    assert log_log_slopes(x, y) == pytest.approx(theirs, **EXACTLY)
