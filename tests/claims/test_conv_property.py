"""The verdicts where maps keep the property, where they do not, and where the check could not have told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims import conv_property
from bnexp.claims.conv_property import CLAIM, SITUATIONS, SMOOTHINGS
from bnexp.claims.judge import judge


def world(*, per_map: float = 0.0, per_activation: float = 1.0) -> SimpleNamespace:
    """120 inputs; one error per map, and one error for everything per activation but the first situation."""
    arrays = {
        "per_map": np.zeros((120, len(SITUATIONS))),
        "per_activation": np.full((120, len(SITUATIONS)), per_activation),
    }
    arrays["per_map"][3, 2], arrays["per_activation"][:, 0] = per_map, 0
    arrays |= {"effective_noise": np.geomspace(784, 4, len(SMOOTHINGS)), "effective_digits": np.array(50.0)}
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcome(runs):
    rng = np.random.default_rng(0)
    return judge(CLAIM, CLAIM.analyse(runs, rng))["per map"].outcome


def test_moved_outputs_support():
    assert outcome(world(per_map=1e-14)) == "SUPPORTED"


def test_one_input_that_does_not_move_along_contradicts():
    assert outcome(world(per_map=0.1)) == "CONTRADICTED"


def test_a_check_that_statistics_per_activation_pass_too_decides_nothing():
    assert outcome(world(per_activation=1e-12)) == "INCONCLUSIVE"


@pytest.mark.parametrize(("smoothing", "expected"), [(0.0, 784), (2.0, 784 / (4 * np.pi * 2.0**2))])
def test_effective_values_of_smooth_noise_are_its_area_over_that_of_its_correlation(smoothing, expected):
    x_NBHW = conv_property._smooth_noise(np.random.default_rng(0), 500, smoothing)
    assert conv_property._effective_values(x_NBHW) == pytest.approx(expected, rel=0.15)
