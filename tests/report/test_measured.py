"""The axis of paired seeds says what is measured, with the unit."""

from __future__ import annotations

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import Endpoint
from bnexp.report.words import AXIS_LINE, MEASURED, measured_words
from bnexp.stats.rules import Difference


@pytest.mark.parametrize(
    ("claim", "name", "words"),
    [
        ("fig1_speed", "own rate", "training steps to a level of validation error"),
        ("fig1_speed", "seconds", "seconds of training"),
        ("hidden_normalization", "sigmoid, training loss", "training steps to a level of training loss"),
        ("fig1_stability", "late spread", "(no unit)"),
        ("step_cost", "step time", "milliseconds"),
    ],
)
def test_what_is_measured_stands_there_with_its_unit(claim, name, words):
    said = measured_words(claim, name, CLAIMS[claim].endpoints[name])
    assert words in said.replace("\n", " ")
    assert all(len(line) <= AXIS_LINE for line in said.splitlines())


def test_of_another_claim_the_estimand_stands_there():
    endpoint = Endpoint("points lost to colour " * 20, Difference(null=0, smallest=1), unit="points")
    said = measured_words("mine", "first", endpoint)
    assert said.startswith("points lost to colour")
    assert said.endswith("...\n(points)")
    assert len(said.splitlines()) == 4


def test_every_claim_that_has_words_is_there_and_uses_them_all():
    for claim, words in MEASURED.items():
        names = list(CLAIMS[claim].endpoints)
        chosen = {next((part for part in words if part in name), None) for name in names}
        assert set(words) <= chosen, claim
