"""The verdicts where steps are right triangles, where one is not, and where the check could not have told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from bnexp.claims.judge import judge
from bnexp.claims.weight_norm_growth import ARMS, BREAKING, CLAIM, IDENTITY, LABELS


def world(
    *, cosine: float = 0.0, square: float = 0.0, breaking: float = 0.1, exponent: float = 0.25
) -> SimpleNamespace:
    """40 steps of 3 layers an arm; the errors are those of one step of one layer of the mlp."""
    steps = np.unique(np.geomspace(1, 1000, 40).astype(int))
    arrays = {arm: np.full((40, 3, 2), breaking if arm in BREAKING else 0.0) for arm in ARMS}
    arrays["mlp"][20, 1] = cosine, square
    arrays |= {f"{arm}, other parameters": np.full((40, 8), 0.3) for arm in IDENTITY}
    arrays |= {labels: np.repeat(steps[:, None] ** exponent, 3, axis=1) for labels in LABELS} | {"steps": steps}
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def outcomes(runs):
    rng = np.random.default_rng(0)
    return [verdict.outcome for verdict in judge(CLAIM, CLAIM.analyse(runs, rng)).values()]


def test_right_triangles_support():
    assert outcomes(world(cosine=1e-12, square=1e-12)) == ["SUPPORTED", "SUPPORTED"]


def test_one_oblique_step_contradicts():
    assert outcomes(world(cosine=1e-5)) == ["CONTRADICTED", "SUPPORTED"]
    assert outcomes(world(square=1e-5)) == ["SUPPORTED", "CONTRADICTED"]


def test_a_check_that_does_not_notice_momentum_decides_nothing():
    assert outcomes(world(breaking=1e-12)) == ["INCONCLUSIVE", "INCONCLUSIVE"]


def test_the_exponents_that_are_told_are_those_of_the_growth():
    numbers = CLAIM.analyse(world(exponent=0.31), np.random.default_rng(0)).numbers
    assert all(value.startswith("0.31, 0.31, 0.31") for key, value in numbers.items() if key.startswith("exponent"))
