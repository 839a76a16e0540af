"""Drift numbers against arrays small enough to reckon by hand, and against a loop over units and observations."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from bnexp.records.drift import drift_summary

#: Six observations of a run of 10 steps: the early part ends at step 2.
STEPS = np.array([0, 1, 2, 4, 8, 10])


def arrays(quantiles, mean, sd, w1, steps=STEPS, site="hidden1", point="pre_norm") -> dict[str, np.ndarray]:
    """Arrays of one site; the arguments are [T, U, 3] and [T, U]."""
    content = {"unit_quantiles": quantiles, "unit_mean": mean, "unit_sd": sd, "unit_w1": w1}
    return {"steps": steps} | {f"{site}/{point}/{key}": np.asarray(value, float) for key, value in content.items()}


def one_unit() -> dict[str, np.ndarray]:
    """A unit whose median moves 1, 1, 0, 2, 0 with a spread of 2, 2, 4, 4, 4, 4."""
    median = np.array([0, 1, 2, 2, 4, 4.0])
    half = np.array([1, 1, 2, 2, 2, 2.0])
    quantiles = np.stack([median - half, median, median + half], axis=1)[:, None]
    mean, sd = np.array([0, 1, 1, 1, 1, 3.0])[:, None], np.array([1, 1, 2, 2, 2, 4.0])[:, None]
    return arrays(quantiles, mean, sd, [[np.nan], [1], [0], [0], [1], [2]])


def test_each_number_is_what_one_reckons_by_hand():
    typical_sd, spread = 12 / 6, (2 + 2 + 4 * 4) / 6
    assert drift_summary(one_unit(), "pre_norm") == pytest.approx(
        {
            "drift_mean": (1 + 0 + 0 + 0 + 2) / 5 / typical_sd,
            "drift_sd": (0 + log(2) + 0 + 0 + log(2)) / 5,
            "net_mean": 3 / 1,
            "net_sd": log(4),
            "tv50_early": (1 + 1) / spread,
            "tv50_late": (0 + 2 + 0) / spread,
            "tv_spread_early": log(2),
            "tv_spread_late": 0.0,
            "w1": (1 + 0 + 0 + 1 + 2) / 5 / typical_sd,
        }
    )


def random_site(seed: int, units: int, site: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    quantiles = np.sort(rng.normal(size=(6, units, 3)), axis=2)
    return arrays(
        quantiles, rng.normal(size=(6, units)), rng.uniform(0.5, 2, (6, units)), rng.uniform(size=(6, units)), site=site
    )


def slow(content: dict[str, np.ndarray], sites: dict[str, int]) -> dict[str, float]:
    """The definitions of claims A5 and B3, one unit at a time."""
    rows = []
    for site, units in sites.items():
        q, mean, sd, w1 = (content[f"{site}/pre_norm/unit_{key}"] for key in ("quantiles", "mean", "sd", "w1"))
        for u in range(units):
            row = dict.fromkeys(
                ("drift_mean", "drift_sd", "tv50_early", "tv50_late", "tv_spread_early", "tv_spread_late", "w1"), 0.0
            )
            typical = sum(sd[t, u] for t in range(6)) / 6
            width = sum(q[t, u, 2] - q[t, u, 0] for t in range(6)) / 6
            for t in range(1, 6):
                part = "early" if STEPS[t] <= 2 else "late"
                row["drift_mean"] += abs(mean[t, u] - mean[t - 1, u]) / typical / 5
                row["drift_sd"] += abs(log(sd[t, u] / sd[t - 1, u])) / 5
                row[f"tv50_{part}"] += abs(q[t, u, 1] - q[t - 1, u, 1]) / width
                row[f"tv_spread_{part}"] += abs(log((q[t, u, 2] - q[t, u, 0]) / (q[t - 1, u, 2] - q[t - 1, u, 0])))
                row["w1"] += w1[t, u] / typical / 5
            row["net_mean"] = abs(mean[5, u] - mean[0, u]) / sd[0, u]
            row["net_sd"] = abs(log(sd[5, u] / sd[0, u]))
            rows.append(row)
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}


def test_several_layers_count_unit_by_unit_as_in_the_slow_loop():
    content = random_site(1, 5, "hidden1") | random_site(2, 8, "stage1.block2")
    assert drift_summary(content, "pre_norm") == pytest.approx(slow(content, {"hidden1": 5, "stage1.block2": 8}))


def test_only_the_point_asked_for_counts():
    content = one_unit() | arrays(
        *[np.full(shape, 99.0) for shape in ((6, 1, 3), (6, 1), (6, 1), (6, 1))], point="next_input"
    )
    assert drift_summary(content, "pre_norm") == drift_summary(one_unit(), "pre_norm")
    assert drift_summary(content, "post_norm") == {}


def test_a_dead_unit_does_not_move():
    dead = arrays(np.zeros((6, 3, 3)), np.zeros((6, 3)), np.zeros((6, 3)), np.zeros((6, 3)))
    assert set(drift_summary(dead, "pre_norm").values()) == {0.0}


def test_a_unit_born_at_zero_that_comes_alive_has_no_finite_net_mean():
    content = arrays(
        np.zeros((6, 1, 3)), np.arange(6.0)[:, None], np.array([0, 1, 1, 1, 1, 1.0])[:, None], np.ones((6, 1))
    )
    assert drift_summary(content, "pre_norm")["net_mean"] is None
    assert drift_summary(content, "pre_norm")["drift_mean"] == pytest.approx(1 / (5 / 6))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_diverged_says_none_where_there_is_no_number(bad):
    content = one_unit()
    for name in content:
        if name != "steps":
            content[name][-1] = bad
    summary = drift_summary(content, "pre_norm")
    assert summary["drift_mean"] is None
    assert summary["tv50_late"] is None
    assert all(value is None or np.isfinite(value) for value in summary.values())


def test_fewer_than_two_observations_say_nothing():
    content = {name: value[:1] for name, value in one_unit().items()}
    assert drift_summary(content, "pre_norm") == {}
