"""A data set as a run uses it: three disjoint parts in memory, drawn once and the same for every seed.

Legend: N examples, V validation, M training, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.config.schema import DatasetConfig
from bnexp.data.source import SOURCES, Part, array_checksum, load_source, tell
from bnexp.errors import UserError
from bnexp.rng import numpy_stream


@dataclass(frozen=True, eq=False, kw_only=True)
class Splits:
    """Training, validation and test part of one data set.

    Every prefix of ``train`` and of ``validation`` has the class proportions of the whole, so
    ``validation.images[:n]`` is a fair small sample. ``test`` keeps the source's order.

    Attributes:
        checksum: hash of the source's contents and of which examples went where; equal if and only if the parts are.
        facts: what the record says of a user's own data: the source's facts, and ``counts`` by split and class; else nothing.
    """

    train: Part
    validation: Part
    test: Part
    num_classes: int
    checksum: str
    facts: Mapping[str, Any]


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
    train, validation = source.train.take(train_M), source.train.take(validation_V)
    parts = {"train": train, "validation": validation, "test": source.test}
    counts = {name: np.bincount(part.labels, minlength=source.num_classes).tolist() for name, part in parts.items()}
    if absent := counts["train"].count(0):
        tell(f"dataset={config.name}: {absent} of {source.num_classes} classes have no training example")
    own = SOURCES[config.name].fingerprint is not None
    splits = Splits(
        train=train.padded(config.pad),
        validation=validation.padded(config.pad),
        test=source.test.padded(config.pad),
        num_classes=source.num_classes,
        checksum=array_checksum(
            np.frombuffer(source.checksum.encode(), np.uint8), validation_V, train_M, np.array(config.pad)
        ),
        facts={**source.facts, "counts": counts} if own else {},
    )
    smallest = min(splits.train.images.shape[2:])
    if config.crop >= smallest:
        raise UserError(
            f"dataset.crop shifts by up to that many pixels and must be less than the image's {smallest}",
            got=f"dataset.crop={config.crop}",
            todo=f"dataset.crop={max(1, smallest // 8)}",
        )
    return splits


def stratified_order(labels_N: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A random order of ``0..N-1`` whose every prefix is as balanced as the whole.

    The j-th of the ``n`` examples of a class (in random order) gets the key ``(j + 1/2) / n``; sorting by key spreads
    each class evenly. So a validation split, a subset and a larger subset are nothing but prefixes and stretches of
    one order: disjoint, stratified and nested by construction.

    Shape: labels ``[N]`` in 0..K-1; returns ``[N]`` int64.

    Example:
        >>> labels = np.array([0, 0, 0, 0, 1, 1])
        >>> labels[stratified_order(labels, np.random.default_rng(0))].tolist()
        [0, 1, 0, 0, 1, 0]
    """
    shuffled_N = generator.permutation(len(labels_N))
    by_class_N = shuffled_N[np.argsort(labels_N[shuffled_N], kind="stable")]
    classes_N = labels_N[by_class_N]
    counts_K = np.bincount(labels_N)
    first_K = np.cumsum(counts_K) - counts_K
    keys_N = (np.arange(len(labels_N)) - first_K[classes_N] + 0.5) / counts_K[classes_N]
    return by_class_N[np.lexsort((classes_N, keys_N))]


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
