"""Intervals refuse what is not one."""

from __future__ import annotations

import math

import pytest

from bnexp.stats.interval import TwoLevels


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((math.nan, 0, 1), "NaN"),
        ((0, math.nan, 1), "NaN"),
        ((0, 1, -1), "low must not exceed"),
    ],
)
def test_numbers_that_are_no_interval_are_refused(interval, numbers, words):
    with pytest.raises(ValueError, match=words):
        interval(*numbers)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_that_is_no_share_is_refused(interval, level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        interval(0, -1, 1, level=level)


def test_mapping_takes_estimate_and_limits_to_the_other_scale(interval):
    mapped = interval(0.0, -math.log(2), math.log(3)).mapped(math.exp)
    assert (mapped.estimate, mapped.low, mapped.high) == pytest.approx((1, 0.5, 3))


def test_an_interval_knows_whether_it_holds_its_own_estimate(interval):
    assert interval(1, 0, 2).holds_its_estimate()
    assert interval(1, 1 + 1e-15, 2).holds_its_estimate()
    assert not interval(3, 0, 2).holds_its_estimate()
    assert not interval(-1, 0, 2).holds_its_estimate()


def test_two_levels_must_be_90_and_95(interval):
    with pytest.raises(ValueError, match="levels must be"):
        TwoLevels(interval(0, -1, 1), interval(0, -2, 2))


@pytest.mark.parametrize("narrow", [(0, -1, 3), (0, -3, 1)])
def test_two_levels_must_be_nested(interval, narrow):
    with pytest.raises(ValueError, match="must lie inside"):
        TwoLevels(interval(*narrow, level=0.9), interval(0, -2, 2))
