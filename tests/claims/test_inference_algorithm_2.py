"""The verdicts where the factor is right, missing or wrong, where folding fails, and where companions matter."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims.inference_algorithm_2 import BATCH_SIZES, CLAIM, expected_sd
from bnexp.claims.judge import judge


def world(*, factor: float = 1.0, **errors: float) -> SimpleNamespace:
    """120 layers and populations, 1000 chi-square variances; ``factor`` is what the stored variances are wrong by."""
    rng = np.random.default_rng(5)
    arrays = {key: np.zeros(120) for key in ("without_factor", "folding64", "folding32", "companions")}
    arrays |= {"with_factor": np.full(120, factor - 1), "train_change": np.ones(120)}
    for key, error in errors.items():
        arrays[key][11] = error
    size_M1 = np.array(BATCH_SIZES)[:, None]
    arrays["bessel_MB"] = factor * rng.chisquare(size_M1 - 1, (len(BATCH_SIZES), 1000)) / (size_M1 - 1)
    arrays["biased_MB"] = arrays["bessel_MB"] * (size_M1 - 1) / size_M1
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcomes(runs):
    rng = np.random.default_rng(0)
    return {name: verdict.outcome for name, verdict in judge(CLAIM, CLAIM.analyse(runs, rng)).items()}


def test_a_world_as_the_paper_says_supports_everything():
    assert set(outcomes(world()).values()) == {"SUPPORTED"}


def test_a_wrong_factor_contradicts_by_enumeration_and_by_chance():
    found = outcomes(world(factor=1.3))
    assert (found["with factor"], found["random batches"]) == ("CONTRADICTED", "CONTRADICTED")


@pytest.mark.parametrize(
    ("key", "error", "endpoint"),
    [
        ("folding64", 1e-9, "folding, float64"),
        ("folding32", 1e-4, "folding, float32"),
        ("companions", 1e-15, "companions"),
        ("without_factor", 1e-3, "without factor"),
    ],
)
def test_one_counterexample_contradicts_its_endpoint_alone(key, error, endpoint):
    found = outcomes(world(**{key: error}))
    assert [name for name, outcome in found.items() if outcome != "SUPPORTED"] == [endpoint]


def test_a_check_that_sees_no_companions_in_train_mode_decides_nothing():
    assert set(outcomes(world(train_change=0.0)).values()) == {"INCONCLUSIVE"}


def test_the_sd_of_two_values_is_half_their_mean_distance():
    assert expected_sd(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert expected_sd(60) == pytest.approx(0.987, abs=5e-4)
