"""When things happen: learning-rate factors, the steps at which a run is looked at, the numbers from which a step is compiled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnexp.config.schema import ScheduleConfig

#: ``execution.compile=auto`` compiles from this many steps on: compiling takes some 5 s, the first time on a machine 15 s, and a
#: step of the paper's network then takes 0.23 instead of 0.70 ms.
WORTH_COMPILING = 30_000

#: The same where runs in one process share what was compiled. What compiling takes and what a step then saves both grow with the
#: number of layers, so that one bar does: measured on one core, 4 to 8 s against 0.6 ms (the paper's net) to 3.6 ms (ghost norm).
WORTH_COMPILING_TOGETHER = 10_000

#: On a GPU an eager step is all launches, and one graph of the same operations is one launch: tracing and capturing it takes a
#: second or two. Fusing the operations takes some 20 s more.
WORTH_CAPTURING, WORTH_FUSING = 1_000, 50_000

#: Examples that a run evaluates from which on fusing a convolutional forward pass pays: that takes 3 to 4 s, and a quarter of the
#: time of evaluation is saved, 0.03 ms an example (cnn) to 0.13 (resnet); measured on one core.
WORTH_FUSING_EVALUATION = 100_000


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


#: Held-out examples that a run may look at for each training example it sees. Looking at one costs a third of what training on one
#: costs, or less.
EVALUATED_PER_TRAINED = 3.6

#: A run may have so many evaluations, and evaluate so many examples in all, whatever that costs.
LEAST_EVALUATIONS, LEAST_EVALUATED = 12, 12_000

#: Evaluations and points of the training curve that a run has at most, however long it is: the record of a million steps then stays
#: below 20 MB and is read in a second.
MOST_EVALUATIONS, MOST_POINTS = 15_000, 40_000


def curve_steps(steps: int, every: int) -> range:
    """Steps after which a point of the training curve is due: ``every`` apart, a multiple of it where that were too many.

    It depends on the config alone, so that all arms of equal steps have the same points.

    Example:
        >>> curve_steps(3000, 50)
        range(0, 3000, 50)
        >>> curve_steps(1_000_000, 1)
        range(0, 1000000, 25)
    """
    return range(0, steps, every * max(1, math.ceil(steps / every / MOST_POINTS)))


def most_evaluations(steps: int, batch_size: int, num_examples: int) -> int:
    """How many evaluations of ``num_examples`` examples a run may have, so that they take about as long as training does at most.

    It depends on the config alone, so that all arms of a comparison are evaluated after the same steps on every machine.

    Example:
        >>> most_evaluations(300, 32, 1000)
        34
    """
    affordable = int(max(LEAST_EVALUATED, EVALUATED_PER_TRAINED * steps * batch_size) / num_examples)
    return min(max(LEAST_EVALUATIONS, affordable), MOST_EVALUATIONS)


def evaluation_steps(
    steps: int, every: int, most: int | None = None, start: int = 0, gap: float = 0.05
) -> list[int]:
    """Steps after which a run is evaluated: at most the share ``gap`` of a step number, and at most ``every``, apart.

    Dense early, because a fast arm may reach a target before the first regular evaluation, and steps-to-target can be no more
    exact than this grid (docs/claims.md, 0.4); the same grid for every arm. Where that were more than ``most`` steps they are
    those of :func:`observation_steps`: log-spaced early, even later. Of all these, those before ``start`` are left out, except the
    first, of the untrained net, and the last.

    Example:
        >>> evaluation_steps(60, 100, start=52)
        [0, 52, 54, 56, 58, 60]
        >>> evaluation_steps(60, 100)[35:]
        [35, 36, 37, 38, 39, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60]
        >>> evaluation_steps(60, 100, gap=0.1)[17:]
        [17, 18, 19, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 55, 60]
        >>> evaluation_steps(3000, 100)[-4:]
        [2700, 2800, 2900, 3000]
        >>> evaluation_steps(300, 100, most=12)
        [0, 1, 3, 10, 31, 50, 96, 100, 150, 200, 250, 300]
    """
    grid = [0]
    while grid[-1] < steps:
        grid.append(min(steps, grid[-1] + min(_round_gap(int(grid[-1] * gap + 1e-9)), every)))
    if most is not None and len(grid) > most:
        grid = observation_steps(steps, most)
    return [step for step in grid if step >= start or step in (0, steps)]


def _round_gap(most: int) -> int:
    """The largest of 1, 2, 5, 10, 20, 50, ... up to ``most``, and at least 1: evaluations fall on round steps."""
    power = 10 ** (len(str(max(most, 1))) - 1)
    return next(mantissa * power for mantissa in (5, 2, 1) if mantissa * power <= max(most, 1))


def observation_steps(steps: int, count: int, early: float = 0.5) -> list[int]:
    """At most ``count`` different steps from 0 to ``steps``: the share ``early`` log-spaced, the others evenly spaced.

    Example:
        >>> observation_steps(1000, 8)
        [0, 1, 10, 100, 250, 500, 750, 1000]
        >>> observation_steps(1000, 8, early=0.75)
        [0, 1, 4, 16, 63, 251, 500, 1000]
    """
    if count < 4:
        return sorted({0, steps})
    num_even = min(max(int(count * (1 - early)), 1), count - 2)
    num_log = count - num_even
    even = (round(steps * (index + 1) / num_even) for index in range(num_even))
    logarithmic = (round(steps ** (index / (num_log - 1))) for index in range(num_log - 1))
    return sorted({0, *logarithmic, *even})
