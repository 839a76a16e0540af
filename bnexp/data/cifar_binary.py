"""CIFAR's binary version: rows of one label (CIFAR-100: a coarse and a fine one) and 3 x 32 x 32 bytes.

Source: Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnexp.data.user_files import memory_bytes

_PIXELS = 3 * 32 * 32


def num_labels(file: Path) -> int:
    """Labels of a row: 1, 2, or 0 where the file is not of this format."""
    size = file.stat().st_size if file.suffix.lower() == ".bin" else 0
    return next((labels for labels in (1, 2) if size and size % (_PIXELS + labels) == 0), 0)


def read_cifar(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures ``[N, 3, 32, 32]`` uint8 and labels ``[N]``, of two the fine one.

    Raises:
        ValueError: a label beyond 0..9 (of two 0..99), or a file larger than half of the memory.
    """
    labels = num_labels(file)
    if file.stat().st_size > memory_bytes() // 2:
        raise ValueError("it is larger than half of the memory")
    rows = np.fromfile(file, np.uint8).reshape(-1, _PIXELS + labels)
    if (top := rows[:, labels - 1].max()) >= (10, 100)[labels - 1]:
        raise ValueError(f"a label is {top}, beyond CIFAR's {(10, 100)[labels - 1]} classes")
    return rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1]
