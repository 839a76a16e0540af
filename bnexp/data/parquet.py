"""A Parquet table of pictures, as Hugging Face's data sets come: a column of picture files and one of labels; needs pyarrow.

Legend: N pictures, H W space, C channels.
"""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from bnexp.data.table import LABELS
from bnexp.data.user_files import memory_bytes
from bnexp.errors import UserError

PICTURES = ("image", "img", "picture", "images")

#: CIFAR-100 has two columns of labels; the classes are the fine ones.
_LABELS = (*LABELS, "fine_label")

_ROWS = 256


def read_parquet(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures ``[N, H, W]`` (all grey) or ``[N, H, W, 3]`` uint8 and labels ``[N]``.

    Raises:
        UserError: pyarrow is not installed, no such columns, or two of them.
        ValueError, OSError: damaged contents, pictures of several sizes, more than half of the memory.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            f"{file.name} is a Parquet table, and pyarrow, which reads them, is not installed",
            got=file,
            todo=f"{sys.executable} -m pip install pyarrow",
        )
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as table:
        names = table.schema_arrow.names
        image, label = (_column(file, names, wanted, what) for wanted, what in ((PICTURES, "picture"), (_LABELS, "label")))
        images: np.ndarray | None = None
        labels: list[Any] = []
        for index, (content, value) in enumerate(_rows(table, image, label)):
            pixels = _pixels(content)
            if images is None:
                shape = (table.metadata.num_rows, *pixels.shape)
                if np.prod(shape, dtype=float) > memory_bytes() // 2:
                    raise ValueError(f"its pictures take {np.prod(shape, dtype=float) / 1e9:.0f} GB, more than half of the memory")
                images = np.empty(shape, np.uint8)
            if pixels.shape != images.shape[1:]:
                raise ValueError(f"pictures of several kinds, {list(images.shape[1:])} and {list(pixels.shape)}")
            images[index] = pixels
            labels.append(value)
    if images is None or None in labels:
        raise ValueError("it holds no rows" if images is None else "some of its rows have no label")
    return images, np.array(labels)


def _column(file: Path, names: list[str], wanted: tuple[str, ...], what: str) -> str:
    found = [name for name in names if name.lower() in wanted]
    if len(found) == 1:
        return found[0]
    said = f"{len(found)} columns that could be the {what}" if found else f"no column called {', '.join(wanted)}"
    raise UserError(
        f"{file.name} has {said}",
        got=f"columns {', '.join(names[:12])}",
        todo=f"table.rename_columns(...) so that one column alone is called {wanted[0]}",
    )


def _rows(table: Any, image: str, label: str) -> Iterator[tuple[Any, Any]]:
    """Contents of the picture's file and label, row by row, of few rows at a time."""
    for batch in table.iter_batches(_ROWS, columns=[image, label]):
        for row in batch.to_pylist():
            held = row[image]
            yield held.get("bytes") if isinstance(held, dict) else held, row[label]


def _pixels(content: Any) -> np.ndarray:
    """``[H, W]`` of a grey picture, ``[H, W, 3]`` of any other."""
    if not isinstance(content, bytes):
        raise ValueError("its pictures are not files inside the table (they may be paths, or arrays)")
    with Image.open(io.BytesIO(content)) as opened:
        image = ImageOps.exif_transpose(opened)
        return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
