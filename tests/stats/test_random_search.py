"""The best of a few draws: against every sequence of draws there is, against simulation, and what must hold of it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from bnexp.stats.random_search import draws_needed, expected_best

#: With ties and a run that diverged.
SCORES = [0.91, 0.0, 0.84, 0.91, 0.3]


@pytest.mark.parametrize("num_draws", [1, 2, 3, 5])
def test_it_is_the_mean_over_every_sequence_of_draws(num_draws):
    every = [max(drawn) for drawn in itertools.product(SCORES, repeat=num_draws)]
    assert expected_best(SCORES, num_draws) == pytest.approx(np.mean(every), abs=1e-12)


@pytest.mark.parametrize("num_draws", [1, 7])
def test_simulated_searches_agree_with_it(num_draws):
    rng = np.random.default_rng(0)
    scores = rng.normal(size=18)
    found = rng.choice(scores, size=(20_000, num_draws)).max(axis=1)
    assert expected_best(scores, num_draws) == pytest.approx(found.mean(), abs=4 * found.std() / np.sqrt(len(found)))


def test_one_draw_expects_the_mean_and_many_the_best():
    assert expected_best(SCORES, 1) == pytest.approx(np.mean(SCORES))
    assert expected_best(SCORES, 1000) == pytest.approx(max(SCORES))


def test_more_draws_never_expect_less_and_the_order_of_runs_does_not_matter():
    curve = [expected_best(SCORES, num_draws) for num_draws in range(1, 30)]
    assert curve == sorted(curve)
    assert curve == [expected_best(SCORES[::-1], num_draws) for num_draws in range(1, 30)]


def test_the_draws_needed_are_the_first_that_are_enough():
    for short in (0.3, 0.1, 0.01):
        needed = draws_needed(SCORES, short)
        assert expected_best(SCORES, needed) >= max(SCORES) - short
        assert needed == 1 or expected_best(SCORES, needed - 1) < max(SCORES) - short


def test_runs_that_are_all_equal_need_one_draw():
    assert draws_needed([0.5, 0.5], 0.005) == 1


@pytest.mark.parametrize(("scores", "num_draws"), [([], 1), ([np.nan], 1), ([0.5], 0), ([[0.5]], 1)])
def test_what_has_no_expectation_is_refused(scores, num_draws):
    with pytest.raises(ValueError, match="finite scores"):
        expected_best(scores, num_draws)


def test_no_number_of_draws_is_sure_of_the_best():
    with pytest.raises(ValueError, match="must be positive"):
        draws_needed(SCORES, 0.0)
