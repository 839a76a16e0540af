"""Array files of other formats than .npz: which of a folder's are the training and the test part, and reading them as four arrays.

Formats are told by contents: tables of text, IDX, Parquet; CIFAR's binary version, which has no mark, by ``.bin`` and the size.

Legend: N examples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from bnexp.data.cifar_binary import num_labels, read_cifar
from bnexp.data.idx import idx_axes, read_idx
from bnexp.data.parquet import read_parquet
from bnexp.data.table import LAST, read_table
from bnexp.data.user_files import kind_of, memory_bytes, printable
from bnexp.errors import UserError
from bnexp.rng import numpy_stream

TABLE, IDX, CIFAR, PARQUET = "a table of text (CSV)", "an IDX file", "a file of CIFAR's binary version", "a Parquet table"

#: What the name of a file says about its part.
_PARTS = {"test": r"test|t10k", "val": r"val|dev", "train": r"train|data_batch"}

#: A number takes at least two signs in a table and four bytes in memory, which reading it needs twice.
_TEXT_TO_MEMORY = 4

Read = TypeVar("Read")

_TRAIN_AND_TEST = "call the files train... and test..., in a folder of their own: dataset=npz dataset.path=FOLDER"


@dataclass(frozen=True)
class Files:
    """Files of one format: those of the training part, those of the test part (often none), and what was left out."""

    kind: str
    train: tuple[Path, ...]
    test: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_files(place: Path) -> Files | None:
    """The files at a path: of a folder all of one format, of a single IDX file or CIFAR batch its companions too.

    None where no file is of a format that is read here.

    Raises:
        UserError: files of several formats, or names that do not say which are to be trained on.
        OSError: the path cannot be read.
    """
    if place.is_file():
        kind = _format(place)
        if kind in (TABLE, PARQUET):
            return Files(kind, (place,), ())
        candidates = {file: kind for file in _plain(place.parent) if kind and _format(file) == kind}
    else:
        candidates = {file: kind for file in _plain(place) if (kind := _format(file))}
    kinds = sorted(set(candidates.values()))
    if not kinds:
        return None
    if len(kinds) > 1:
        raise UserError(
            f"{place.name} holds files of several formats: {', '.join(kinds)}",
            got=", ".join(printable(file.name) for file in list(candidates)[:8]),
            todo="dataset=npz dataset.path=FILE, or a folder for each format",
        )
    return _by_part(kinds[0], list(candidates))


def _plain(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _format(file: Path) -> str:
    if idx_axes(file):
        return IDX
    if num_labels(file):
        return CIFAR
    kind = kind_of(file)
    return kind if kind in (TABLE, PARQUET) else ""


def _by_part(kind: str, files: Sequence[Path]) -> Files:
    parts: dict[str, list[Path]] = {}
    for file in files:
        said = [part for part, words in _PARTS.items() if re.search(words, file.name.lower())]
        parts.setdefault(said[0] if len(said) == 1 else "", []).append(file)
    if "train" not in parts and len(files) == 1:
        parts = {"train": list(files)}
    if "train" not in parts or (kind == TABLE and any(len(parts.get(part, ())) > 1 for part in ("train", "test"))):
        raise UserError(
            "the names of these files do not say which one is the training part",
            got=", ".join(printable(file.name) for file in files[:8]),
            todo=_TRAIN_AND_TEST,
        )
    left = [printable(file.name) for part in ("", "val") for file in parts.get(part, ())]
    notes = (f"{', '.join(left[:8])} left out",) if left else ()
    return Files(kind, tuple(parts["train"]), tuple(parts.get("test", ())), notes)


def read_files(files: Files) -> tuple[dict[str, np.ndarray], list[str]]:
    """x_train, y_train, x_test and y_test, and sentences about what was taken for what.

    Where there is no test part, or none with labels, a fifth of each class is drawn, the same at every seed, which is said.

    Raises:
        UserError: a file that is damaged, has no labels, or holds pictures of another size than its companions.
    """
    x_train, y_train, notes = _part(files, files.train)
    notes = [*files.notes, *notes]
    if y_train is None:
        raise UserError("the training part has no labels", got=files.train[0], todo=_TRAIN_AND_TEST)
    last = LAST in notes
    x_test, y_test, test_notes = _part(files, files.test, x_train, last) if files.test else (None, None, [])
    notes += [note for note in test_notes if note not in notes]
    if x_test is not None and y_test is not None:
        return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}, notes
    if x_test is not None:
        notes.append(f"{', '.join(file.name for file in files.test)} left out, because it has no labels")
    for_test = _fifth(y_train)
    if not for_test.any():
        raise UserError(
            "no label occurs twice, so that no test part can be drawn: numbers of the rows?",
            got=f"{len(y_train)} labels in {len(y_train)} rows of {files.train[0].name}",
            todo="the class of each picture in the first column, or in one called label",
        )
    notes.append(f"no test part with labels: a fifth of each class drawn for testing, {for_test.sum():,} of {len(for_test):,}")
    kept = {"x_train": x_train[~for_test], "y_train": y_train[~for_test]}
    return {**kept, "x_test": x_train[for_test], "y_test": y_train[for_test]}, notes


def _fifth(y_N: np.ndarray) -> np.ndarray:
    """Which examples are drawn, ``[N]`` of bool; of each class with two or more at least one."""
    drawn = np.zeros(len(y_N), bool)
    for name in np.unique(y_N):
        places = numpy_stream(0, f"data npz/{name}").permutation(np.flatnonzero(y_N == name))
        drawn[places[: max(len(places) // 5, int(len(places) > 1))]] = True
    return drawn


def _part(
    files: Files, chosen: Sequence[Path], like: np.ndarray | None = None, last: bool = False
) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Pictures and labels of one part; labels None in a table without any."""
    size = sum(file.stat().st_size for file in chosen) * (_TEXT_TO_MEMORY if files.kind == TABLE else 1)
    if size > memory_bytes() // 2:
        raise UserError(
            f"the pictures take {size / 1e9:.0f} GB in memory, more than half of what this machine has",
            got=chosen[0],
            todo="save fewer or smaller pictures",
        )
    if files.kind == IDX:
        pictures, labels = _pair(chosen)
        return _guarded(files, pictures, read_idx), _guarded(files, labels, read_idx), []
    if files.kind == TABLE:
        return _guarded(files, chosen[0], lambda file: read_table(file, None if like is None else like.shape[1], last))
    read = [_guarded(files, file, read_cifar if files.kind == CIFAR else read_parquet) for file in chosen]
    shapes: Mapping[tuple[int, ...], Path] = {x.shape[1:]: file for (x, _), file in zip(read, chosen, strict=True)}
    if len(shapes) > 1:
        raise UserError(
            "files of one part hold pictures of several sizes",
            got=", ".join(f"{file.name} {list(shape)}" for shape, file in shapes.items()),
            todo="save them with one size, or leave some out",
        )
    return np.concatenate([x for x, _ in read]), np.concatenate([y for _, y in read]), []


def _guarded(files: Files, file: Path, read: Callable[[Path], Read]) -> Read:
    try:
        return read(file)
    except UserError:
        raise
    except Exception as error:  # whatever gzip, numpy, pyarrow and Pillow make of a damaged or hostile file
        why = printable((str(error) or type(error).__name__).splitlines()[0][:200])
        raise UserError(
            f"{file.name} is {files.kind} that cannot be read: {why}", got=file, todo="download or save it again"
        ) from error


def _pair(chosen: Sequence[Path]) -> tuple[Path, Path]:
    """The file of pictures and the file of labels of a part."""
    pictures, labels = ([file for file in chosen if (idx_axes(file) == 1) == flat] for flat in (False, True))
    if len(pictures) == len(labels) == 1:
        return pictures[0], labels[0]
    raise UserError(
        f"a part of IDX files is one file of pictures and one of labels, not {len(pictures)} and {len(labels)}",
        got=", ".join(printable(file.name) for file in chosen[:8]),
        todo="a folder with the four files of one data set: dataset=npz dataset.path=FOLDER",
    )
