"""Secondary endpoints: their p values with Holm's correction, where a p exists."""

from __future__ import annotations

import math

from bnexp.claims.base import Endpoint, Sample
from bnexp.claims.judged import Judged
from bnexp.stats.multiplicity import holm
from bnexp.stats.paired import difference_p_value
from bnexp.stats.verdict import Difference


def adjusted_p_values(judged: Judged) -> dict[str, float]:
    """Secondary endpoint to its p of no effect, adjusted for their number; endpoints without a p are left out.

    Claims of sameness and of algebra test no null of no effect, and a t-test cannot take runs that were cut off.
    """
    if judged.evidence is None:
        return {}
    secondary = list(judged.claim.endpoints.items())[1:]
    p_values = {name: _p_value(endpoint, judged.evidence.samples[name]) for name, endpoint in secondary}
    return holm({name: p for name, p in p_values.items() if p is not None})


def _p_value(endpoint: Endpoint, sample: Sample) -> float | None:
    rule = endpoint.rule
    if not isinstance(rule, Difference) or sample.censored or len(sample.arm) < 2:
        return None
    if rule.scale == "ratio":
        if sample.base is None or min(*sample.base, *sample.arm) <= 0:
            return None
        log_null = math.log(rule.null)
        return difference_p_value([math.log(v) for v in sample.base], [math.log(v) + log_null for v in sample.arm])
    base = sample.base or (0.0,) * len(sample.arm)
    return difference_p_value(sample.arm, [value + rule.null for value in base])
