"""Small ways to write down runs and intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnexp.stats.intervals import Interval
from bnexp.stats.survival import Times


@pytest.fixture
def runs() -> Callable[..., Times]:
    """``runs(10, 20, never=50, times=2)``: two runs that arrive at 10 and 20 steps, two censored at 50."""

    def make(*arrived: float, never: float = 0, times: int = 0) -> Times:
        return Times(tuple(map(float, (*arrived, *[never] * times))), (*[True] * len(arrived), *[False] * times))

    return make


@pytest.fixture
def interval() -> Callable[..., Interval]:
    """``interval(estimate, low, high)`` at 95 % from 8 seeds."""

    def make(estimate: float, low: float, high: float, level: float = 0.95, num_seeds: int = 8) -> Interval:
        return Interval(estimate, low, high, level, num_seeds)

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator whose draws are the same in every run of the test."""
    return np.random.default_rng(0)
