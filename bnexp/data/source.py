"""Where examples come from: what a source returns, and the registry that ``dataset=NAME`` looks into.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.config.checks import check_options
from bnexp.config.schema import DatasetConfig
from bnexp.registry import Registry


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their labels.

    Shape: images ``[N, C, H, W]`` uint8 in 0..255, contiguous; labels ``[N]`` int64.

    Raises:
        ValueError: anything else; a source that builds such a part has a bug.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or not images.flags.c_contiguous:
            raise ValueError(f"images must be contiguous uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(images)}], not {labels.dtype} {list(labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices_M: np.ndarray) -> Part:
        """The examples at ``indices_M``, in that order, as a copy."""
        return Part(self.images[indices_M], self.labels[indices_M])

    def padded(self, pixels: int) -> Part:
        """The same examples with ``pixels`` zero pixels on each side."""
        if pixels == 0:
            return self
        return Part(np.pad(self.images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels))), self.labels)


@dataclass(frozen=True, eq=False)
class Source:
    """What a source knows: its own training and test part, and how many classes there are.

    Attributes:
        facts: what the record says besides, of a user's own data: ``classes`` (their names, in the order of the labels),
            ``notes`` (sentences about what was converted, resized or left out, which are also told once on stderr), ...

    Raises:
        ValueError: parts that do not fit each other; a source that returns them has a bug.
    """

    train: Part
    test: Part
    num_classes: int
    facts: Mapping[str, Any] = field(default_factory=dict)

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
        here: ``here(data_dir)``: whether ``load`` needs no network; None where it never does, or where that is the user's to know.
        of: the data set whose official files it is made of, where these are not its own.
    """

    load: Callable[..., Source]
    fingerprint: Callable[..., str] | None = None
    here: Callable[[Path], bool] | None = None
    of: str = ""


SOURCES: Registry[SourceSpec] = Registry("dataset")


def register(
    name: str, *, fingerprint: Callable[..., str] | None = None, here: Callable[[Path], bool] | None = None, of: str = ""
) -> Callable[[Callable[..., Source]], Callable[..., Source]]:
    """Register a load function as ``dataset=name``."""

    def add(load: Callable[..., Source]) -> Callable[..., Source]:
        SOURCES.add(name, SourceSpec(load=load, fingerprint=fingerprint, here=here, of=of))
        return load

    return add


_told: set[str] = set()


def tell(note: str) -> None:
    """Say it on stderr, once in a program: of a sweep's processes only the main one and its first worker speak."""
    if note not in _told and multiprocessing.current_process().name.partition("-")[2] in ("", "1"):
        _told.add(note)
        print(f"note: {note}", file=sys.stderr)


def load_source(config: DatasetConfig, data_dir: Path) -> Source:
    """The source a config asks for.

    Raises:
        UserError: unknown data set, wrong option, files that are missing, damaged or not as they must be.
    """
    spec = SOURCES[config.name]
    source = spec.load(data_dir, **check_options("dataset", config.name, spec.load, config.options))
    for note in source.facts.get("notes", ()):
        tell(f"dataset={config.name}: {note}")
    return source


def data_fingerprint(config: DatasetConfig, data_dir: Path, known: dict[str, str] | None = None) -> str:
    """Hash of the user's own files behind a config; ``""`` for built-in data sets. Imports no torch.

    Args:
        known: the answers so far of a plan or a sweep, which looks at each file once, not once a run.

    Raises:
        UserError: as :func:`load_source`, as far as it can be known without reading the images.
    """
    spec = SOURCES[config.name]
    options = check_options("dataset", config.name, spec.load, config.options)
    if spec.fingerprint is None:
        return ""
    known, key = {} if known is None else known, repr((config.name, sorted(options.items()), data_dir))
    if key not in known:
        known[key] = spec.fingerprint(data_dir, **options)
    return known[key]
