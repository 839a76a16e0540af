"""A user's own images in one .npz file with the names Keras uses: x_train, y_train, x_test, y_test.

Legend: N examples, C channels, H W space, K classes.
"""

from __future__ import annotations

import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from bnexp.data.part import Part
from bnexp.data.source import Source, register
from bnexp.data.user_path import find_user_file
from bnexp.errors import UserError

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_LAYOUTS = "[N, H, W], [N, H, W, 1] or [N, H, W, 3]"


def fingerprint(data_dir: Path, *, path: str | None) -> str:
    """Hash of the file's bytes."""
    file = find_user_file("npz", data_dir, path)
    facts = file.stat()
    return _hash_of(file, facts.st_mtime_ns, facts.st_size)


@lru_cache
def _hash_of(file: Path, mtime_ns: int, num_bytes: int) -> str:  # noqa: ARG001 - they key the memory: planning asks once a run
    with file.open("rb") as stream:
        digest = hashlib.blake2b(digest_size=16)
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@register("npz", fingerprint=fingerprint)
def load(data_dir: Path, *, path: str | None) -> Source:
    """The arrays of the file at ``path`` (looked for in the working folder, then in ``data_dir``).

    Shape: x ``[N, H, W]`` (grey), ``[N, H, W, 1]`` or ``[N, H, W, 3]`` uint8 in 0..255; y ``[N]`` or ``[N, 1]``, any
    integer type, 0..K-1 with every class present in y_train.

    Raises:
        UserError: no such file, a missing array, or an array of another type, shape or range; the message says which.
    """
    file = find_user_file("npz", data_dir, path)
    arrays = _read(file)
    train_labels, test_labels = _labels(arrays, "train"), _labels(arrays, "test")
    train_images, test_images = _images(arrays, "x_train"), _images(arrays, "x_test")
    num_classes = _count_classes(train_labels, test_labels)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            "x_train and x_test must hold images of one size and number of channels",
            got=f"x_train {list(arrays['x_train'].shape)}, x_test {list(arrays['x_test'].shape)}",
            todo="save both with the same [H, W, C]",
        )
    return Source(Part(train_images, train_labels), Part(test_images, test_labels), num_classes)


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        if not zipfile.is_zipfile(file):
            raise ValueError("not a zip archive")
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            held = list(archive)
            arrays = {key: archive[key] for key in _KEYS if key in held}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(
            f"dataset.path is not an .npz file of plain arrays: {error}",
            got=file,
            todo="np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        ) from error
    if missing := [key for key in _KEYS if key not in arrays]:
        raise UserError(
            f"{file.name} lacks {', '.join(missing)}",
            got=f"it holds {', '.join(held) or 'nothing'}",
            todo="np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
    return arrays


def _images(arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    """``[N, C, H, W]``, contiguous."""
    x = arrays[key]
    if x.dtype != np.uint8:
        raise UserError(
            f"{key} must hold uint8 pixels 0..255",
            got=f"{x.dtype} {list(x.shape)}",
            todo=f"{key} = {key}.astype(np.uint8)   (times 255 and rounded first if the pixels are 0..1)",
        )
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[3] not in (1, 3) or 0 in x.shape:
        raise UserError(
            f"{key} must be {_LAYOUTS}",
            got=list(arrays[key].shape),
            todo=f"{key} = {key}.transpose(0, 2, 3, 1) if it is [N, C, H, W]",
        )
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def _labels(arrays: dict[str, np.ndarray], part: str) -> np.ndarray:
    """``[N]`` int64, as many as there are images."""
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    one_column = y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)
    if not one_column or not np.issubdtype(y.dtype, np.integer):
        raise UserError(
            f"y_{part} must hold whole numbers, [N] or [N, 1]",
            got=f"{y.dtype} {list(y.shape)}",
            todo=f"y_{part} = y_{part}.argmax(1) if it is one-hot",
        )
    if x.ndim == 0 or len(y) != len(x):
        raise UserError(
            f"x_{part} and y_{part} must have one label for each image",
            got=f"x_{part} {list(x.shape)}, y_{part} {list(y.shape)}",
            todo="save images and labels of the same examples",
        )
    return y.reshape(-1).astype(np.int64)


def _count_classes(train_labels: np.ndarray, test_labels: np.ndarray) -> int:
    present = np.unique(train_labels)
    num_classes = len(present)
    if not np.array_equal(present, np.arange(num_classes)):
        raise UserError(
            f"y_train has {num_classes} different labels, which must be 0..{max(num_classes - 1, 0)}",
            got=f"labels from {present.min()} to {present.max()}" if num_classes else "no labels",
            todo="names, y_train = np.unique(y_train, return_inverse=True); y_test = np.searchsorted(names, y_test)",
        )
    if len(test_labels) == 0 or test_labels.min() < 0 or test_labels.max() >= num_classes:
        raise UserError(
            f"y_test must hold classes of y_train, 0..{num_classes - 1}",
            got=f"labels from {test_labels.min()} to {test_labels.max()}" if len(test_labels) else "no labels",
            todo="leave examples of unknown classes out of x_test and y_test",
        )
    return num_classes
