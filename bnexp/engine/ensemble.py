"""Several runs of one arm trained as one vectorised program: each with its own seed, learning rate, batches and record.

Parameters, buffers and optimiser state live in stacked tensors, and every run's own tensors are views of its slice. So whoever
looks at a run (evaluation, probes, checkpoints) finds what it would find after a step of its own, and no run can disturb another:
one that diverges fills its own slice with NaN.

Legend: S runs side by side, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bnexp.data.augment import augment
from bnexp.engine.build import Experiment, prepare_weights
from bnexp.engine.device import is_convolutional
from bnexp.engine.graph import (
    PureStep,
    TrainingState,
    compiled,
    example_batch,
    num_passes,
    state_of,
    structure,
    trainable,
)
from bnexp.engine.journal import Journal, Ledger, Stopwatch
from bnexp.engine.loop import Looks, finished, freeze_before
from bnexp.engine.step import OnBatch, backend, graph_or, set_lr, wants_graph
from bnexp.models.blocks import freeze_norms
from bnexp.records.ended import Ended
from bnexp.schedule import lr_factor


@dataclass(frozen=True)
class Member:
    """One of the runs: what it trains, where it writes, how it is saved."""

    experiment: Experiment
    journal: Journal
    save: Callable[[int], None]


def train_together(members: Sequence[Member], watch: Stopwatch, resumed_at: int | None = None) -> list[Ended]:
    """What :func:`bnexp.engine.loop.train` does, for all members at once; how each ended, in their order.

    Args:
        members: runs that differ in nothing but seed and learning rate, all at the same step; none may stop at a goal.
        watch: of the whole; the members' journals each hold a share of it.
        resumed_at: the step of their checkpoints, whose looks are already on record.
    """
    experiments = [member.experiment for member in members]
    config = experiments[0].config
    steps = config.train.steps
    block = Block([Ledger(config.train.batch_size) for _ in members])
    looks = {
        place: Looks(member.experiment, member.journal, block.ledgers[place], member.save)
        for place, member in enumerate(members)
    }
    due = set[int]().union(*(look.steps for look in looks.values()))
    for experiment in experiments:
        experiment.model.train()
        if resumed_at is None:
            prepare_weights(experiment)
        freeze_before(experiment, resumed_at)
    execution, advance = pick_stacked_step(experiments, watch)
    next_batch = NextBatch(experiments)
    ended: dict[int, Ended] = {}

    for step in range(resumed_at or 0, steps + 1):
        if step in due and step != resumed_at:
            block.deal()
            for place, look in list(looks.items()):
                diverged_at = look.after(step)
                if diverged_at is not None:  # its slice trains on, unseen
                    ended[place] = Ended(status="diverged", step=diverged_at, execution=execution)
                    del looks[place]
        if step == steps or not looks:
            break
        if step == config.norm.freeze_after:
            for experiment in experiments:
                freeze_norms(experiment.model)
            frozen, advance = pick_stacked_step(experiments, watch)
            execution = execution if frozen == execution else f"{execution}, then {frozen}"
        factor = lr_factor(config.schedule, step, steps)
        for experiment in experiments:
            set_lr(experiment.optimizer, experiment.config.optimizer.lr * factor)
        block.add(*advance(*next_batch(), factor))

    return [ended.get(place) or finished(member.experiment, steps, execution) for place, member in enumerate(members)]


class Block:
    """Losses and counts of all members, kept as ``[S]`` tensors until somebody looks; then dealt to each member's ledger."""

    def __init__(self, ledgers: list[Ledger]) -> None:
        self.ledgers = ledgers
        self._losses: list[Tensor] = []
        self._correct: list[Tensor] = []

    def add(self, loss: Tensor, correct: Tensor) -> None:
        """Shape: both ``[S]``; the next step may write into them."""
        self._losses.append(loss.clone())
        self._correct.append(correct.clone())

    def deal(self) -> None:
        """Give each ledger what came since the last time."""
        if self._losses:
            losses, correct = torch.stack(self._losses, 1), torch.stack(self._correct, 1)
            for place, ledger in enumerate(self.ledgers):
                ledger.add(losses[place], correct[place])
            self._losses.clear()
            self._correct.clear()


def pays_together(experiment: Experiment) -> bool:
    """Whether runs like this one may train side by side: on a GPU convolutional ones may not, because ``vmap`` has no channels-last
    there.
    """
    return not (experiment.train.labels.is_cuda and is_convolutional(experiment.model))


