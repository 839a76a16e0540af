"""The verdicts where two parameters bring the batch back, and where they do not or are three."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims.identity_restored import BATCH_SIZES, CLAIM, measure
from bnexp.claims.judge import judge


def world(*, error: float = 0.0, extra: int = 0, exponent: float = -0.5) -> SimpleNamespace:
    """120 shapes; the last one's error is in eval mode."""
    arrays = {key: np.zeros(120) for key in ("train", "eval", "without_eps", "extra")}
    arrays["eval"][-1], arrays["extra"][3] = error, extra
    arrays |= {"residual": np.array(BATCH_SIZES, float) ** exponent, "refuses_one": np.array([True, True])}
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcomes(runs):
    rng = np.random.default_rng(0)
    return [verdict.outcome for verdict in judge(CLAIM, CLAIM.analyse(runs, rng)).values()]


def test_a_restored_batch_supports():
    assert outcomes(world(error=1e-9)) == ["SUPPORTED", "SUPPORTED"]


def test_one_batch_that_does_not_come_back_contradicts():
    assert outcomes(world(error=1e-3)) == ["CONTRADICTED", "SUPPORTED"]


def test_a_third_parameter_contradicts():
    assert outcomes(world(extra=1)) == ["SUPPORTED", "CONTRADICTED"]


def test_the_exponent_that_is_told_is_that_of_the_residual():
    numbers = CLAIM.analyse(world(exponent=-0.8), np.random.default_rng(0)).numbers
    assert numbers["its exponent in m"].startswith("-0.800,")


def test_the_measured_residual_follows_the_law_of_gaussian_batches():
    residual_M = measure(0, "smoke")["residual"]
    large = np.array(BATCH_SIZES) >= 16
    np.testing.assert_allclose(residual_M[large], np.sqrt(1.5 / np.array(BATCH_SIZES)[large]), rtol=0.12)


@pytest.mark.parametrize("refused", [True, False])
def test_a_norm_that_takes_a_batch_of_one_is_told(refused):
    runs = world()
    runs.measured(0)["refuses_one"][1] = refused
    told = CLAIM.analyse(runs, np.random.default_rng(0)).numbers["m = 1"]
    assert told == ("refused by both norms" if refused else "accepted by a norm")
