"""What one process of the benchmark is asked to do.

Nothing here imports torch: a process starts as large as whoever started it, and the processes' memory is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

#: A training loop calls this after every turn with the seconds the turn took; it returns when the next turn may start.
Took = Callable[[float], None]


#: Plain SGD at one rate for everyone: what a step costs does not depend on it.
LEARNING_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One process's part.

    Attributes:
        mode: name in ``modes.MODES``.
        network: ``mlp`` (the paper's) or ``cnn``.
        norm: ``batch`` or ``none``.
        device: ``cpu`` or ``cuda``.
        batch_size: examples a step.
        steps: training steps a turn; for ``runs``, steps of every run.
        turns: how many turns, the warm-up one included.
        seed: of the (first) run.
        seeds: runs that the process trains side by side, or one after the other.
        threads: of this process; None for what the mode takes by itself.
        data_dir: the data folder.
        images: file with made-up images, Keras' names; None for MNIST.
        overrides: more words for ``bnexp train``.
    """

    mode: str
    network: str
    norm: str
    device: str
    batch_size: int
    steps: int
    turns: int
    seed: int
    seeds: int
    threads: int | None
    data_dir: str | None
    images: str | None
    overrides: tuple[str, ...] = ()


class Unavailable(Exception):  # noqa: N818 - nothing is wrong, something is absent
    """A mode that cannot be run here; the message says why."""


def from_json(fields: dict[str, Any]) -> Job:
    """The job that ``dataclasses.asdict`` and JSON made of one."""
    return Job(**{**fields, "overrides": tuple(fields["overrides"])})
