"""The interquartile mean and its stratified bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from bnexp.stats.aggregate import interquartile_mean, interquartile_mean_interval


def test_it_is_the_mean_of_the_middle_half():
    assert interquartile_mean([[-1000, 1], [2, 3], [4, 5], [60, 1000]]) == pytest.approx((2 + 3 + 4 + 5) / 4)


def test_one_run_that_fails_does_not_move_it(rng):
    scores = rng.normal(0, 1, (8, 3))
    broken = scores.copy()
    broken[0, 0] = scores.min() - 1
    worse = broken.copy()
    worse[0, 0] = -1e6
    assert interquartile_mean(worse) == interquartile_mean(broken)


def test_tasks_are_resampled_on_their_own(rng):
    # With whole seeds resampled, the two mirror-image tasks would cancel in every resample; alone they do not.
    task = rng.normal(0, 1, 10)
    apart = interquartile_mean_interval(np.stack([task, -task], axis=1), rng)
    assert apart.high - apart.low > 0.3


def test_a_task_is_only_ever_given_its_own_scores(rng):
    scores = np.tile([[0.0, 100.0]], (6, 1))
    found = interquartile_mean_interval(scores, rng)
    assert (found.low, found.high) == (found.estimate, found.estimate) == (50, 50)


def test_its_limits_are_quantiles_of_resampled_interquartile_means(rng):
    scores = rng.lognormal(0, 1, (8, 2))
    found = interquartile_mean_interval(scores, np.random.default_rng(3), level=0.9, resamples=400)
    seeds = np.random.default_rng(3).integers(0, 8, (400, 8, 2))
    drawn = [interquartile_mean(np.stack([scores[row[:, 0], 0], scores[row[:, 1], 1]])) for row in seeds]
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.05, 0.95]))


def test_same_rng_same_interval_other_rng_other_interval(rng):
    scores = rng.normal(0, 1, (8, 3))

    def draw(seed):
        return interquartile_mean_interval(scores, np.random.default_rng(seed), resamples=500)

    assert draw(0) == draw(0)
    assert draw(0) != draw(1)


def test_one_task_may_come_as_a_row(rng):
    row = rng.normal(0, 1, 8)
    as_row, as_column = (
        interquartile_mean_interval(scores, np.random.default_rng(1)) for scores in (row, row[:, None])
    )
    assert as_row == as_column


@pytest.mark.parametrize("scores", [[], [np.nan, 1.0], [np.inf, 1.0], [[[1.0]]]])
def test_scores_that_are_none_are_refused(scores):
    with pytest.raises(ValueError, match="finite scores"):
        interquartile_mean(scores)


def test_one_seed_has_no_interval(rng):
    with pytest.raises(ValueError, match="2 or more seeds"):
        interquartile_mean_interval([[1.0, 2.0]], rng)
