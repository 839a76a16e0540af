"""Holm's correction."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnexp.stats.multiplicity import holm

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None)

P_VALUES = st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 1), max_size=6)


def test_holms_own_steps_by_hand():
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to the one before), 0.5 * 1
    assert holm({"d": 0.5, "b": 0.02, "a": 0.01, "c": 0.03}) == pytest.approx(
        {"d": 0.5, "b": 0.06, "a": 0.04, "c": 0.06}
    )


@STEADY
@given(P_VALUES)
def test_adjusting_never_lowers_a_p_and_keeps_their_order_and_names(p_values):
    adjusted = holm(p_values)
    assert list(adjusted) == list(p_values)
    assert all(p_values[name] <= adjusted[name] <= 1 for name in p_values)
    names = sorted(p_values, key=p_values.__getitem__)
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(names))


@STEADY
@given(st.floats(0, 1))
def test_a_single_endpoint_is_left_alone(p):
    assert holm({"only": p}) == {"only": p}


def test_equal_p_values_get_equal_answers():
    assert set(holm({"a": 0.02, "b": 0.02, "c": 0.02}).values()) == {0.06}


def test_any_false_alarm_among_five_true_nulls_stays_below_five_percent(rng):
    draws = rng.random((4000, 5))
    alarms = [min(holm({str(index): p for index, p in enumerate(row)}).values()) < 0.05 for row in draws]
    assert 0.04 < np.mean(alarms) < 0.06  # 1 - 0.99 ** 5 = 0.049


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="p of late"):
        holm({"late": bad})
