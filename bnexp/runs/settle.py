"""What a config leaves to the data and to torchrun, in numbers: epochs as steps, a batch of all, the highest target as a goal, the
processes that share a run. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnexp.config.processes import launch_command, launched
from bnexp.config.schema import ALL, DatasetConfig, ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import load_source
from bnexp.errors import UserError
from bnexp.runs.dry import missing_data


def settled(config: ExperimentConfig, known: dict[str, int] | None = None) -> ExperimentConfig:
    """The same run with ``train.epochs`` as ``train.steps``, ``train.stop_at_target`` as ``train.stop_at_accuracy``,
    ``train.batch_size=all`` and ``execution.ddp=true`` as numbers; one process that shares a run with none is a run like any other.

    So two ways of asking for a run have one name. An epoch is as many whole batches as the training examples fill: one step where
    the batch is all of them.

    Args:
        config: as composed; one that is settled already comes back as it is.
        known: training examples by data set, of the runs that were asked about before.

    Raises:
        UserError: the data set cannot be read, or is smaller than one batch; or ``torchrun`` did not start this process, or not
            as many as divide the batch.
    """
    train, known = config.train, {} if known is None else known
    if train.stop_at_target:
        train = replace(train, stop_at_accuracy=max(train.targets), stop_at_target=False)
    if train.batch_size == ALL:
        train = replace(train, batch_size=max(1, _num_examples(config, known)))
    if train.epochs is not None:
        batches = _num_examples(config, known) // train.batch_size
        if not batches:
            raise UserError(
                "train.epochs has no meaning where the training examples do not fill one batch",
                got=f"train.batch_size={train.batch_size}",
                todo=f"train.batch_size={max(1, _num_examples(config, known) // 10)}",
            )
        train = replace(train, steps=max(1, round(train.epochs * batches)), epochs=None)
    config = config if train is config.train else replace(config, train=train)
    return _shared(config) if config.execution.ddp else config


def _shared(config: ExperimentConfig) -> ExperimentConfig:
    """``config`` with its number of processes, which divides its batch."""
    processes, train = config.execution.ddp, config.train
    if processes is True:
        here = launched()
        if here is None:
            raise UserError(
                "execution.ddp shares one run among the processes of torchrun, and this process was started alone",
                got="execution.ddp=true", todo=launch_command(2),
            )  # fmt: skip
        processes = here.size
        config = replace(config, execution=replace(config.execution, ddp=processes if processes > 1 else False))
    parts = processes * (train.batch_size // train.pass_size)
    if train.batch_size % parts:
        accumulate = f" train.accumulate={train.accumulate}" if parts > processes else ""
        raise UserError(
            f"every process takes an equal part of each batch, so that train.batch_size must be a multiple of {parts}",
            got=f"train.batch_size={train.batch_size}{accumulate} on {processes} processes",
            todo=f"train.batch_size={max(parts, round(train.batch_size / parts) * parts)}",
        )
    return config


def settle(configs: Sequence[ExperimentConfig], dry: bool = False) -> list[ExperimentConfig]:
    """Every run of a sweep as :func:`settled` gives it; a data set is read once, and with ``dry`` none is downloaded.

    Raises:
        UserError: as :func:`settled`; or a data set would have to be downloaded first.
    """
    for config in configs if dry else ():
        whole = config.train.batch_size == ALL
        if (whole or config.train.epochs is not None) and config.dataset.train_examples is None and missing_data(config):
            absent = " ".join(missing_data(config))
            what = "how many examples all are" if whole else "how many steps an epoch has"
            raise UserError(
                f"{what} is known once the data set is here, and a dry run downloads nothing",
                got=f"{'train.batch_size=all' if whole else f'train.epochs={config.train.epochs:g}'} dataset={config.dataset.name}",
                todo=f"bnexp data fetch {absent}, or {'dataset.train_examples=1000' if whole else 'train.steps=3000'}",
            )
    known: dict[str, int] = {}
    return [settled(config, known) for config in configs]


def _num_examples(config: ExperimentConfig, known: dict[str, int]) -> int:
    dataset: DatasetConfig = config.dataset
    if dataset.train_examples is not None:
        return dataset.train_examples
    key = repr((dataset.name, sorted(dataset.options.items()), config.data_dir))
    if key not in known:
        known[key] = len(load_source(dataset, resolve_data_dir(config.data_dir)).train)
    return max(known[key] - dataset.validation_examples, 0)
