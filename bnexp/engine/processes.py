"""One run on several processes, which share every batch: torch's ``DistributedDataParallel`` around the eager step.

Each process draws the same batches and passes its own part of each; gradients are averaged, so that all make the same update.
Process 0 alone looks at the run, and its buffers are everybody's at the next step. Outside of :func:`joined` there is one process,
and what it tells others it tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from bnexp.config.processes import launch_command, launched
from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import Experiment
from bnexp.engine.step import step_on
from bnexp.errors import UserError
from bnexp.norms.sync import shared_batch
from bnexp.probes.base import guest

Value = TypeVar("Value")


class Lost(KeyboardInterrupt):
    """Another process of this run is gone, and without it there is no next step."""


@contextmanager
def joined(config: ExperimentConfig) -> Iterator[ExperimentConfig]:
    """Meet the other processes of a run with ``execution.ddp``; gives the config with this process's own device.

    Raises:
        UserError: nobody started the processes, or another number of them.
        Lost: one is gone before all have met.
    """
    wanted, here = config.execution.ddp, launched()
    if not wanted:
        yield config
        return
    if here is None or here.size != int(wanted):
        got = f"execution.ddp={wanted}, {'one process' if here is None else f'{here.size} processes'}"
        raise UserError(
            "a run on several processes has to be started by torchrun with as many",
            got=got, todo=f"{launch_command(int(wanted))}, or execution.ddp=false",
        )  # fmt: skip
    gpu = config.device.startswith("cuda") or (config.device == "auto" and torch.cuda.is_available())
    with _together():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo")
    try:
        yield replace(config, device=f"cuda:{here.local}") if gpu else config
    finally:
        distributed.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """What is done with other processes: one that is gone stops this one too, in an orderly way."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "/gloo/" in str(error):
            raise Lost("another process of the run is gone") from error
        raise


def share_refusal(refusal: UserError | None) -> None:
    """Every process is ready, or says why it is not.

    Raises:
        UserError: the first process's that refused.
    """
    if not distributed.is_initialized():
        return
    found: list[Any] = [None] * distributed.get_world_size()
    with _together():
        distributed.all_gather_object(found, refusal and (refusal.what, refusal.got, refusal.todo))
    for rank, words in enumerate(found):
        if words:
            raise UserError(f"process {rank}: {words[0]}", got=words[1], todo=words[2])


def told(value: Value) -> Value:
    """What process 0 was given, in every process."""
    if not distributed.is_initialized():
        return value
    values = [value]
    with _together():
        distributed.broadcast_object_list(values)
    return values[0]


def any_of(flag: bool) -> bool:
    """Whether ``flag`` is true in any process."""
    if not distributed.is_initialized():
        return flag
    found = torch.tensor(int(flag))
    with _together():
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return bool(found)


class SharedStep:
    """A callable ``indices -> (loss, correct)`` of the whole batch, of which this process passes its part.

    Process r takes the r-th part of each micro-batch, so that where norms see no more than an example, or the whole batch
    (``norm=sync``), the update is that of one process up to rounding. Buffers are those of process 0, as
    ``DistributedDataParallel`` has it. Gradients are added up in the same order at every step, the first one after a checkpoint
    too: torch settles that order after one pass, and the first pass here leaves nothing else behind.

    Args:
        experiment: the run, the same in every process.
    """

    def __init__(self, experiment: Experiment) -> None:
        self._rank, self._size = distributed.get_rank(), distributed.get_world_size()
        train = experiment.config.train
        self._num_passes = train.batch_size // train.pass_size
        with _together():
            model = DistributedDataParallel(experiment.model)
            self._whole, self._share = experiment, replace(experiment, model=model)
            some = experiment.train.images[: train.pass_size // self._size]
            with guest(experiment.model, [experiment.noise]), shared_batch():
                model(experiment.prepare(some)).sum().backward()

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: indices ``[B]`` int64; loss and number of correct answers are ``[]``."""
        images, labels = self._whole.training_examples(indices, self._whole.augmentation)
        with _together():
            with shared_batch():
                loss, correct = step_on(self._share, self._part(images), self._part(labels))
            found = torch.stack([loss.double(), correct.double()])
            distributed.all_reduce(found)
        return (found[0] / self._size).to(loss.dtype), found[1].to(correct.dtype)

    def _part(self, whole: Tensor) -> Tensor:
        return whole.unflatten(0, (self._num_passes, self._size, -1))[:, self._rank].flatten(0, 1)
