"""Steps to a target at their edges: runs that are there, or have diverged, before the first step still get a verdict."""

from __future__ import annotations

import numpy as np
import pytest

from bnexp.claims.base import Claim, Endpoint, Evidence, Sample
from bnexp.claims.judge import judge
from bnexp.records.curves import Duration
from bnexp.stats.rules import Difference

CLAIM = Claim(
    id="made_up", section="T1", statement="", source="", disputed_by="", formula="", analyse=lambda *_: None,
    draw=lambda *_: None, endpoints={"time": Endpoint("ratio", Difference(null=1, smallest=1.2, scale="ratio"))},
)  # fmt: skip
BROKEN, THERE, NEVER = Duration(0, 0.0, False), Duration(0, 0.0, True), Duration(800, 1.0, False)
SOON = [Duration(50 + 10 * seed, 0.1, True) for seed in range(8)]


@pytest.mark.parametrize(
    ("base", "arm", "outcome"),
    [
        ([BROKEN] * 8, [BROKEN] * 8, "INCONCLUSIVE"),
        ([THERE] * 8, [THERE] * 8, "CONTRADICTED"),
        ([NEVER] * 8, [THERE] * 8, "SUPPORTED"),
        ([NEVER] * 8, [THERE, *SOON[1:]], "SUPPORTED"),
        ([BROKEN, *SOON[1:]], SOON, "INCONCLUSIVE"),
        (SOON, [THERE] * 8, "SUPPORTED"),
        (SOON, [BROKEN] * 8, "CONTRADICTED"),
    ],
)
def test_a_ratio_survives_a_time_of_zero(base, arm, outcome):
    sample = Sample.durations(base, arm)
    verdicts = judge(CLAIM, Evidence(samples={"time": sample}), np.random.default_rng(0))
    assert verdicts["time"].outcome == outcome
