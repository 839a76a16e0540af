"""A data set as a run uses it: three disjoint parts in memory, drawn once and the same for every seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnexp.config.schema import DatasetConfig
from bnexp.data.part import Part
from bnexp.data.source import array_checksum, load_source
from bnexp.data.stratify import stratified_order
from bnexp.errors import UserError
from bnexp.rng import numpy_stream

__all__ = ["Part", "Splits", "load_splits"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Splits:
    """Training, validation and test part of one data set.

    Every prefix of ``train`` and of ``validation`` has the class proportions of the whole, so
    ``validation.images[:n]`` is a fair small sample. ``test`` keeps the source's order.

    Attributes:
        checksum: hash of the source's contents and of which examples went where; equal if and only if the parts are.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    num_classes: int
    checksum: str

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one example."""
        _, channels, height, width = self.train.images.shape
        return channels, height, width


def load_splits(config: DatasetConfig, data_dir: Path) -> Splits:
    """The parts a config asks for.

    The split is a property of the data, not of a run: it comes from stream ``split`` of seed 0. The validation part
    is the first ``validation_examples`` of one stratified order of the source's training examples and the training
    part is what follows, so ``train_examples=1000`` is contained in ``train_examples=2000``.

    Raises:
        UserError: more examples asked for than there are, a crop as large as the image, or anything the source refuses.
    """
    source = load_source(config, data_dir)
    _check_counts(config, len(source.train))
    order_N = stratified_order(source.train.labels, numpy_stream(0, "split"))
    end = len(order_N) if config.train_examples is None else config.validation_examples + config.train_examples
    validation_V, train_M = order_N[: config.validation_examples], order_N[config.validation_examples : end]
    splits = Splits(
        name=config.name,
        train=source.train.take(train_M).padded(config.pad),
        validation=source.train.take(validation_V).padded(config.pad),
        test=source.test.padded(config.pad),
        num_classes=source.num_classes,
        checksum=array_checksum(
            np.frombuffer(source.checksum.encode(), np.uint8), validation_V, train_M, np.array(config.pad)
        ),
    )
    _check_crop(config, splits.input_shape)
    return splits


def _check_counts(config: DatasetConfig, available: int) -> None:
    if config.validation_examples >= available:
        raise UserError(
            f"dataset.validation_examples leaves nothing to train on: dataset={config.name} has {available}"
            " training examples",
            got=f"dataset.validation_examples={config.validation_examples}",
            todo=f"dataset.validation_examples={max(1, available // 6)}",
        )
    left = available - config.validation_examples
    if config.train_examples is not None and config.train_examples > left:
        raise UserError(
            f"dataset.train_examples is more than the {left} that the validation split leaves of the {available}"
            f" training examples of dataset={config.name}",
            got=f"dataset.train_examples={config.train_examples}",
            todo=f"dataset.train_examples={left}, or null for all of them",
        )


def _check_crop(config: DatasetConfig, input_shape: tuple[int, int, int]) -> None:
    smallest = min(input_shape[1:])
    if config.crop >= smallest:
        raise UserError(
            f"dataset.crop shifts by up to that many pixels and must be less than the image's {smallest}",
            got=f"dataset.crop={config.crop}",
            todo=f"dataset.crop={max(1, smallest // 8)}",
        )
