"""Small ways to write down runs and intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnexp.records.curves import Duration
from bnexp.stats.interval import Interval


@pytest.fixture
def runs() -> Callable[..., tuple[Duration, ...]]:
    """``runs(10, 20, never=50, times=2)``: two runs that arrive at 10 and 20 steps, two censored at 50; seconds are steps / 100."""

    def make(*arrived: float, never: float = 0, times: int = 0) -> tuple[Duration, ...]:
        there = [Duration(int(steps), steps / 100, True) for steps in arrived]
        return (*there, *[Duration(int(never), never / 100, False)] * times)

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
