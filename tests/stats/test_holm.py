"""Holm's correction for the number of secondary endpoints."""

from __future__ import annotations

import pytest

from bnexp.stats.holm import holm


def test_holms_own_steps_by_hand():
    # 0.01 * 4, 0.02 * 3, 0.03 * 2 (raised to the one before), 0.5 * 1
    assert holm({"d": 0.5, "b": 0.02, "a": 0.01, "c": 0.03}) == pytest.approx(
        {"d": 0.5, "b": 0.06, "a": 0.04, "c": 0.06}
    )


def test_a_single_endpoint_is_left_alone_equal_ones_get_equal_answers_and_none_exceeds_one():
    assert holm({}) == {}
    assert holm({"only": 0.3}) == {"only": 0.3}
    assert set(holm({"a": 0.02, "b": 0.02, "c": 0.02}).values()) == {0.06}
    assert set(holm({"a": 0.6, "b": 0.9}).values()) == {1.0}


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_is_refused_by_name(bad):
    with pytest.raises(ValueError, match="p of late"):
        holm({"late": bad})
