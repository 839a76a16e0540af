"""Small ways to write down intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnexp.stats.intervals import Interval


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
