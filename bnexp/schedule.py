"""When things happen: learning-rate factors and the steps at which a run is looked at. Pure functions of the step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexp.config.schema import ScheduleConfig


def lr_factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """The learning rate of update number ``step`` (from 0) of ``steps``, relative to ``optimizer.lr``.

    Example:
        >>> from bnexp.config.schema import ScheduleConfig
        >>> constant = ScheduleConfig(name="constant", warmup_steps=4)
        >>> [lr_factor(constant, step, 10) for step in (0, 1, 3, 4, 9)]
        [0.25, 0.5, 1.0, 1.0, 1.0]
    """
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    after_warmup = max(steps - 1 - schedule.warmup_steps, 1)
    progress = (step - schedule.warmup_steps) / after_warmup
    return _shape(schedule, progress)


def _shape(schedule: ScheduleConfig, progress: float) -> float:
    """The factor after warm-up; ``progress`` runs from 0 to 1."""
    if schedule.name == "cosine":
        return schedule.final_factor + (1 - schedule.final_factor) * (1 + math.cos(math.pi * progress)) / 2
    if schedule.name == "exponential":
        return schedule.final_factor**progress
    if schedule.name == "step":
        return schedule.drop_factor ** sum(progress >= drop for drop in schedule.drops)
    return 1.0


def evaluation_steps(steps: int, every: int) -> list[int]:
    """Steps after which a run is evaluated: 0, then 1, 2, 5, 10, 20, 50, ... up to ``every``, then its multiples, and the last.

    Dense early, because a fast arm may reach a target before the first regular evaluation; the same grid for every arm.

    Example:
        >>> evaluation_steps(350, 100)
        [0, 1, 2, 5, 10, 20, 50, 100, 200, 300, 350]
    """
    early = (mantissa * 10**power for power in range(len(str(every))) for mantissa in (1, 2, 5))
    grid = {0, steps, *(step for step in early if step < every), *range(every, steps, every)}
    return sorted(step for step in grid if step <= steps)


def observation_steps(steps: int, count: int) -> list[int]:
    """At most ``count`` different steps from 0 to ``steps``: half of them log-spaced (dense early), half evenly spaced.

    Example:
        >>> observation_steps(1000, 8)
        [0, 1, 10, 100, 250, 500, 750, 1000]
    """
    if count < 4:
        return sorted({0, steps})
    num_even = count // 2
    num_log = count - num_even
    even = (round(steps * (index + 1) / num_even) for index in range(num_even))
    logarithmic = (round(steps ** (index / (num_log - 1))) for index in range(num_log - 1))
    return sorted({0, *logarithmic, *even})
