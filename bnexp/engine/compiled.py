"""The training step as one graph: forward, backward and update, in place on the same model and optimiser.

On a CPU the graph is compiled; on a GPU it is captured, and compiled as well where a run is long. ``step.py`` stays the definition
and is this one's test; what cannot be one graph runs there, with a reason.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bnexp.config.schema import ExperimentConfig
from bnexp.data.standardize import Standardizer
from bnexp.engine.build import Experiment
from bnexp.engine.captured import Advance, capture
from bnexp.engine.step import train_step
from bnexp.engine.stopwatch import Stopwatch
from bnexp.norms.factory import NORMS

if TYPE_CHECKING:  # torch.func takes a while to import, and most runs are eager
    from bnexp.engine.pure import PureStep, TrainingState

#: ``execution.compile=auto`` compiles from this many steps on: compiling takes some 5 s, the first time on a machine 15 s, and a
#: step of the paper's network then takes 0.23 instead of 0.70 ms.
WORTH_COMPILING = 30_000

EAGER = "eager"


def pick_step(experiment: Experiment, watch: Stopwatch) -> tuple[str, Advance]:
    """The step a run uses and its kind: one graph where that is asked for or pays, else eager. Compiling is timed apart."""
    eager = partial(_eager_step, experiment)
    kind = graph_kind(experiment, experiment.config.train.steps)
    if kind == EAGER:
        return EAGER, eager
    with watch.aside("compile"):
        try:
            return kind, GraphStep(experiment, kind)
        except Exception as error:  # whatever stops a compiler on this machine must not stop the run
            tell_eager(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
            return EAGER, eager


def _eager_step(experiment: Experiment, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return train_step(experiment.model, experiment.optimizer, experiment.prepare(images), labels)


def graph_kind(experiment: Experiment, steps: int) -> str:
    """``compiled``, ``captured`` (on a GPU), ``compiled, captured`` or ``eager``, for so many steps of this kind."""
    config = experiment.config
    reason = reason_for_eager(config)
    if reason and config.execution.compile == "on":
        tell_eager(reason)
    if reason or config.execution.compile == "off":
        return EAGER
    compiled = ["compiled"] if config.execution.compile == "on" or steps >= WORTH_COMPILING else []
    captured = ["captured"] if experiment.train.labels.device.type == "cuda" else []
    return ", ".join(compiled + captured) or EAGER


def reason_for_eager(config: ExperimentConfig) -> str | None:
    """Why a run's step cannot be one graph, nor one of several side by side; None if it can."""
    if NORMS[config.norm.name].uses_noise:
        return f"norm={config.norm.name} draws from a generator of its own, which a graph cannot hold"
    return None


@cache
def tell_eager(reason: str) -> None:
    """One line for whoever asked for a compiled step, once in a process."""
    print(f"not compiled, running eagerly: {reason}", file=sys.stderr)


class GraphStep:
    """A callable ``(images, labels) -> (loss, correct)``: :func:`bnexp.engine.step.train_step` on the standardised images.

    The model's parameters and buffers and the optimiser's state are changed in place, so checkpoints, probes and evaluation see
    the same objects as with the eager step. Equal to it up to rounding (tested for every norm, model and optimiser). Made ready
    here; nothing has moved afterwards.

    Args:
        experiment: the run; its optimiser may be SGD, Adam or AdamW.
        kind: as :func:`graph_kind` says.
        backend: ``inductor``, or ``traced`` for the graph as it was traced.
    """

    def __init__(self, experiment: Experiment, kind: str, backend: str = "inductor") -> None:
        from bnexp.engine.pure import PureStep, state_of

        self._optimizer = experiment.optimizer
        self._lr = torch.zeros((), device=experiment.train.labels.device)
        self._filled = 0.0
        step = PureStep(experiment.model, experiment.optimizer, side_by_side=False)
        state = state_of(experiment.model, experiment.optimizer)
        key = (*structure(experiment), backend)
        self._graph = make_graph(step, key, kind, state, experiment.prepare, self._lr, example_batch(experiment))

    def __call__(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: images ``[B, C, H, W]`` bytes, labels ``[B]`` int64; loss and number of correct answers are ``[]``."""
        lr = self._optimizer.param_groups[0]["lr"]
        if lr != self._filled:
            self._lr.fill_(lr)
            self._filled = lr
        return self._graph(images, labels)


def make_graph(
    step: PureStep, key: tuple[Any, ...], kind: str, state: TrainingState, prepare: Standardizer, lr: Tensor,
    batch: tuple[Tensor, Tensor],
) -> Advance:  # fmt: skip
    """``step`` on ``state`` as one graph of this kind, compiled and captured already; nothing has moved.

    Args:
        step: the function.
        key: what the graph depends on, the backend last.
        kind: as :func:`graph_kind` says.
        state: what the graph changes.
        prepare, lr: what it reads.
        batch: any batch of bytes and labels of the right shape.
    """
    before = [tensor.clone() for tensor in state.tensors()]
    try:
        run: Advance = partial(step, state, prepare, lr)
        if "compiled" in kind:
            read = (*state.tensors(), prepare.scale, prepare.offset, lr)
            run = partial(compile_once(step, key, state, prepare, [*read, *batch]), *read)
        if "captured" in kind:
            return capture(run, *batch)
        run(*batch)
        return run
    finally:
        for tensor, value in zip(state.tensors(), before, strict=True):
            tensor.copy_(value)


_last: dict[tuple[Any, ...], Callable[..., Any]] = {}


def compile_once(
    step: PureStep, key: tuple[Any, ...], state: TrainingState, prepare: Standardizer, tensors: list[Any]
) -> Callable[..., tuple[Tensor, Tensor]]:
    """``step`` compiled as a function of tensors, or what an earlier step of the same ``key`` left in this process.

    The step is traced operation by operation and not through ``torch.compile``, whose checks at every call cost a tenth of the
    paper's step. One graph is kept: runs come arm by arm.
    """
    if key not in _last:
        # a torch built for GPUs complains of their absence
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        import torch._inductor  # takes a while, and most runs are eager

        from bnexp.engine.products import by_fastest

        def flat(*given: Tensor) -> tuple[Tensor, Tensor]:
            *changed, scale, offset, lr, images, labels = given
            return step(state.of(changed), prepare.of(scale, offset), lr, images, labels)

        with torch.no_grad():
            graph = by_fastest(step.traced(flat, tensors))
            compiled = torch._inductor.compile(graph, tensors) if key[-1] == "inductor" else graph
        _last.clear()
        _last[key] = compiled
    return _last[key]


def structure(experiment: Experiment) -> tuple[Any, ...]:
    """What decides a run's graph; runs that differ only in seed, learning rate, data or schedule have the same."""
    config = experiment.config
    optimizer = replace(config.optimizer, lr=1.0)
    shapes = tuple(tuple(parameter.shape) for parameter in experiment.model.parameters())
    inputs = (config.dataset.binarize, experiment.prepare.scale.shape, tuple(experiment.train.images.shape[1:]))
    parts = (config.model, config.norm, optimizer, config.train.batch_size, config.execution, shapes, inputs)
    return (*map(repr, parts), str(experiment.train.labels.device))


def example_batch(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """A batch of the right shape and kind, for trying a step; draws nothing."""
    same = torch.zeros(experiment.config.train.batch_size, dtype=torch.int64, device=experiment.train.labels.device)
    return experiment.train.images.index_select(0, same), experiment.train.labels.index_select(0, same)
