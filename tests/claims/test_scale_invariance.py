"""The verdicts where scale does not matter, where it does, and where eps acts by another law."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims.judge import judge
from bnexp.claims.scale_invariance import CLAIM, PARTS, SCALES


def world(*, part: int = 0, error: float = 0.0, exponent: float = 1.0) -> SimpleNamespace:
    """120 layers, one of which has an error in one part at one scale; what eps does is a power of eps / (a^2 v)."""
    exact = np.zeros((120, len(SCALES), len(PARTS)))
    exact[17, 4, part] = error
    ratio = np.tile(1e-5 / np.array(SCALES) ** 2, (120, 1))
    arrays = {"exact": exact, "ratio": ratio, "with_eps": 0.5 * ratio**exponent}
    return SimpleNamespace(seeds=lambda: (0,), measured=lambda seed: arrays)  # noqa: ARG005


def supported(runs):
    rng = np.random.default_rng(0)
    return [verdict.outcome == "SUPPORTED" for verdict in judge(CLAIM, CLAIM.analyse(runs, rng)).values()]


def test_rounding_supports():
    assert supported(world(error=1e-13)) == [True, True]


@pytest.mark.parametrize("part", range(3))
def test_one_part_of_one_layer_at_one_scale_contradicts_and_is_told_by_its_error(part):
    runs = world(part=part, error=1e-3)
    assert supported(runs) == [False, True]
    numbers = CLAIM.analyse(runs, np.random.default_rng(0)).numbers
    assert [name for name, value in numbers.items() if value == "1.0e-03"] == [f"largest error, {PARTS[part]}"]


def test_another_law_of_eps_contradicts_the_exponent_alone():
    assert supported(world(exponent=0.5)) == [True, False]
