"""From evidence to verdicts: the rule decides which statistics are computed, so that no analysis can choose its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Evidence, Sample
from bnexp.records.curves import Duration
from bnexp.stats.equivalence import levels_by_bootstrap, levels_by_t
from bnexp.stats.interval import Interval
from bnexp.stats.outcome import Rule, Verdict
from bnexp.stats.paired import (
    bootstrap_difference_interval,
    bootstrap_ratio_interval,
    difference_interval,
    ratio_interval,
)
from bnexp.stats.survival import restricted_mean_ratio, speedup_lower_bound, to_horizon
from bnexp.stats.verdict import Difference, Equivalence, Exact, Scaling


def judge(claim: Claim, evidence: Evidence, rng: np.random.Generator) -> dict[str, Verdict]:
    """The verdict on each endpoint, the primary one first.

    Raises:
        ValueError: the analysis returned other endpoints than were declared.
    """
    if set(evidence.samples) != set(claim.endpoints):
        raise ValueError(f"{claim.id} declared {sorted(claim.endpoints)} and analysed {sorted(evidence.samples)}")
    return {
        name: _judge(endpoint.rule, evidence.samples[name], evidence.gates, rng)
        for name, endpoint in claim.endpoints.items()
    }


def _judge(rule: Rule, sample: Sample, gates: Mapping[str, bool], rng: np.random.Generator) -> Verdict:
    if isinstance(rule, Exact):
        return rule.judge(sample.arm, gates=gates)
    if isinstance(rule, Equivalence):
        assert not sample.censored, "equivalence of censored durations has no rule"
        arm, base = sample.arm, _base(sample)
        by_bootstrap = levels_by_bootstrap(arm_S=arm, base_S=base, scale=rule.scale, rng=rng)
        return rule.judge(by_bootstrap, levels_by_t(arm_S=arm, base_S=base, scale=rule.scale), gates=gates)
    if isinstance(rule, Difference) and rule.scale == "ratio":
        return rule.judge(*_ratio_intervals(sample, rng), gates=gates)
    assert isinstance(rule, Difference | Scaling)
    base = _base(sample)
    return rule.judge(
        bootstrap_difference_interval(sample.arm, base, rng), difference_interval(sample.arm, base), gates=gates
    )


def _base(sample: Sample) -> tuple[float, ...]:
    """The side compared with; an effect that is one number a seed is compared with 0."""
    return sample.base if sample.base is not None else (0.0,) * len(sample.arm)


def _ratio_intervals(sample: Sample, rng: np.random.Generator) -> list[Interval]:
    """Bootstrap and t on log-ratios; where runs are censored, what survival statistics can still say."""
    assert sample.base is not None, "a ratio needs both sides"
    if not sample.censored:
        return [bootstrap_ratio_interval(sample.base, sample.arm, rng), ratio_interval(sample.base, sample.arm)]
    base, arm = durations(sample)
    if all(one.observed for one in arm):
        return [speedup_lower_bound(base=base, arm=arm)]
    horizon = max(one.steps for one in (*base, *arm))
    return [
        restricted_mean_ratio(base=to_horizon(base, horizon), arm=to_horizon(arm, horizon), horizon=horizon, rng=rng)
    ]


def durations(sample: Sample) -> tuple[list[Duration], list[Duration]]:
    """Both sides of a censored sample as durations."""
    assert sample.base is not None
    sides = ((sample.base, sample.observed_base), (sample.arm, sample.observed_arm))
    base, arm = (
        [Duration(int(steps), 0.0, seen) for steps, seen in zip(times, observed or (True,) * len(times), strict=True)]
        for times, observed in sides
    )
    return base, arm
