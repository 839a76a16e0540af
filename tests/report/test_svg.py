"""Pictures in fewer bytes: the same points, markers, words and colours; and intervals in the page's own style."""

from __future__ import annotations

import io
import math
import re
from xml.etree import ElementTree

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from bnexp.figures.powers import in_letters
from bnexp.figures.style import SETTINGS
from bnexp.report.interval import interval_svg
from bnexp.report.svg import UNITS, lighter, relative
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Marks

#: Places of markers in matplotlib's SVG.
USES = r'<use xlink:href="\S+" x="(\S+)" y="(\S+)" style="fill: #123456'

RATIO = Marks(((1, "no effect (1)"), (1.2, "smallest (1.2)")), (1.2, math.inf), True)


def drawn(draw) -> tuple[str, str]:
    """matplotlib's SVG of a figure, and the lighter one."""
    stream = io.StringIO()
    with rc_context(SETTINGS | {"svg.fonttype": "none"}):
        figure = Figure(figsize=(3, 2))
        draw(figure.subplots())
        in_letters(figure)
        figure.savefig(stream, format="svg")
    return stream.getvalue(), lighter(stream.getvalue())


def points(d: str) -> list[tuple[float, float]]:
    """Where a path goes, in points of a printer."""
    found, x, y = [], 0.0, 0.0
    for command, numbers in re.findall(r"([Mmlhv])([^Mmlhvz]*)", d):
        values = [float(one) for one in re.findall(r"-?[\d.]+", numbers)]
        x, y = (0.0, 0.0) if command == "M" else (x, y)
        steps = [(value, 0.0) if command == "h" else (0.0, value) for value in values]
        for across, down in steps if command in "hv" else zip(values[::2], values[1::2], strict=True):
            x, y = x + across / UNITS, y + down / UNITS
            found.append((round(x, 1), round(y, 1)))
    return found


def test_points_do_not_drift_however_many_there_are():
    steps = np.cumsum(np.tile([0.14, 3.26, -1.14], 200))
    d = "M " + " L ".join(f"{1 + 9 * i:.6f} {value:.6f}" for i, value in enumerate(steps))
    told = points(relative(d))
    assert abs(told[-1][0] - (1 + 9 * 599)) < 0.06
    assert abs(told[-1][1] - steps[-1]) < 0.06


def test_a_line_of_many_points_keeps_where_it_bends():
    whole, light = drawn(lambda ax: ax.plot(range(101), abs(np.arange(101) - 50), color="#123456"))
    line = re.search(r'd="([^"]*)"[^>]*#123456', whole)[1]
    ends = [[float(one) for one in found] for found in re.findall(r"[ML] (\S+) (\S+)", line)]
    kept = points(re.search(r'#123456[^>]*d="([^"]*)"', light)[1])
    assert len(kept) < 10
    for corner in (ends[0], max(ends, key=lambda end: end[1]), ends[-1]):
        assert min(math.dist(corner, one) for one in kept) < 0.3


def test_markers_of_a_kind_are_one_element_and_stand_where_they_stood():
    whole, light = drawn(lambda ax: ax.plot(range(30), np.arange(30) % 10, "s", color="#123456"))
    places = [[float(one) for one in found] for found in re.findall(USES, whole)]
    (path,) = (one.get("d") for one in ElementTree.fromstring(light).iter() if "marker" in one.get("style", ""))
    assert len(places) == 30
    assert np.allclose(points(path), places, atol=0.051)
    assert "#123456" in light


def test_a_single_marker_is_clipped_where_it_stands():
    whole, light = drawn(lambda ax: (ax.plot([0, 1], [0, 1], color="red"), ax.plot([1], [0], "D", color="#123456")))
    x, y = map(float, re.search(USES, whole).groups())
    path = next(one for one in ElementTree.fromstring(light).iter() if "#123456" in one.get("style", ""))
    assert "transform" not in path.attrib
    assert np.allclose(np.mean(points(path.get("d")), axis=0), (x, y), atol=0.2)


def test_a_black_area_stays_black_and_an_unfilled_one_unfilled():
    _, light = drawn(lambda ax: ax.fill([0, 1, 1], [0, 0, 1], color="black"))
    assert "fill:#000" in light
    _, light = drawn(lambda ax: ax.plot([0, 1], [0, 1], color="black"))
    assert [path for path in re.findall(r"<path[^>]*stroke:#00f[^>]*>", light) if "fill:" in path] == []


def test_lines_that_shine_through_each_other_are_not_joined():
    _, light = drawn(lambda ax: ax.plot([[0, 1], [1, 0]], [[0, 0], [1, 1]], color="#00ff00", alpha=0.3))
    assert len(re.findall("<path[^>]*stroke-opacity:0.3|<path class", light)) >= 2


def test_a_quarter_of_the_bytes_and_powers_are_words():
    whole, light = drawn(lambda ax: (ax.plot([1, 10, 1000], [1, 2, 3], "o-"), ax.set_xscale("log"), ax.set_xlabel("a & b")))
    assert len(light) < len(whole) / 4
    assert {"10³", "a &amp; b"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", light))


def test_an_interval_stands_where_it_says():
    svg = interval_svg(Interval(2, 1, 4, 0.95, 8), RATIO, "ratio: so < many", "Effect 2", [1.5, 3])
    root = ElementTree.fromstring(svg)
    found = {one.get("class"): one for one in root if one.get("class") not in (None, "left", "right")}
    low, high = map(float, re.fullmatch(r"M(\S+) 66H(\S+)", found["bar"].get("d")).groups())
    dot = float(next(one for one in root if one.tag == "circle").get("cx"))
    assert math.isclose(dot, (low + high) / 2, abs_tol=1)  # ratios, so 2 lies amid 1 and 4
    assert found["end"].get("d").count("v12z") == 0
    assert re.fullmatch(r"M\d+ 86H\d+", found["seeds"].get("d"))
    assert "ratio: so < many" in [one.text for one in root]


def test_an_interval_without_an_end_has_an_arrow_there():
    svg = interval_svg(Interval(2, 0, math.inf, 0.95, 8), RATIO, "ratio", "Effect")
    assert svg.count("v12z") == 2
