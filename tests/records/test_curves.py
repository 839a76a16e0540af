"""Numbers read off a curve: the first of two evaluations above a target, censoring, the area."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnexp.records.curves import Curve, Duration, area_under_curve, step_milliseconds, time_to_target


def curve(*values: float | None, gap: int = 10) -> Curve:
    steps = tuple(range(0, gap * len(values), gap))
    return Curve(steps, values, tuple(step / 100 for step in steps))


VALUES = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.1, 0.9, 0.9), Duration(10, 0.1, True)),
        ((0.1, 0.9, 0.1, 0.9, 0.9), Duration(30, 0.3, True)),  # one alone is luck
        ((0.1, 0.9, 0.1), Duration(20, 0.2, False)),
        ((0.1, 0.1, 0.9), Duration(20, 0.2, False)),  # the last one has no successor
        ((0.9, 0.9), Duration(0, 0.0, True)),
        ((0.1, 0.8, 0.8), Duration(20, 0.2, False)),  # above, not at
        ((0.9, None, 0.9, 0.9), Duration(20, 0.2, True)),  # a hole breaks the pair
        ((None, None), Duration(10, 0.1, False)),
        ((), Duration(0, 0.0, False)),
        ((0.9,), Duration(0, 0.0, False)),
    ],
)
def test_time_to_target_is_the_first_of_two_in_a_row_or_censored_at_the_end(values, expected):
    assert time_to_target(curve(*values), 0.8) == expected


@given(values=VALUES, target=st.floats(0.01, 0.99), lower=st.floats(0.01, 0.99))
def test_a_lower_target_is_never_reached_later(values, target, lower):
    low, high = sorted((target, lower))
    first, second = time_to_target(curve(*values), low), time_to_target(curve(*values), high)
    assert first.steps <= second.steps
    assert first.observed >= second.observed


@given(values=VALUES, target=st.floats(0.01, 0.99))
def test_an_observed_time_is_one_of_the_curves_and_a_censored_one_its_last(values, target):
    points = curve(*values)
    duration = time_to_target(points, target)
    if duration.observed:
        index = points.steps.index(duration.steps)
        assert min(values[index], values[index + 1]) > target
    else:
        assert duration.steps == (points.steps[-1] if points.steps else 0)


@pytest.mark.parametrize(
    ("points", "price"),
    [
        (((1, 9.0), (2, 9.001), (3, 9.003), (4, 9.003)), 1.0),  # the first block is left out
        (((1, 0.0), (2, 0.005), (3, 0.009), (103, 0.209)), 2.0),  # a long block weighs more than short ones
        (((10, 0.0), (20, 0.02), (30, 0.06), (40, 0.09)), 3.0),
        (((20, 1.0), (None, 5.0)), None),  # an update whose loss was not finite ends no block
        (((20, 1.0),), None),
        ((), None),
    ],
)
def test_the_price_of_a_step_is_the_median_over_the_steps_without_the_first_block(points, price):
    steps, seconds = ([point[place] for point in points] for place in (0, 1))
    values = tuple(None if step is None else 1.0 for step in steps)
    found = step_milliseconds(Curve(tuple(step or 99 for step in steps), values, tuple(seconds)))
    assert found == (None if price is None else pytest.approx(price))


def test_area_weighs_by_steps_not_by_points():
    uneven = Curve((0, 1, 2, 10), (0.0, 0.0, 1.0, 1.0), (0.0,) * 4)
    assert area_under_curve(uneven) == pytest.approx((0 + 0.5 + 8) / 10)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_area_lies_between_the_lowest_and_the_highest_value(values):
    assert min(values) - 1e-9 <= area_under_curve(curve(*values)) <= max(values) + 1e-9


@pytest.mark.parametrize("values", [(), (0.5,), (0.5, None, 0.5)])
def test_a_curve_with_a_hole_or_without_two_points_has_no_area(values):
    assert area_under_curve(curve(*values)) is None


def test_a_curve_has_as_many_values_as_steps():
    with pytest.raises(ValueError, match="differ in length"):
        Curve((0, 1), (0.5,), (0.0, 0.1))
