"""What the report's figures show: every run, every value, the choice, every level that counts."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.figures.curves import draw_arms, draw_tracks
from bnexp.figures.endpoints import draw_interval
from bnexp.figures.levels import draw_levels
from bnexp.figures.style import fit_titles, own_look, plain_log_axis, rate_axis
from bnexp.figures.tuning import draw_tuning
from bnexp.records.curves import Curve
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Marks


@pytest.fixture
def ax():
    return Figure().subplots()


def points(ax, marker: str) -> list[tuple[float, float]]:
    """Where the markers of a kind stand."""
    lines = [line for line in ax.get_lines() if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


@pytest.mark.filterwarnings("error")
def test_levels_of_which_none_counts_can_be_drawn(ax):
    draw_levels({"levels": [0.1], "ratios": [None], "loss levels": [0.1], "loss ratios": [None]}, ax)
    assert ax.get_legend() is None


def test_tuning_shows_every_seed_and_rings_everything_that_was_chosen(ax):
    tried = {0.1: [0.5, 0.7], 1.0: [0.8, 0.9], 2.0: [0.8]}
    draw_tuning({"control": tried}, {"control": (1.0, 2.0)}, ax, key="optimizer.lr", quantity="accuracy")
    assert sorted(y for _, y in points(ax, "s")) == [0.5, 0.7, 0.8, 0.8, 0.9]
    assert points(ax, "o") == [(1.0, pytest.approx(0.85)), (2.0, pytest.approx(0.8))]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("optimizer.lr", "accuracy")


def test_levels_show_an_interval_where_they_count_and_nothing_elsewhere(ax):
    some, none = Interval(2.0, 1.5, 3.0, 0.95, 8), [None, None]
    data = {"levels": [0.15, 0.07], "ratios": [some, None], "loss levels": [0.5, 0.1], "loss ratios": none}
    draw_levels(data, ax)
    assert points(ax, "o") == [(pytest.approx(-0.08), 2.0)]
    assert points(ax, "^") == []
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["validation error"]
    assert ax.get_xticklabels()[0].get_text() == "85.0 %\n0.5"


@pytest.mark.parametrize(
    ("interval", "arrow"),
    [
        (Interval(2, 1.5, 3, 0.95, 8), None),
        (Interval(2, 1.5, math.inf, 0.95, 8), ">"),
        (Interval(2, 0, 3, 0.95, 8), "<"),
    ],
)
def test_an_interval_without_an_end_ends_in_an_arrow(ax, interval, arrow):
    draw_interval(interval, Marks(((1, "none"), (1.2, "smallest")), (1.2, math.inf), True), ax)
    assert {marker for marker in "<>" if points(ax, marker)} == ({arrow} if arrow else set())
    assert points(ax, "o") == [(2, 0)]


def test_the_marks_that_decide_are_in_sight_however_far_away(ax):
    draw_interval(Interval(90, 80, 100, 0.95, 8), Marks(((0, "none"), (1, "smallest")), (1, math.inf), False), ax)
    left, right = ax.get_xlim()
    assert left < 0
    assert right > 100


def test_an_unknown_ratio_can_be_drawn(ax):
    draw_interval(Interval(1, 0, math.inf, 0.95, 8), Marks(((1, "none"), (1.2, "least")), (1.2, math.inf), True), ax)
    assert points(ax, "<")
    assert points(ax, ">")


@pytest.mark.parametrize(("values", "labels"), [([180, 1500], {"200", "500", "1,000"}), ([1, 10_000], {"10", "1,000"})])
def test_a_logarithmic_axis_counts_in_plain_numbers(ax, values, labels):
    ax.plot(values)
    plain_log_axis(ax, values)
    ax.figure.draw_without_rendering()
    shown = {label.get_text() for label in ax.get_yticklabels()} | {
        label.get_text() for label in ax.get_yticklabels(minor=True)
    }
    assert ax.get_yscale() == "log"
    assert labels <= shown
    assert not any("times" in label or "^" in label for label in shown)


def test_an_axis_with_a_value_at_zero_stays_linear(ax):
    plain_log_axis(ax, [0, 100])
    assert ax.get_yscale() == "linear"


class Run:
    """What a figure asks of a record."""

    def __init__(self, *values, steps=(0, 10, 100), status="finished"):
        self.status, self._curve = status, Curve(steps, values, steps)

    def curve(self, _):
        return self._curve


def test_arms_show_mean_and_range_of_their_seeds_and_count_what_diverged(ax):
    lost = Run(0.1, None, steps=(0, 10), status="diverged")
    draw_arms(
        {"without BN": [Run(0.1, 0.5, 0.9), Run(0.1, 0.7, 0.94), lost], "with BN": [Run(0.2, 0.8, 0.95)]},
        ax,
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "without BN (n=2, 1 diverged)",
        "with BN (n=1)",
    ]
    assert ax.get_lines()[0].get_ydata() == pytest.approx([0.1, 0.6, 0.92])
    assert ax.get_xlim() == (10, 100)  # neither negative steps nor those before anything is learnt
    assert ax.get_ylim() == (0.7, 1.0)


def test_arms_that_hardly_learn_or_all_diverge_can_be_drawn(ax):
    draw_arms({"without BN": [Run(0.1, 0.1, 0.2)], "with BN": [Run(None, None, None, status="diverged")]}, ax)
    assert ax.get_ylim()[0] < 0.2


def test_arms_evaluated_at_different_steps_have_no_mean(ax):
    with pytest.raises(ValueError, match="not evaluated at the same steps"):
        draw_arms({"without BN": [Run(0.1, 0.5, 0.9), Run(0.1, 0.5, 0.9, steps=(0, 10, 99))]}, ax)


def test_tracks_are_drawn_from_step_0_on_and_named_at_their_ends(ax):
    quantiles_TUQ = np.arange(12.0).reshape(2, 2, 3)
    draw_tracks(np.array([0, 50]), quantiles_TUQ, ax, unit=1, color="k")
    assert [list(line.get_ydata()) for line in ax.get_lines()] == [[3, 9], [4, 10], [5, 11]]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [
        ("15 %", (50, 9)),
        ("50 %", (50, 10)),
        ("85 %", (50, 11)),
    ]
    assert ax.get_xlim() == (0, 50)


def test_titles_are_broken_until_they_fit_their_panels():
    words = "a small convolutional net on colour photographs"
    with own_look():
        figure = Figure(figsize=(8, 3), dpi=100)
        panels = figure.subplots(1, 3)
        for axes, title in zip(panels, (words, "short", words), strict=True):
            axes.set_title(title)
        fit_titles(figure)
        figure.draw_without_rendering()
        edges = [axes.title.axes.get_tightbbox() for axes in panels]
    assert [axes.get_title(loc="left").replace("\n", " ") for axes in panels] == [words, "short", words]
    assert all(left.x1 < right.x0 for left, right in pairwise(edges))
    assert edges[-1].x1 <= 800


def test_rates_are_named_as_fractions(ax):
    ax.plot([2**-9, 2**6], [1, 2])
    rate_axis(ax)
    assert {ax.xaxis.get_major_formatter()(value) for value in ax.get_xticks()} >= {"1/512", "1/64", "1/8", "1", "8", "64"}
