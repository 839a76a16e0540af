"""The beginning of CIFAR-10: enough colour photographs for short runs of small nets on a CPU, and quick to evaluate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnexp.config.checks import whole
from bnexp.data.cache import cached
from bnexp.data.official import OFFICIAL
from bnexp.data.source import SOURCES, Part, Source, array_checksum, register
from bnexp.errors import UserError

#: Its arrays are those of the official files: ``x_train`` and ``x_test`` ``[N, 32, 32, 3]``, ``y_train`` and ``y_test`` ``[N]``.
FILE = "cifar10.npz"
NUM_TEST = 1000

#: Of the first 1,000 training and the first 1,000 test pictures with their classes, as :func:`_parts` makes them.
CHECKSUM = "a5cedf14f633db9f81334ece401088bb"


def available(data_dir: Path) -> bool:
    """Whether the pictures are on this machine."""
    forms = OFFICIAL["cifar10"].forms
    kept = (data_dir / FILE, data_dir / "cache" / "cifar10.npz")
    return any(file.is_file() for file in kept) or any(all((data_dir / one.path).is_file() for one in form) for form in forms)


@register("cifar10_part", here=available, of="cifar10")
def load(data_dir: Path, *, first: int) -> Source:
    """The first pictures of CIFAR-10's training set, to train and validate on, and the first 1,000 of its test set, in their order.

    Shape: images ``[N, 3, 32, 32]``.

    Args:
        data_dir: where the official files are, or ``cifar10.npz`` with the same pictures.
        first: how many training pictures.

    Source: Krizhevsky 2009. Deviation: a part of both sets, so that accuracies are not comparable with published ones.

    Raises:
        UserError: neither is there, or they are not the official pictures.
    """
    whole("dataset.first", first, least=NUM_TEST, example=6000)
    return cached(data_dir, f"cifar10_part_{first}", lambda: _parse(data_dir, first))


def _parse(data_dir: Path, first: int) -> Source:
    train, test = _parts(data_dir)
    if first > len(train):
        raise UserError("CIFAR-10 has fewer training pictures", got=f"dataset.first={first}", todo=f"dataset.first={len(train)}")
    train, test = (part.take(np.arange(size)) for part, size in ((train, first), (test, NUM_TEST)))
    start = train.take(np.arange(NUM_TEST))
    found = array_checksum(start.images, start.labels, test.images, test.labels)
    if found != CHECKSUM:
        raise UserError(
            f"{data_dir / FILE} does not begin with the pictures of CIFAR-10",
            got=f"checksum {found}",
            todo="bnexp data fetch cifar10, with that file out of the way",
        )
    return Source(train, test, 10)


def _parts(data_dir: Path) -> tuple[Part, Part]:
    file = data_dir / FILE
    if not file.is_file():
        whole_set = SOURCES["cifar10"].load(data_dir)
        return whole_set.train, whole_set.test
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return _part(arrays["x_train"], arrays["y_train"]), _part(arrays["x_test"], arrays["y_test"])
    except (OSError, ValueError, KeyError) as error:
        todo = "bnexp data fetch cifar10, with that file out of the way"
        raise UserError(f"{file} cannot be read", got=str(error), todo=todo) from error


def _part(images_NHWC: np.ndarray, labels_N: np.ndarray) -> Part:
    return Part(np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2)), labels_N.astype(np.int64))
