"""Where examples come from: what a source returns, and the registry that ``dataset=NAME`` looks into."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bnexp.config.checks import check_options
from bnexp.config.schema import DatasetConfig
from bnexp.data.part import Part
from bnexp.registry import Registry


@dataclass(frozen=True, eq=False)
class Source:
    """What a source knows: its own training and test part, and how many classes there are.

    Raises:
        ValueError: parts that do not fit each other; a source that returns them has a bug.
    """

    train: Part
    test: Part
    num_classes: int

    def __post_init__(self) -> None:
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise ValueError(
                f"train and test images differ: {self.train.images.shape[1:]}, {self.test.images.shape[1:]}"
            )
        for part in (self.train, self.test):
            if len(part) == 0 or part.labels.min() < 0 or part.labels.max() >= self.num_classes:
                raise ValueError(f"labels must be in 0..{self.num_classes - 1} and there must be some")

    @cached_property
    def checksum(self) -> str:
        """Hash of every pixel and label."""
        return array_checksum(self.train.images, self.train.labels, self.test.images, self.test.labels)


def array_checksum(*arrays: np.ndarray) -> str:
    """Hash of the arrays' types, shapes and contents (blake2b, 16 bytes, hex)."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass(frozen=True, kw_only=True)
class SourceSpec:
    """A registered source.

    Attributes:
        load: ``load(data_dir, *, options...) -> Source``. The keyword-only parameters are the options of its YAML.
        fingerprint: the same parameters; a hash of the user's own files, without torch, so that a changed file makes
            a new run. None for a source whose contents are fixed by official checksums.
    """

    load: Callable[..., Source]
    fingerprint: Callable[..., str] | None = None


SOURCES: Registry[SourceSpec] = Registry("dataset")


def register(
    name: str, *, fingerprint: Callable[..., str] | None = None
) -> Callable[[Callable[..., Source]], Callable[..., Source]]:
    """Register a load function as ``dataset=name``."""

    def add(load: Callable[..., Source]) -> Callable[..., Source]:
        SOURCES.add(name, SourceSpec(load=load, fingerprint=fingerprint))
        return load

    return add


def load_source(config: DatasetConfig, data_dir: Path) -> Source:
    """The source a config asks for.

    Raises:
        UserError: unknown data set, wrong option, files that are missing, damaged or not as they must be.
    """
    spec = SOURCES[config.name]
    return spec.load(data_dir, **check_options("dataset", config.name, spec.load, config.options))


def data_fingerprint(config: DatasetConfig, data_dir: Path) -> str:
    """Hash of the user's own files behind a config; ``""`` for built-in data sets. Imports no torch.

    Raises:
        UserError: as :func:`load_source`, as far as it can be known without reading the images.
    """
    spec = SOURCES[config.name]
    options = check_options("dataset", config.name, spec.load, config.options)
    return spec.fingerprint(data_dir, **options) if spec.fingerprint else ""
