"""An order of examples in which every stretch has the class proportions of the whole.

Legend: N examples, K classes.
"""

from __future__ import annotations

import numpy as np


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
