"""The verdict in a world that squeezes, in ours, and where even min-max scaling would have failed the check."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from bnexp.claims.judge import judge
from bnexp.claims.squeezes_to_unit_interval import BOUND_SIZES, CLAIM, SOURCES, measure


def world(*, low: float, high: float, min_max_outside: float = 0.0) -> SimpleNamespace:
    """30 features a source whose values are between 0 and 1, but for one feature of the last source."""
    arrays = {}
    for source in SOURCES:
        arrays |= {f"{source}/{key}": np.full(30, value) for key, value in (("least", 0.0), ("largest", 1.0))}
        arrays |= {f"{source}/{key}": np.zeros(30) for key in ("outside", "standardised")}
    arrays["trained/least"][4], arrays["trained/largest"][4] = low, high
    bound = np.sqrt(np.array(BOUND_SIZES) - 1)
    arrays |= {
        "one_outlier": bound,
        "largest_tried": bound,
        "outputs": np.array([0, 1, 0]),
        "min_max_outside": np.full(6, min_max_outside),
    }
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcome(runs):
    rng = np.random.default_rng(0)
    return judge(CLAIM, CLAIM.analyse(runs, rng))["inside"].outcome


def test_squeezed_values_support():
    assert outcome(world(low=0.0, high=1.0)) == "SUPPORTED"


def test_one_feature_below_or_above_contradicts():
    assert outcome(world(low=-0.1, high=1.0)) == "CONTRADICTED"
    assert outcome(world(low=0.0, high=1.1)) == "CONTRADICTED"


def test_a_check_that_min_max_scaling_fails_decides_nothing():
    assert outcome(world(low=0.0, high=1.0, min_max_outside=0.2)) == "INCONCLUSIVE"


def test_every_measured_feature_has_negative_values_and_none_passes_the_bound():
    arrays = measure(0, "smoke")
    for source in SOURCES:
        assert (arrays[f"{source}/least"] < 0).all()
        assert (np.maximum(-arrays[f"{source}/least"], arrays[f"{source}/largest"]) <= np.sqrt(59) + 1e-9).all()
