"""What a probe is: when it wants to look, what it sees, and what it gives back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from bnexp.config.checks import check_options, whole
from bnexp.registry import Registry
from bnexp.schedule import observation_steps


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
        training_batch: ``training_batch(stream)`` draws the examples of one update, as the network sees them in training, and
            their classes, by a stream that is the probe's own and moves with no run: ``[A, C, H, W]`` float32 and ``[A]`` int64;
            where a batch is the whole training set, that set in the order of training, whatever the stream.
        rate: ``rate(step)`` is the learning rate of the update that follows ``step`` updates; after the last one, that of the last.
        batch_size: the training batch size B; A is a multiple of it where a batch goes in micro-batches.
        order: which examples share a training batch (``train.order``).
        seed: the run's seed, for streams of the probe's own (``probe/...``).
        steps: the run's number of steps.
    """

    model: nn.Module
    inputs: Tensor
    labels: Tensor
    validation: Examples
    test: Examples
    prepare: Callable[[Tensor], Tensor]
    training_batch: Callable[[str], tuple[Tensor, Tensor]]
    rate: Callable[[int], float]
    batch_size: int
    order: str
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


class Tracks(Probe):
    """A probe that sees a number a layer at every look: :meth:`look` says which; never built itself.

    Args:
        view: what it may look at.
        name: its own, for messages.
        observations: at most this many looks, dense early, the last one after the last step.
        steps_between: on average at least this many steps between them.

    Raises:
        UserError: an option out of its range.
    """

    def __init__(self, view: View, name: str, *, observations: int, steps_between: int) -> None:
        whole(f"probes.{name}.observations", observations, least=2, example=60)
        whole(f"probes.{name}.steps_between", steps_between, least=1, example=100)
        self._view = view
        self._steps = observation_steps(view.steps, min(observations, max(view.steps // steps_between, 12)))
        self._seen: list[dict[str, dict[str, float]]] = []
        self._seen_steps: list[int] = []

    @abstractmethod
    def look(self, step: int) -> dict[str, dict[str, float]]:
        """What was looked at to layer to number; the same names at every look."""

    def steps(self) -> Sequence[int]:
        """The steps after which it wants to look."""
        return self._steps

    def observe(self, step: int) -> list[Observation]:
        """One observation a kind, with a value for each layer."""
        found = self.look(step)
        self._seen.append(found)
        self._seen_steps.append(step)
        return [
            Observation(step=step, name=name, labels=tuple(by_layer), values=tuple(by_layer.values()))
            for name, by_layer in found.items()
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """``<what>/<layer>`` and ``steps``, a value a look. Shape: ``[T]`` each."""
        names = [(what, layer) for what, by_layer in (self._seen[0] if self._seen else {}).items() for layer in by_layer]
        return {"steps": np.array(self._seen_steps)} | {
            f"{what}/{layer}": np.array([row[what][layer] for row in self._seen]) for what, layer in names
        }

    def summary(self) -> dict[str, Any]:
        """The last look; None for a number that is not finite."""
        last = self._seen[-1] if self._seen else {}
        return {
            what: {layer: value if math.isfinite(value) else None for layer, value in by_layer.items()}
            for what, by_layer in last.items()
        }

    def state(self) -> dict[str, Any]:
        """All looks so far."""
        return {"seen": self._seen, "steps": self._seen_steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`."""
        self._seen, self._seen_steps = list(state["seen"]), list(state["steps"])


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
