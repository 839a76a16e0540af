"""What the rules that judge drawn seeds share: both intervals of an effect, its re-draws, its p, the words around them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bnexp.stats.intervals import Interval, MeanEffect, intervals_by_bootstrap, intervals_by_t, mean_effect
from bnexp.stats.redraws import REDRAWS, as_far_as_new, redrawn_seeds
from bnexp.stats.sample import Sample, Scale
from bnexp.stats.verdict import Gates, Verdict, counted, decide


def by_bootstrap_and_t(sample: Sample, scale: Scale, rng: np.random.Generator) -> list[Interval]:
    """The 95 % interval from a bootstrap and that from a t-distribution; a rule wants one answer from both."""
    return [*intervals_by_bootstrap(sample, scale, rng), *intervals_by_t(sample, scale, rng)]


def on_scale(effect: MeanEffect, scale: Scale, level: float = 0.95) -> Interval:
    """An effect's t-interval at a level, of a ratio no longer in logarithms."""
    interval = effect.interval(level)
    return interval.mapped(math.exp) if scale == "ratio" else interval


def redrawn_effects(sample: Sample, scale: Scale, rng: np.random.Generator) -> list[MeanEffect]:
    """The effect of each re-draw of reported seeds and tuning seeds, as far from the one found as a new experiment's would be."""
    found, num_seeds = mean_effect(sample, scale, rng), sample.num_seeds
    seeds_RS, num_tuning = redrawn_seeds(num_seeds, rng), sample.num_tuning
    tuning_RJ = rng.integers(num_tuning, size=(REDRAWS, num_tuning)) if num_tuning > 1 else None
    effects_RS = sample.redrawn(scale, seeds_RS, tuning_RJ)
    means_R = as_far_as_new(effects_RS.mean(-1), found.estimate, num_seeds)
    of_seeds = float(sample.effects(scale).var(ddof=1)) / num_seeds
    of_choice = max(found.error**2 - of_seeds, 0.0)
    errors_R = np.sqrt(effects_RS.var(-1, ddof=1) / (num_seeds - 1) + of_choice)
    return [MeanEffect(float(mean), float(error), num_seeds) for mean, error in zip(means_R, errors_R, strict=True)]


def p_of(value: float, sample: Sample, scale: Scale, verdict: Verdict, rng: np.random.Generator) -> float | None:
    """Two-sided p of the effect being ``value``; 1 where nothing was decided, None where no p can be given."""
    if verdict.outcome == "INCONCLUSIVE":
        return 1.0
    return mean_effect(sample, scale, rng).p_value(math.log(value) if scale == "ratio" else value)


def decide_at_95(
    judge_one: Any, intervals: Sequence[Interval], gates: Gates, min_seeds: int, drawn: str = "seed"
) -> Verdict:
    """Judge 95 % intervals one by one and decide on what they agree on.

    Raises:
        ValueError: an interval of another level.
    """
    for interval in intervals:
        if interval.level != 0.95:
            raise ValueError(f"this rule needs 95% intervals, got one of {interval.level:.0%}")
    return decide(judge_one, intervals, lambda interval: interval, gates, min_seeds, drawn)


def needs_words(min_seeds: int, drawn: str = "seed") -> str:
    """What a rule asks before anything else."""
    return (
        f"At least {counted(min_seeds, drawn)}, every gate passed, and the same answer from a bootstrap over {drawn}s as from a "
        "t-interval."
    )


def interval_sentence(interval: Interval, quantity: str) -> str:
    """What was estimated, as the beginning of a reason."""
    limit = f"{interval.level:.0%} lower limit {interval.low:.3g}"
    if math.isinf(interval.high):
        return (
            f"The {quantity} is at least {interval.estimate:.3g} ({limit})"
            if interval.low
            else f"The {quantity} is unknown"
        )
    limits = f"[{interval.low:.3g}, {interval.high:.3g}]"
    return f"The {quantity} is {interval.estimate:.3g} ({interval.level:.0%} interval {limits})"
