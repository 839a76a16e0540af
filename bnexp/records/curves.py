"""Numbers read off a run's evaluation curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Curve:
    """One measured quantity over training.

    Attributes:
        steps: updates done at each point, increasing.
        values: the quantity; None where it was not finite.
        seconds: training seconds at each point.
    """

    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.steps) == len(self.values) == len(self.seconds):
            raise ValueError("steps, values and seconds of a curve differ in length")


@dataclass(frozen=True)
class Duration:
    """How long something took: ``observed`` False means it had not happened after ``steps`` steps (right-censored)."""

    steps: int
    seconds: float
    observed: bool


def time_to_target(curve: Curve, target: float) -> Duration:
    """The first of two consecutive evaluations above ``target``; censored at the last evaluation if there is none.

    Two in a row, because on a noisy curve a single one can be luck (AlgoPerf counts single ones; docs/claims.md, 0.4). The very
    last evaluation has no successor, so it alone never counts.

    Example:
        >>> curve = Curve((0, 10, 20, 30), (0.1, 0.95, 0.8, 0.96), (0.0, 1.0, 2.0, 3.0))
        >>> time_to_target(curve, 0.9)
        Duration(steps=30, seconds=3.0, observed=False)
        >>> time_to_target(curve, 0.7)
        Duration(steps=10, seconds=1.0, observed=True)
    """
    if not curve.steps:
        return Duration(0, 0.0, False)
    before = False
    for index, value in enumerate(curve.values):
        above = value is not None and value > target
        if before and above:
            return Duration(curve.steps[index - 1], curve.seconds[index - 1], True)
        before = above
    return Duration(curve.steps[-1], curve.seconds[-1], False)


def step_milliseconds(curve: Curve) -> float | None:
    """The price of a training step: the median, over all steps, of the milliseconds a step took in its block.

    A block is what lies between two points of the training curve, and each step in it counts as the block's mean, so that a
    block weighs by its steps. The first block is left out: there everything is done for the first time. None without another.

    Args:
        curve: ``train/loss``, one point a block; of a diverged run the last one, which is no block, is None.

    Example:
        >>> step_milliseconds(Curve((1, 11, 13, 23), (2.0, 1.0, 1.0, 1.0), (5.0, 5.25, 6.0, 6.25)))
        25.0
    """
    points = zip(curve.steps, curve.seconds, curve.values, strict=True)
    ends = [(step, seconds) for step, seconds, value in points if value is not None]
    blocks = sorted(((t1 - t0) / (s1 - s0), s1 - s0) for (s0, t0), (s1, t1) in pairwise(ends))
    half = sum(steps for _, steps in blocks) / 2
    upto = accumulate(steps for _, steps in blocks)
    return next((1e3 * seconds for (seconds, _), total in zip(blocks, upto, strict=True) if total >= half), None)


def area_under_curve(curve: Curve) -> float | None:
    """Mean height of the curve over its steps (trapezoids), in the unit of its values; None if it has a hole or one point.

    Example:
        >>> area_under_curve(Curve((0, 10), (0.0, 1.0), (0.0, 1.0)))
        0.5
    """
    values: Sequence[float | None] = curve.values
    if len(values) < 2 or any(value is None for value in values):
        return None
    points = [(step, value or 0.0) for step, value in zip(curve.steps, values, strict=True)]
    area = sum((s1 - s0) * (v0 + v1) / 2 for (s0, v0), (s1, v1) in pairwise(points))
    return area / (curve.steps[-1] - curve.steps[0])
