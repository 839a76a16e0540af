"""Synthetic data sets: small, made on the spot, each image recognisable by its number."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnexp.config.schema import DatasetConfig
from bnexp.data.official import OFFICIAL, OfficialFile, OfficialSet


@pytest.fixture
def config() -> Callable[..., DatasetConfig]:
    """A dataset config: plain values, and those a test changes."""

    def make(name: str = "npz", **changes: Any) -> DatasetConfig:
        plain: dict[str, Any] = {
            "validation_examples": 20,
            "train_examples": None,
            "binarize": False,
            "standardize": "unit",
            "pad": 0,
            "flip": False,
            "crop": 0,
            "options": {},
        }
        return DatasetConfig(name=name, **{**plain, **changes})

    return make


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """100 training images (60, 30 and 10 a class) and 30 test images, 6x5, grey; pixel (0, 0) is the image's number."""
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    x_train = np.random.default_rng(1).integers(0, 256, (100, 6, 5), dtype=np.uint8)
    x_train[:, 0, 0] = np.arange(100)
    x_test = np.full((30, 6, 5), 200, np.uint8)
    return {"x_train": x_train, "y_train": labels, "x_test": x_test, "y_test": np.arange(30) % 3}


@pytest.fixture
def npz_file(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """These arrays as a file."""
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path / "images.npz"


def idx_bytes(array: np.ndarray) -> bytes:
    """An array in the IDX format of MNIST's files."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


class FakeMnist:
    """Four small IDX files that the table of official files is told to hold for ``mnist``.

    Attributes:
        plain: file name to decompressed contents.
        packed: file name to gzip contents.
        official: the entry of the table.
    """

    def __init__(self) -> None:
        rng = np.random.default_rng(2)
        self.images = {"train": rng.integers(0, 256, (40, 28, 28)), "t10k": rng.integers(0, 256, (20, 28, 28))}
        self.labels = {"train": np.arange(40) % 10, "t10k": np.arange(20) % 10}
        self.plain = {}
        for part in ("train", "t10k"):
            self.plain[f"{part}-images-idx3-ubyte.gz"] = idx_bytes(self.images[part])
            self.plain[f"{part}-labels-idx1-ubyte.gz"] = idx_bytes(self.labels[part])
        self.packed = {name: gzip.compress(data, mtime=1) for name, data in self.plain.items()}
        files = tuple(
            OfficialFile(f"MNIST/raw/{name}", hashlib.md5(data).hexdigest(), hashlib.md5(self.plain[name]).hexdigest())
            for name, data in self.packed.items()
        )
        self.official = OfficialSet(
            class_name="MNIST", num_classes=10, download_mb=1, forms=(files,)
        )

    def write(self, folder: Path, *names: str) -> None:
        """Put the files (all, or those named) below ``folder`` where torchvision has them."""
        for name in names or self.packed:
            file = folder / "MNIST" / "raw" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.packed[name])


@pytest.fixture
def fake_mnist(monkeypatch: pytest.MonkeyPatch) -> FakeMnist:
    """``dataset=mnist`` with 40 training and 20 test images."""
    fake = FakeMnist()
    monkeypatch.setitem(OFFICIAL, "mnist", fake.official)
    return fake


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No host answers."""

    def refused(*_: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("bnexp.data.torchvision_sets._download", refused)
