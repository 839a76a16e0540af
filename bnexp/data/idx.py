"""MNIST's own format (IDX), plain or packed with gzip, whatever the files are called.

Source: LeCun, Cortes & Burges, "The MNIST database", section "File formats": two zero bytes, the type, the number of axes, the
length of each axis as four bytes, the most significant first, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bnexp.data.user_files import memory_bytes

#: The type "unsigned byte", the only one that pictures and labels come in.
_BYTES = 8


def idx_axes(file: Path) -> int:
    """1 for labels, 3 (or 4) for pictures; 0 for a file that is no IDX file of bytes."""
    try:
        with _opened(file) as stream:
            start = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return 0
    return start[3] if len(start) == 4 and start[:3] == bytes((0, 0, _BYTES)) and start[3] in (1, 3, 4) else 0


def read_idx(file: Path) -> np.ndarray:
    """The array, uint8, of the shape the file states.

    Raises:
        ValueError: it is longer or shorter than it states, or larger than half of the memory.
        OSError, EOFError: it cannot be read, or the packing is damaged.
    """
    with _opened(file) as stream:
        axes = stream.read(4)[3]
        shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
        size = math.prod(shape)
        if size > memory_bytes() // 2:
            raise ValueError(f"it states {size / 1e9:.0f} GB, more than half of the memory")
        content = stream.read(size)
        if len(content) != size or stream.read(1):
            raise ValueError(f"it states {list(shape)} and holds {'more' if len(content) == size else f'{len(content):,} bytes'}")
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    """The contents, unpacked where they are packed."""
    with file.open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield unpacked
        else:
            yield stream
