"""What a probe is: when it wants to look, what it sees, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bnexp.config.checks import check_options
from bnexp.registry import Registry


class Examples(Protocol):
    """One part of the data as it lies in memory: u8 images ``[N, C, H, W]`` and their classes, ``[N]`` int64."""

    @property
    def images(self) -> Tensor: ...

    @property
    def labels(self) -> Tensor: ...


@dataclass(frozen=True, kw_only=True)
class View:
    """What a probe may look at, once a run is built.

    Attributes:
        model: the network in training; whatever a probe does to its buffers, modes and gradients is undone afterwards.
        inputs: held-out examples, prepared as in training, ``[M, C, H, W]`` float32; M is at least the training batch B.
        labels: their classes, ``[M]`` int64.
        validation, test: the held-out parts as bytes, for probes that change pictures; ``test`` after the last step only.
        prepare: bytes to the model's input, as in training but without augmentation.
        batch_size: the training batch size B.
        seed: the run's seed, for streams of the probe's own (``probe/...``).
        steps: the run's number of steps.
    """

    model: nn.Module
    inputs: Tensor
    labels: Tensor
    validation: Examples
    test: Examples
    prepare: Callable[[Tensor], Tensor]
    batch_size: int
    seed: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One thing seen after ``step`` updates.

    Attributes:
        step: updates done.
        name: what was seen, e.g. ``"layer_inputs/post_norm/hidden1"``.
        labels: a word for each value, e.g. ``("p15", "p50", "p85")``.
        values: as many numbers.
        histogram: counts and edges of the raw distribution, now and then.
    """

    step: int
    name: str
    labels: tuple[str, ...]
    values: tuple[float, ...]
    histogram: tuple[np.ndarray, np.ndarray] | None = None


class Probe(ABC):
    """A probe of one run. Subclasses take a :class:`View` and their YAML's options as keyword-only parameters.

    ``cost`` is what it is declared to cost in training time at its default schedule: light (at most 3 %), medium (30 %), heavy.
    """

    cost: ClassVar[str]

    @abstractmethod
    def steps(self) -> Sequence[int]:
        """The steps after which it wants to look."""

    @abstractmethod
    def observe(self, step: int) -> list[Observation]:
        """Look at the model as it is after ``step`` updates."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """Everything seen so far, for ``probes/<name>.npz``."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """The few numbers worth a line in ``end.json``; None where there is nothing to say."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep so that a resumed run sees the same."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`."""


PROBES: Registry[type[Probe]] = Registry("probes")
register = PROBES.decorate


def build_probes(config: Mapping[str, Mapping[str, Any]], view: View) -> dict[str, Probe]:
    """The probes a config asks for, by name."""
    built = {}
    for name, options in config.items():
        kind = PROBES[name]
        built[name] = kind(view, **check_options(f"probes.{name}", name, kind, options))  # type: ignore[call-arg]
    return built


@contextmanager
def guest(model: nn.Module, generators: Sequence[torch.Generator]) -> Iterator[None]:
    """Undo whatever happens inside: buffers, train/eval modes, gradients and the states of the run's own generators.

    Weights are not copied: a probe that changes weights works on its own copy. Gradients are taken away meanwhile, because a
    backward pass would add to them in place.
    """
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    states = [generator.get_state() for generator in generators]
    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        for module, training in modes:
            module.training = training
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
