"""How one update is made: as every textbook has it, or as one compiled graph of the same where a run is long enough."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import Experiment
from bnexp.engine.journal import Stopwatch
from bnexp.engine.kernels import first_line
from bnexp.norms.factory import NORMS
from bnexp.schedule import WORTH_CAPTURING, WORTH_COMPILING, WORTH_FUSING

#: Indices ``[B]`` of a batch to loss and number of correct answers, from before the update; the next call may write into both.
Advance = Callable[[Tensor], tuple[Tensor, Tensor]]
#: Images and labels of a batch to the same.
OnBatch = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
Step = TypeVar("Step")


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Forward, backward, update.

    Shape: x ``[B, C, H, W]`` float32, y ``[B]`` int64.

    Returns:
        The mini-batch's mean cross-entropy (nats) and its number of correct answers, both ``[]``, from before the update.
    """
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == y).sum()


def accumulated_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, num_passes: int
) -> tuple[Tensor, Tensor]:
    """:func:`train_step` with the batch in ``num_passes`` equal parts: forward and backward of each, then one update.

    The gradients are averaged, so that without norms this is the step on the whole batch. A norm sees each part by itself, and its
    running statistics take a step for each: what gradient accumulation is in practice.
    """
    optimizer.zero_grad()
    loss, correct = torch.zeros((), device=x.device), torch.zeros((), dtype=torch.int64, device=x.device)
    for part, answers in zip(x.chunk(num_passes), y.chunk(num_passes), strict=True):
        logits = model(part)
        share = F.cross_entropy(logits, answers) / num_passes
        share.backward()
        loss += share.detach()
        correct += (logits.detach().argmax(1) == answers).sum()
    optimizer.step()
    return loss, correct


def eager_step(experiment: Experiment, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Gather the examples ``indices`` ``[B]`` and augment them, then :func:`step_on`."""
    return step_on(experiment, *experiment.training_examples(indices, experiment.augmentation))


def step_on(experiment: Experiment, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Standardise, then :func:`train_step`, or :func:`accumulated_step` where the batch goes in micro-batches."""
    num_passes = experiment.config.train.batch_size // experiment.config.train.pass_size
    if num_passes == 1:
        return train_step(experiment.model, experiment.optimizer, experiment.prepare(images), labels)
    return accumulated_step(experiment.model, experiment.optimizer, experiment.prepare(images), labels, num_passes)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate ``lr``."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def pick_step(experiment: Experiment, watch: Stopwatch) -> tuple[str, Advance]:
    """The step that a run uses and how ``end.json`` names it (``execution``)."""
    eager = partial(eager_step, experiment)
    steps, on_gpu = experiment.config.train.steps, experiment.train.labels.is_cuda
    if not wants_graph(experiment.config, steps, on_gpu):
        if experiment.config.execution.ddp:
            from bnexp.engine.processes import SharedStep  # which needs this module

            with watch.aside("compile"):  # torch imports its compiler for this, some 2 s
                return f"{int(experiment.config.execution.ddp)} processes, eager", SharedStep(experiment)
        return "eager", eager

    def graph() -> tuple[Advance, str, str]:
        from bnexp.engine.graph import GraphStep  # torch.func takes a while to import, and most runs are eager

        step = GraphStep(experiment, backend(steps, on_gpu))
        return step, step.products, step.kernels

    return graph_or(lambda: eager, graph, experiment.config, watch)


def wants_graph(config: ExperimentConfig, steps: int, on_gpu: bool = False) -> bool:
    """Whether a step that is made so many times should be one graph; who asked for one and cannot have it is told why."""
    reason = reason_for_eager(config)
    if reason and config.execution.compile == "on":
        say_once(f"not compiled, running eagerly: {reason}")
    enough = steps >= (WORTH_CAPTURING if on_gpu else WORTH_COMPILING)
    worth = config.execution.compile == "on" or (config.execution.compile == "auto" and enough)
    return worth and not reason


def backend(steps: int, on_gpu: bool) -> str:
    """How a graph of a step that is made so many times is built, see :class:`~bnexp.engine.graph.GraphStep`."""
    return "traced" if on_gpu and steps < WORTH_FUSING else "inductor"


def reason_for_eager(config: ExperimentConfig) -> str | None:
    """Why a run's step cannot be one graph, nor one of several side by side; None if it can."""
    if NORMS[config.norm.name].uses_noise:
        return f"norm={config.norm.name} draws from a generator of its own, which a graph cannot hold"
    if config.execution.ddp:
        return "execution.ddp averages the gradients of several processes between backward and update"
    if config.train.only == "random":
        return "train.only=random holds weights by a hook on their gradients, which a graph does not run"
    return None


def graph_or(
    eager: Callable[[], Step], graph: Callable[[], tuple[Step, str, str]], config: ExperimentConfig, watch: Stopwatch
) -> tuple[str, Step]:
    """The step that ``graph`` makes, or ``eager``'s where this machine cannot compile it, and its name. Compiling is timed apart.

    Args:
        eager, graph: make a step; the second one also says why it multiplies by torch's own products, if it does, and with what.
        config: of the run; who asked for a compiled step is told what it lacks.
        watch: the run's.
    """
    with watch.aside("compile"):
        try:
            step, products, used = graph()
        except Exception as error:  # whatever stops a compiler on this machine must not stop the run
            say_once(f"not compiled, running eagerly: {first_line(error)}")
            return "eager", eager()
    if products and config.execution.compile == "on":
        say_once(f"compiled with torch's own products, which are slower here ({products})")
    return "compiled (torch's own products)" if products else f"compiled ({used})", step


@cache
def say_once(line: str) -> None:
    """One line on stderr, once in a process: a sweep's runs would all say the same."""
    print(line, file=sys.stderr)