def pick_stacked_step(experiments: Sequence[Experiment], watch: Stopwatch) -> tuple[str, StackedStep]:
    """The vectorised step and its name: one graph where that is asked for or pays for all runs together."""
    config, words = experiments[0].config, f"{len(experiments)} side by side"
    steps, on_gpu = config.train.steps * len(experiments), experiments[0].train.labels.is_cuda
    if not wants_graph(config, steps, on_gpu):
        return f"{words}, eager", StackedStep(experiments, None)

    def graph() -> tuple[StackedStep, str, str]:
        step = StackedStep(experiments, backend(config.train.steps, on_gpu))
        return step, step.products, step.kernels

    name, step = graph_or(lambda: StackedStep(experiments, None), graph, config, watch)
    return f"{words}, {name}", step


class StackedStep:
    """A callable ``(images, labels, factor) -> (loss, correct)`` that trains all runs by one step.

    From its making on, each run's parameters, buffers and optimiser state are views of one slice of stacked tensors.

    Args:
        experiments: the runs.
        backend: ``inductor``, ``traced`` for the graph as it was traced, or None: no graph, one operation after the other.

    Attributes:
        products, kernels: as of :class:`~bnexp.engine.graph.GraphStep`.

    Source: ``torch.func.stack_module_state`` and ``vmap``. Deviation: the stacks are made here, so that runs stay views of them.
    """

    def __init__(self, experiments: Sequence[Experiment], backend: str | None = "inductor") -> None:
        first = experiments[0]
        device = first.train.labels.device
        self._base_lr = torch.tensor([experiment.config.optimizer.lr for experiment in experiments], device=device)
        self._lr = torch.zeros_like(self._base_lr)
        step = PureStep(first.model, first.optimizer, num_passes(first), side_by_side=True)
        state = stack(experiments)
        self.products = self.kernels = ""
        self._advance: OnBatch = partial(step, state, first.prepare, self._lr)
        if backend:
            key = (len(experiments), *structure(first), backend)
            images, labels = (torch.stack([part] * len(experiments)) for part in example_batch(first))
            self._advance, self.products, self.kernels = compiled(
                lambda: step, key, state, first.prepare, self._lr, (images, labels)
            )

    def __call__(self, images: Tensor, labels: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        """Shape: images ``[S, B, C, H, W]`` bytes, labels ``[S, B]`` int64; loss and number of correct answers are ``[S]``."""
        torch.mul(self._base_lr, factor, out=self._lr)
        return self._advance(images, labels)


def stack(experiments: Sequence[Experiment]) -> TrainingState:
    """The runs' states in stacked tensors ``[S, ...]``; each run's own tensors become views of its slice."""
    states = [state_of(experiment.model, experiment.optimizer) for experiment in experiments]
    stacked = TrainingState(
        _stacks([state.parameters for state in states]),
        _stacks([state.buffers for state in states]),
        {name: _stacks([state.slots[name] for state in states]) for name in states[0].slots},
    )
    for place, experiment in enumerate(experiments):
        parameters = trainable(experiment.model)
        for parameter, whole in zip(parameters, stacked.parameters, strict=True):
            parameter.data = whole[place]
        for buffer, whole in zip(experiment.model.buffers(), stacked.buffers, strict=True):
            buffer.data = whole[place]
        for name, row in stacked.slots.items():
            for parameter, whole in zip(parameters, row, strict=True):
                experiment.optimizer.state[parameter][name] = whole[place]
    return stacked


def _stacks(rows: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    return [torch.stack(list(column)) for column in zip(*rows, strict=True)]


class NextBatch:
    """A callable ``() -> (images, labels)``: every run's next batch, each from its own order.

    The runs have the same training examples, so one run's copy serves all, and take their batches from the same place of an epoch:
    their orders are put side by side once an epoch, because 64 small pieces a step cost a GPU more than the step.
    """

    def __init__(self, experiments: Sequence[Experiment]) -> None:
        self._experiments = experiments
        self._epoch: Tensor | None = None
        self._order_SN = torch.empty(0)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """Shape: ``[S, B, C, H, W]`` bytes and ``[S, B]`` int64."""
        first, count = self._experiments[0], len(self._experiments)
        (start,) = {run.batches.advance() for run in self._experiments}
        if self._epoch is not first.batches.order_N:
            self._epoch = first.batches.order_N
            self._order_SN = torch.stack([run.batches.order_N for run in self._experiments])
        indices = self._order_SN[:, start : start + first.config.train.batch_size].flatten()
        images = first.train.images.index_select(0, indices)
        if first.config.dataset.crop or first.config.dataset.flip:
            pairs = zip(apart(images, count), self._experiments, strict=True)
            images = torch.cat([augment(batch, run.config.dataset, run.augmentation) for batch, run in pairs])
        return apart(images, count), apart(first.train.labels.index_select(0, indices), count)


def apart(tensor: Tensor, count: int) -> Tensor:
    """``[S * B, ...]`` as ``[S, B, ...]``."""
    return tensor.unflatten(0, (count, -1))
