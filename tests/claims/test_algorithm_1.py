"""The paper's formulas against finite differences, and the verdict in a world where a norm differs from them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims.algorithm_1 import CLAIM, NORMS_UNDER_TEST, PARTS, closed_form, paper_formulas
from bnexp.claims.judge import judge


def world(error: float) -> SimpleNamespace:
    """120 shapes without any error but one, in the gradient of the inputs of torch's norm."""
    arrays = {name: np.zeros((120, len(PARTS))) for name in NORMS_UNDER_TEST}
    arrays["batch"][7, 2] = error
    ratio = np.geomspace(1e-3, 1e6, 120)
    arrays |= {"m": np.full(120, 4), "dims": np.zeros(120), "ratio": ratio, "second_moment": ratio / (ratio + 1)}
    arrays["closed_form"] = np.zeros(120)
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


@pytest.mark.parametrize(("error", "outcome"), [(1e-12, "SUPPORTED"), (1e-6, "CONTRADICTED")])
def test_one_wrong_gradient_decides(error, outcome):
    rng = np.random.default_rng(0)
    assert judge(CLAIM, CLAIM.analyse(world(error), rng))["formulas"].outcome == outcome


def test_an_error_that_is_not_a_number_is_no_rounding():
    with pytest.raises(ValueError, match="finite"):
        CLAIM.analyse(world(np.nan), np.random.default_rng(0))


@pytest.mark.parametrize("m", [2, 3, 20])
def test_the_formulas_are_the_derivative(m):
    rng = np.random.default_rng(m)
    x_mC, dy_mC, (gamma_C, beta_C) = rng.normal(size=(m, 3)), rng.normal(size=(m, 3)), rng.normal(size=(2, 3))
    found = paper_formulas(x_mC, dy_mC, gamma_C, beta_C, 0.1)

    def loss(x_mC):
        return float((paper_formulas(x_mC, dy_mC, gamma_C, beta_C, 0.1)["y"] * dy_mC).sum())

    for index in np.ndindex(x_mC.shape):
        step = np.zeros_like(x_mC)
        step[index] = 1e-6
        assert found["dx"][index] == pytest.approx((loss(x_mC + step) - loss(x_mC - step)) / 2e-6, abs=1e-7)
    np.testing.assert_allclose(closed_form(x_mC, dy_mC, gamma_C, 0.1), found["dx"], atol=1e-12)


def test_the_neglected_eps_is_told():
    rng = np.random.default_rng(0)
    numbers = CLAIM.analyse(world(0), rng).numbers
    assert numbers["smallest variance of x^"].startswith("0.001, where v / eps = 0.001")
