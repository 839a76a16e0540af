"""The sentence of an identity in every outcome."""

from __future__ import annotations

import numpy as np
import pytest

from bnexp.claims.base import Evidence
from bnexp.claims.exact import by_key, largest, says
from bnexp.stats.rules import Exact
from bnexp.stats.sample import Sample

RULES = {"output": Exact(tolerance=1e-9), "gradient": Exact(tolerance=1e-9)}
SAY = says("scale does not matter", "random layers")


def told(output: float, gradient: float = 0.0, gate: bool = True) -> str:
    """The sentence on 120 cases of each of two identities, one case of which has an error."""
    errors = {"output": np.zeros(120), "gradient": np.zeros(120)}
    errors["output"][7], errors["gradient"][3] = -output, gradient
    evidence = Evidence(samples={name: Sample.of(values) for name, values in errors.items()}, gates={"it can": gate})
    rng = np.random.default_rng(0)
    return SAY(
        evidence, {name: rule.judge(evidence.samples[name], rng, evidence.gates) for name, rule in RULES.items()}
    )


@pytest.mark.parametrize(
    ("world", "sentence"),
    [
        (
            {"output": 1e-14},
            "Scale does not matter: the largest error in 120 random layers is 1.0e-14, which is rounding; "
            "1 further endpoint holds.",
        ),
        (
            {"output": 1e-14, "gradient": 1.0},
            "Scale does not matter: the largest error in 120 random layers is 1.0e-14, which is rounding; "
            'contradicted: "gradient".',
        ),
        (
            {"output": 0.5},
            "It is not so that scale does not matter: the largest error in 120 random layers is 0.500, which is more than "
            "rounding; 1 further endpoint holds.",
        ),
        ({"output": 0.0, "gate": False}, "It is open whether scale does not matter: what had to hold first did not: it can."),
    ],
)
def test_a_sentence_for_every_outcome(world, sentence):
    assert told(**world) == sentence


def test_cases_are_stacked_by_quantity_and_the_largest_error_may_be_negative():
    found = by_key({"error": [index, -index]} for index in range(3))
    assert found["error"].shape == (3, 2)
    assert largest(Sample.of(found["error"])) == 2
