"""Every seed as a drawing of the page: each stands where its value says, and none is lost."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from bnexp.report.seeds import BOTTOM, MOST_POINTS, TOP, errors_svg, pairs_svg, values_svg


def path(svg: str, kind: str) -> list[tuple[float, float]]:
    """Where the points of a kind stand."""
    found = [one.get("d", "") for one in ElementTree.fromstring(svg) if one.get("class") == kind]
    return [tuple(map(float, point)) for d in found for point in re.findall(r"[ML](\S+?) (-?[\d.]+)", d)]


def words(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter("text")]


def test_every_pair_is_a_line_on_an_axis_of_ratios():
    svg = pairs_svg([4, 8], [1, 2], "steps & more", "Every seed", log=True)
    base, arm, lines = path(svg, "base"), path(svg, "arm"), path(svg, "pair")
    assert lines == [base[0], arm[0], base[1], arm[1]]
    steps = [base[0][1] - base[1][1], arm[0][1] - arm[1][1], arm[1][1] - base[0][1]]
    assert steps == pytest.approx([steps[0]] * 3, abs=1)  # 1, 2, 4, 8
    assert "steps & more" in words(svg)


def test_equal_seeds_do_not_hide_each_other_and_a_value_of_zero_makes_the_axis_linear():
    assert len(set(path(pairs_svg([1, 1], [1, 1], "value", "", log=False), "arm"))) == 2
    svg = pairs_svg([0, 2], [1, 4], "value", "", log=True)
    heights = [y for _, y in path(svg, "base") + path(svg, "arm")]
    assert heights[1] - heights[3] == pytest.approx(2 * (heights[0] - heights[2]), abs=2)


def test_what_is_not_finite_is_left_out_with_its_line():
    svg = pairs_svg([1, np.nan, 3], [2, 2, np.inf], "value", "", log=False)
    assert (len(path(svg, "base")), len(path(svg, "arm")), len(path(svg, "pair"))) == (2, 2, 2)


def test_single_values_stand_in_the_order_of_seeds_about_their_mean():
    svg = values_svg([3.0, 1.0, 2.0], "effect", "Every effect")
    places = path(svg, "arm")
    assert [x for x, _ in places] == sorted(x for x, _ in places)
    assert places[0][1] < places[2][1] < places[1][1]
    assert path(svg.replace("H", " 0L"), "mean")[0][1] == pytest.approx(places[2][1], abs=1)


def test_errors_are_sorted_and_an_exact_zero_is_still_shown():
    svg = errors_svg([1e-3, 0.0, -1e-12], 1e-9, "")
    heights = [y for _, y in path(svg, "arm small")]
    assert heights == sorted(heights, reverse=True)
    assert len(heights) == 3
    assert TOP < heights[-1] < heights[0] < BOTTOM
    assert {"tolerance 1e-09", "10⁻¹⁷"} <= set(words(svg))


def test_an_error_that_is_not_finite_is_counted_and_the_largest_of_many_is_drawn():
    svg = errors_svg([*np.geomspace(1e-16, 1e-3, 5000), np.inf, np.nan], 1e-9, "")
    assert len(path(svg, "arm small")) <= MOST_POINTS
    assert path(svg, "arm small")[-1][1] == min(y for _, y in path(svg, "arm small"))
    assert "case, smallest error first (n=5002, 2 not finite)" in words(svg)


def test_cases_without_a_single_finite_error_can_be_drawn():
    assert path(errors_svg([np.nan], 0.0, ""), "arm small") == []
