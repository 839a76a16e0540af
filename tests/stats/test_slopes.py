"""Exponents, one a seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.slopes import log_log_slopes


def test_an_exact_power_law_gives_its_exponent_at_every_seed():
    x = np.array([4.0, 8.0, 16.0, 64.0])
    y = np.array([[2.0], [5.0], [0.1]]) * x ** np.array([[-1.0], [0.5], [2.0]])
    assert log_log_slopes(x, y) == pytest.approx([-1, 0.5, 2])


def test_it_is_least_squares_on_logarithms(rng):
    x, y = rng.uniform(1, 9, 6), rng.lognormal(0, 1, (4, 6))
    theirs = [stats.linregress(np.log(x), np.log(row)).slope for row in y]
    assert log_log_slopes(x, y) == pytest.approx(theirs, rel=1e-12)


def test_units_do_not_matter(rng):
    x, y = rng.uniform(1, 9, 6), rng.lognormal(0, 1, (4, 6))
    assert log_log_slopes(1000 * x, 1e-6 * y) == pytest.approx(log_log_slopes(x, y))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1.0, 2.0], [[1.0, 2.0, 3.0]], "x \\[P\\] and y"),
        ([1.0, 2.0], [1.0, 2.0], "x \\[P\\] and y"),
        ([1.0, 0.0], [[1.0, 2.0]], "positive"),
        ([1.0, 2.0], [[1.0, np.nan]], "positive"),
        ([2.0, 2.0], [[1.0, 2.0]], "different x"),
    ],
)
def test_laws_without_a_slope_are_refused(x, y, words):
    with pytest.raises(ValueError, match=words):
        log_log_slopes(x, y)
