"""The same numbers from libraries that are not ours, scipy and statsmodels (the extra ``compare``).

Marked slow, so that ``./scripts/test`` needs no statsmodels; where they are selected they run or fail, and are never skipped.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
import scipy.stats

from bnexp.stats.holm import holm
from bnexp.stats.intervals import expanded_level, intervals_by_bootstrap, intervals_by_t, mean_effect
from bnexp.stats.rules import Equivalence
from bnexp.stats.sample import Sample
from bnexp.stats.slopes import log_log_slopes

pytestmark = pytest.mark.slow

EXACTLY = {"rel": 1e-9, "abs": 1e-9}


def other(name: str) -> ModuleType:
    """The module ``name``, imported without its deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def test_statsmodels_has_the_same_t_intervals_p_and_two_one_sided_tests(rng):
    weightstats = other("statsmodels.stats.weightstats")
    for num_seeds in (6, 8, 16):
        arm, base = rng.normal(0.1, 1, num_seeds), rng.normal(0, 1, num_seeds)
        theirs = weightstats.DescrStatsW(arm - base)
        sample = Sample.of(arm, base)
        narrow, wide = intervals_by_t(sample, "difference", rng, (0.9, 0.95))
        assert (wide.low, wide.high) == pytest.approx(theirs.tconfint_mean(), **EXACTLY)
        assert (narrow.low, narrow.high) == pytest.approx(theirs.tconfint_mean(alpha=0.1), **EXACTLY)
        assert mean_effect(sample, "difference", rng).p_value(0) == pytest.approx(theirs.ttest_mean()[1], **EXACTLY)
        rule = Equivalence(0.8)
        verdict = rule.decide(rule.evidence(sample, rng)[1])
        larger = weightstats.ttost_paired(arm, base, -0.8, 0.8)[0]
        assert (verdict.outcome == "SUPPORTED") == (larger < 0.05)
        if verdict.outcome == "SUPPORTED":
            assert rule.p_value(sample, verdict, rng) == pytest.approx(larger, **EXACTLY)


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


def test_scipy_has_the_same_bootstrap_of_untuned_pairs():
    rng = np.random.default_rng(4)
    arm, base = rng.lognormal(0, 0.3, (2, 9))
    (found,) = intervals_by_bootstrap(Sample.of(arm, base), "ratio", np.random.default_rng(1), resamples=999)
    theirs = scipy.stats.bootstrap(
        (np.log(base / arm),), np.mean, n_resamples=999, method="percentile", rng=np.random.default_rng(1),
        confidence_level=expanded_level(0.95, 9),
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx(np.exp(theirs), **EXACTLY)
