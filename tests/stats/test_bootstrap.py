"""The bootstrap resamples seeds, keeps rows together, and says so when it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.bootstrap import bootstrap_interval, bootstrap_intervals, expanded_level

SKEWED = np.random.default_rng(7).lognormal(0, 1, 12)
KINDS = [("percentile", False), ("percentile", True), ("BCa", False), ("BCa", True)]


def mean(row_RS):
    return row_RS.mean(-1)


def ratio_of_means(base_RS, arm_RS):
    return base_RS.mean(-1) / arm_RS.mean(-1)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_without_expansion_it_is_scipys_bootstrap(method):
    found = bootstrap_interval((SKEWED,), mean, np.random.default_rng(3), method=method, expand=False, resamples=2000)
    theirs = stats.bootstrap((SKEWED,), np.mean, method=method, rng=np.random.default_rng(3), n_resamples=2000)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-12)


def test_the_percentile_interval_is_the_quantiles_of_resampled_statistics():
    seeds = np.random.default_rng(3).integers(0, len(SKEWED), (2000, len(SKEWED)))
    by_hand = np.quantile(SKEWED[seeds].mean(1), [0.05, 0.95])
    found = bootstrap_interval((SKEWED,), mean, np.random.default_rng(3), level=0.9, expand=False, resamples=2000)
    assert (found.low, found.high) == pytest.approx(by_hand, rel=1e-12)


def test_rows_of_one_seed_stay_together(rng):
    base = rng.normal(100, 30, 8)
    found = bootstrap_interval((2 * base, base), ratio_of_means, rng)
    assert (found.low, found.high) == pytest.approx((2, 2))
    shuffled = bootstrap_interval((2 * base, base[::-1]), ratio_of_means, rng)
    assert shuffled.high - shuffled.low > 0.1


@pytest.mark.parametrize(("method", "expand"), KINDS)
def test_same_rng_same_interval_other_rng_other_interval(method, expand):
    def draw(seed):
        return bootstrap_interval(
            (SKEWED,), mean, np.random.default_rng(seed), method=method, expand=expand, resamples=500
        )

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_no_global_generator_is_moved(rng):
    before = np.random.get_state()[1].tolist()
    bootstrap_interval((SKEWED,), mean, rng)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(("method", "expand"), KINDS)
def test_levels_from_one_draw_are_nested(rng, method, expand):
    narrow, wide = bootstrap_intervals((SKEWED,), mean, rng, levels=(0.9, 0.95), method=method, expand=expand)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert (narrow.level, wide.level) == (0.9, 0.95)


@pytest.mark.parametrize(("method", "expand"), KINDS)
def test_seeds_that_all_say_the_same_give_an_interval_of_width_zero(rng, method, expand):
    found = bootstrap_interval(([3.0] * 5,), mean, rng, method=method, expand=expand)
    assert (found.estimate, found.low, found.high) == (3, 3, 3)


@pytest.mark.parametrize(("method", "expand"), KINDS)
def test_two_seeds_are_enough_for_an_interval_between_them(rng, method, expand):
    found = bootstrap_interval(([1.0, 2.0],), mean, rng, method=method, expand=expand)
    assert (found.estimate, found.low, found.high) == (1.5, 1, 2)


def test_bca_that_does_not_exist_is_an_error_and_never_nan(rng):
    row = [0.0] * 7 + [1.0]  # every jackknife median is 0
    with pytest.raises(ValueError, match='no BCa interval; use method="percentile"'):
        bootstrap_interval((row,), lambda row_RS: np.median(row_RS, -1), rng, method="BCa")


def test_a_statistic_that_fails_in_some_resample_is_an_error(rng):
    with pytest.raises(ValueError, match="not finite"):
        bootstrap_interval(([1.0, 1.0, 1.0], [0.0, 1.0, 1.0]), ratio_of_means, rng)


@pytest.mark.parametrize("rows", [(), ([1.0],), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]],)])
def test_rows_that_are_not_over_the_same_seeds_are_refused(rng, rows):
    with pytest.raises(ValueError, match="same 2 or more seeds"):
        bootstrap_interval(rows, mean, rng)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_sent_to_survival_methods(rng, bad):
    with pytest.raises(ValueError, match="survival"):
        bootstrap_interval(([1.0, bad],), mean, rng)


@pytest.mark.parametrize("num_seeds", [3, 8, 16, 100])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_expanded_level_makes_a_normal_quantile_the_t_quantile(num_seeds, level):
    z = stats.norm.ppf((1 + expanded_level(level, num_seeds)) / 2)
    t = stats.t.ppf((1 + level) / 2, num_seeds - 1)
    assert z * np.sqrt((num_seeds - 1) / num_seeds) == pytest.approx(t, rel=1e-6)


def test_expansion_is_forgotten_with_many_seeds():
    assert expanded_level(0.95, 10**6) == pytest.approx(0.95, abs=1e-6)
