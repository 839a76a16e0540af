"""Drift numbers against arrays small enough to reckon by hand, and against a loop over units and observations."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from bnexp.records.drift import (
    SETTLED,
    WINDOW,
    drift_summary,
    median_variation,
    net_mean_change,
    net_sd_change,
    spread_variation,
    unit_looks,
)

#: Five observations inside the window, its end included, and one behind it.
STEPS = np.array([0, 1, 2, 4, WINDOW[1], WINDOW[1] + 1])


def arrays(quantiles, mean, sd, w1, steps=STEPS, site="hidden1", point="pre_norm") -> dict[str, np.ndarray]:
    """Arrays of one site; the arguments are [T, U, 3] and [T, U]."""
    content = {"unit_quantiles": quantiles, "unit_mean": mean, "unit_sd": sd, "unit_w1": w1}
    return {"steps": steps} | {f"{site}/{point}/{key}": np.asarray(value, float) for key, value in content.items()}


def one_unit() -> dict[str, np.ndarray]:
    """A unit whose median moves 1, 1, 0, 2 with a spread of 2, 2, 4, 4, 4 in the window, and leaps behind it."""
    median = np.array([0, 1, 2, 2, 4, 99.0])
    half = np.array([1, 1, 2, 2, 2, 99.0])
    quantiles = np.stack([median - half, median, median + half], axis=1)[:, None]
    mean, sd = np.array([0, 1, 1, 1, 3, 99.0])[:, None], np.array([1, 1, 2, 2, 4, 99.0])[:, None]
    return arrays(quantiles, mean, sd, [[np.nan], [1], [0], [1], [2], [99]])


def test_each_moment_is_what_one_reckons_by_hand():
    typical_sd = 10 / 5
    assert drift_summary(one_unit(), "pre_norm") == pytest.approx(
        {
            "drift_mean": (1 + 0 + 0 + 2) / 4 / typical_sd,
            "drift_sd": (0 + log(2) + 0 + log(2)) / 4,
            "net_mean": 3 / 1,
            "net_sd": log(4),
            "w1": (1 + 0 + 1 + 2) / 4 / typical_sd,
            "settled_drift_mean": None,  # of a single look
            "settled_drift_sd": None,
        }
    )


@pytest.mark.parametrize(
    ("window", "tv50", "tv_spread"),
    [((0, 2), 2 / ((2 + 2 + 4) / 3), log(2)), ((2, WINDOW[1]), 2 / 4, 0.0), ((1, 1), 0.0, 0.0)],
)
def test_total_variation_counts_the_looks_of_its_window_with_both_ends(window, tv50, tv_spread):
    looks = unit_looks(one_unit(), "pre_norm", "unit_quantiles", window)
    assert median_variation(looks) == pytest.approx([tv50])
    assert spread_variation(looks) == pytest.approx([tv_spread])


def test_windows_that_meet_share_the_look_between_them_and_lose_no_movement():
    looks = [unit_looks(one_unit(), "pre_norm", "unit_quantiles", window) for window in ((0, 2), (2, 3000), (0, 3000))]
    first, second, whole = (spread_variation(one).item() for one in looks)
    assert first + second == pytest.approx(whole)


def random_site(seed: int, units: int, site: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.normal(size=(6, units, 3)), axis=2)
    return arrays(
        quantiles, rng.normal(size=(6, units)), rng.uniform(0.5, 2, (6, units)), rng.uniform(size=(6, units)), site=site
    )


def slow(content: dict[str, np.ndarray], sites: dict[str, int]) -> dict[str, float]:
    """The definitions of claim A5, one unit at a time."""
    rows = []
    for site, units in sites.items():
        mean, sd, w1 = (content[f"{site}/pre_norm/unit_{key}"] for key in ("mean", "sd", "w1"))
        for u in range(units):
            row = dict.fromkeys(("drift_mean", "drift_sd", "w1"), 0.0)
            typical = sum(sd[t, u] for t in range(5)) / 5
            for t in range(1, 5):
                row["drift_mean"] += abs(mean[t, u] - mean[t - 1, u]) / typical / 4
                row["drift_sd"] += abs(log(sd[t, u] / sd[t - 1, u])) / 4
                row["w1"] += w1[t, u] / typical / 4
            row["net_mean"] = abs(mean[4, u] - mean[0, u]) / sd[0, u]
            row["net_sd"] = abs(log(sd[4, u] / sd[0, u]))
            rows.append(row)
    single_look = dict.fromkeys(("settled_drift_mean", "settled_drift_sd"))
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]} | single_look


def test_several_layers_count_unit_by_unit_as_in_the_slow_loop():
    content = random_site(1, 5, "hidden1") | random_site(2, 8, "stage1.block2")
    assert drift_summary(content, "pre_norm") == pytest.approx(slow(content, {"hidden1": 5, "stage1.block2": 8}))


def test_statistics_of_one_look_stand_in_the_same_order_of_units():
    content = random_site(1, 5, "hidden2") | random_site(2, 8, "hidden1")
    expected = [content["hidden1/pre_norm/unit_mean"][3, 0], content["hidden2/pre_norm/unit_mean"][3, 0]]
    assert unit_looks(content, "pre_norm", "unit_mean")[3, [0, 8]].tolist() == expected
    assert unit_looks(content, "pre_norm", "unit_sd")[3, 8] == content["hidden2/pre_norm/unit_sd"][3, 0]


def test_only_the_point_asked_for_counts():
    content = one_unit() | arrays(
        *[np.full(shape, 99.0) for shape in ((6, 1, 3), (6, 1), (6, 1), (6, 1))], point="next_input"
    )
    assert drift_summary(content, "pre_norm") == drift_summary(one_unit(), "pre_norm")
    assert drift_summary(content, "post_norm") == {}


def test_eval_mode_counts_from_where_running_statistics_have_settled():
    steps = np.array([0, SETTLED - 1, SETTLED, 2 * SETTLED])
    shape = (4, 1)
    content = arrays(np.zeros((4, 1, 3)), np.zeros(shape), np.ones(shape), np.zeros(shape), steps=steps)
    content["hidden1/pre_norm/eval_unit_mean"] = np.array([[50.0], [9], [1], [2]])
    content["hidden1/pre_norm/eval_unit_sd"] = np.array([[50.0], [9], [1], [3]])
    summary = drift_summary(content, "pre_norm")
    assert summary["eval_drift_mean"] == pytest.approx(1 / 2)
    assert summary["eval_drift_sd"] == pytest.approx(log(3))
    assert summary["settled_drift_mean"] == 0.0
    short = {name: values[:3] for name, values in content.items()}
    assert drift_summary(short, "pre_norm")["eval_drift_mean"] is None


def test_a_dead_unit_does_not_move():
    dead = arrays(np.zeros((6, 3, 3)), np.zeros((6, 3)), np.zeros((6, 3)), np.zeros((6, 3)))
    assert set(drift_summary(dead, "pre_norm").values()) == {0.0, None}
    looks = unit_looks(dead, "pre_norm", "unit_quantiles")
    assert not median_variation(looks).any()
    assert not spread_variation(looks).any()


def test_a_unit_born_at_zero_that_comes_alive_has_no_finite_net_mean():
    content = arrays(
        np.zeros((6, 1, 3)), np.arange(6.0)[:, None], np.array([0, 1, 1, 1, 1, 1.0])[:, None], np.ones((6, 1))
    )
    assert drift_summary(content, "pre_norm")["net_mean"] is None
    assert drift_summary(content, "pre_norm")["drift_mean"] == pytest.approx(1 / (4 / 5))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_diverged_says_none_where_there_is_no_number_and_never_counts_as_steady(bad):
    content = one_unit()
    for name in content:
        if name != "steps":
            content[name][4] = bad
    summary = drift_summary(content, "pre_norm")
    assert summary["drift_mean"] is None
    assert all(value is None or np.isfinite(value) for value in summary.values())
    mean_TU, sd_TU = (unit_looks(content, "pre_norm", f"unit_{name}") for name in ("mean", "sd"))
    assert not (net_mean_change(mean_TU, sd_TU) < 1).any()
    assert not (net_sd_change(sd_TU) < 1).any()
    assert not np.isfinite(median_variation(unit_looks(content, "pre_norm", "unit_quantiles"))).any()


def test_fewer_than_two_observations_say_nothing():
    content = {name: value[:1] for name, value in one_unit().items()}
    assert drift_summary(content, "pre_norm") == {}
