"""A user's own arrays: x_train, y_train, x_test, y_test in one .npz file, as Keras, MedMNIST and others name them; other formats.

Legend: N examples, C channels, H W space, K classes.
"""

from __future__ import annotations

import hashlib
import math
import re
import shlex
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.data.forms import read_labels, read_pixels
from bnexp.data.parts import Files, find_files, read_files
from bnexp.data.source import Part, Source, register
from bnexp.data.user_files import SAVE, doubles, find_user_path, kind_of, memory_bytes, printable, way_to_npz
from bnexp.errors import UserError

_KEYS = ("x_train", "y_train", "x_test", "y_test")

#: Words that a name may have for a part and for what is in it, after which nothing of the name may be left.
_PARTS = {"train": r"train(?:ing)?|tr", "test": r"test(?:ing)?|te", "val": r"val(?:id|idation)?|dev"}
_ROLES = {"x": r"x|images?|imgs?|data|pixels|inputs?|features", "y": r"y|labels?|targets?|class(?:es)?"}


def fingerprint(data_dir: Path, *, path: str | None) -> str:
    """Hash of the file's bytes; of several files the hash of theirs."""
    files = _find(data_dir, path)
    read = [files] if isinstance(files, Path) else [*files.train, *files.test]
    hashes = []
    for file in read:
        facts = file.stat()
        hashes.append(_hash_of(file, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino))
    return hashes[0] if len(hashes) == 1 else hashlib.blake2b(" ".join(hashes).encode(), digest_size=16).hexdigest()


@lru_cache
def _hash_of(file: Path, *_: int) -> str:
    """The other arguments key the memory: planning asks once a run."""
    with file.open("rb") as stream:
        digest = hashlib.blake2b(digest_size=16)
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@register("npz", fingerprint=fingerprint)
def load(data_dir: Path, *, path: str | None) -> Source:
    """The arrays of the file or the files at ``path`` (looked for in the working folder, then in ``data_dir``).

    Formats other than .npz: see :mod:`bnexp.data.parts`.

    What is read as what is in the source's facts. Only plain arrays are read: nothing in the file is executed.

    Shape: images and labels as :func:`bnexp.data.forms.read_pixels` and :func:`bnexp.data.forms.read_labels` take them.

    Raises:
        UserError: no such file, one of another kind or damaged, a missing array, or one that cannot be read without guessing.
    """
    files = _find(data_dir, path)
    arrays, notes = _read(files) if isinstance(files, Path) else read_files(files)
    file = files if isinstance(files, Path) else files.train[0]
    for part in ("train", "test"):
        _check_lengths(part, arrays)
    labels = read_labels(arrays["y_train"], arrays["y_test"])
    x_train, x_test, pixel_notes = read_pixels(arrays["x_train"], arrays["x_test"])
    several = isinstance(files, Files) and len(files.train + files.test) > 1
    train, test = Part(x_train, labels.train), Part(x_test, labels.test)
    notes += [*labels.notes, *pixel_notes, *doubles(train, test)]
    facts = {
        "classes": [printable(name) for name in labels.classes],
        "notes": [f"{file.name}{', ...' * several}: {note}" for note in notes],
    }
    return Source(train, test, len(labels.classes), facts)


def _find(data_dir: Path, path: str | None) -> Path | Files:
    """The .npz file, or files of the other formats that are read."""
    file = find_user_path("npz", data_dir, path)
    try:
        if files := find_files(file):
            return files
        kind = "" if file.is_dir() else kind_of(file)
    except OSError as error:
        raise UserError(
            f"dataset.path cannot be read: {error.strerror}",
            got=f"dataset.path={path}",
            todo=f"ls -l {shlex.quote(str(file))}",
        ) from error
    if file.is_dir():
        todo = f"dataset=npz dataset.path={path}/FILE, or dataset=image_folder for a folder of images"
        raise UserError(
            "dataset=npz needs a file, or a folder of tables (CSV), IDX files, Parquet tables or CIFAR's .bin files",
            got=f"dataset.path={path}, a folder without any of them",
            todo=todo,
        )
    if kind != "an .npz file":
        raise UserError(
            f"dataset=npz reads .npz files of NumPy, CSV, IDX, Parquet and CIFAR's .bin, and {file.name} is {kind}",
            got=f"dataset.path={path}",
            todo=way_to_npz(file, kind),
        )
    return file


def _read(file: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The four arrays under Keras's names, and sentences about other names that were read or left out."""
    try:
        with zipfile.ZipFile(file) as archive:
            held = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            names, notes = _choose(file, list(held))
            _check_members(file, archive, [held[name] for name in names])
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(zip(_KEYS, (arrays[name] for name in names), strict=True)), notes
    except UserError:
        raise
    except Exception as error:  # whatever zipfile, zlib and numpy make of a damaged or hostile file
        raise _damaged(file, str(error) or type(error).__name__) from error


def _damaged(file: Path, why: str) -> UserError:
    why = printable(why.splitlines()[0][:200])
    return UserError(f"{file.name} is not an .npz file of plain arrays, or it is damaged: {why}", got=file, todo=SAVE)


def _check_members(file: Path, archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse what would not fit into memory or does not hold what its header promises, before any of it is read."""
    for member in members:
        if member.flag_bits & 1:
            raise UserError(f"{member.filename} in {file.name} is encrypted", got=file, todo=SAVE)
        with archive.open(member) as stream:
            version = np.lib.format.read_magic(stream)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = reader(stream)
            start = stream.tell()
        if dtype.hasobject:
            name = member.filename.removesuffix(".npy")
            raise UserError(
                f"{name} in {file.name} holds Python objects (a pickle), which could run any program and are never loaded",
                got=f"{name}: {dtype} {list(shape)}",
                todo=f"{name} = np.array({name}.tolist())   (and save again: rows of unequal length must be made equal first)",
            )
        if min(shape, default=0) < 0 or start + math.prod(shape) * dtype.itemsize != member.file_size:
            raise _damaged(file, f"{member.filename} says {dtype} {list(shape)} and holds {member.file_size} bytes")
    total = sum(member.file_size for member in members)
    if total > memory_bytes() // 2:
        raise UserError(
            f"the pictures of {file.name} take {total / 1e9:.0f} GB in memory, more than half of what this machine has",
            got=file,
            todo="save fewer or smaller pictures, as uint8",
        )


def _choose(file: Path, held: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The names of x_train, y_train, x_test and y_test in the file, and sentences about what the names were taken for."""
    if not set(_KEYS) - set(held):
        return _KEYS, _left_out(held, _KEYS)
    found: dict[tuple[str, str], list[str]] = {}
    for name in held:
        if meaning := _meaning(name):
            found.setdefault(meaning, []).append(name)
    wanted = [(role, part) for part in ("train", "test") for role in ("x", "y")]
    if twice := next((names for names in found.values() if len(names) > 1), None):
        role, part = next(meaning for meaning, names in found.items() if names is twice)
        todo = f"{role}_{part} = {twice[0]}   (and the others in the same way)"
        raise UserError(
            f"{' and '.join(twice)} could both be meant", got=f"{file.name} holds {_listed(held)}", todo=todo
        )
    if all(meaning in found for meaning in wanted):
        names = tuple(found[meaning][0] for meaning in wanted)
        return names, [f"{', '.join(names)} read as {', '.join(_KEYS)}", *_left_out(held, names)]
    missing = [key for key in _KEYS if key not in held and tuple(key.split("_")) not in found]
    raise UserError(
        f"{file.name} lacks {', '.join(missing)}",
        got=f"it holds {_listed(held)}",
        todo=_advice({meaning: names[0] for meaning, names in found.items()}, held),
    )


def _meaning(name: str) -> tuple[str, str] | None:
    """(x or y, part) that a name says; the part is empty where it says none."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", " ", name).lower().split()
    if len(words) == 1 and (glued := re.fullmatch(r"(x|y)(train|test|val)|(train|test|val)(x|y)", words[0])):
        words = [word for word in glued.groups() if word]
    meanings = []
    for word in words:
        kind = next((key for table in (_PARTS, _ROLES) for key in table if re.fullmatch(table[key], word)), None)
        meanings.append(kind)
    roles, parts = [m for m in meanings if m in _ROLES], [m for m in meanings if m in _PARTS]
    if None in meanings or len(roles) != 1 or len(parts) > 1:
        return None
    return roles[0], parts[0] if parts else ""


def _left_out(held: Sequence[str], read: Sequence[str]) -> list[str]:
    rest = [name for name in held if name not in read]
    if not rest:
        return []
    drawn = any((_meaning(name) or ("", ""))[1] == "val" for name in rest)
    return [f"{_listed(rest)} left out" + (" (validation examples are drawn from x_train)" if drawn else "")]


def _advice(found: Mapping[tuple[str, str], str], held: Sequence[str]) -> str:
    """Lines of Python, in terms of the file's arrays, that make the four that are read."""

    def has(*parts: str) -> bool:
        return all((role, part) in found for part in parts for role in "xy")

    if has("train", "val"):
        return f"x_test, y_test = {found['x', 'val']}, {found['y', 'val']}"
    for part in ("", "train", "test"):
        if has(part) and not has("train", "test"):
            x, y = found["x", part], found["y", part]
            return (
                f"i = np.random.default_rng(0).permutation(len({x})); n = len(i) // 5; "
                f"x_test, y_test, x_train, y_train = {x}[i[:n]], {y}[i[:n]], {x}[i[n:]], {y}[i[n:]]"
                "   (a fifth of them for testing)"
            )
    if list(held) == [f"arr_{index}" for index in range(4)]:
        return "x_train, y_train, x_test, y_test = arr_0, arr_1, arr_2, arr_3   (in the order in which they were saved)"
    return SAVE


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name) for name in names[:12]]
    return ", ".join(shown + ["..."] * (len(names) > 12)) or "nothing"


def _check_lengths(part: str, arrays: Mapping[str, Any]) -> None:
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if x.ndim and y.ndim and len(x) == len(y):
        return
    todo = "save images and labels of the same examples"
    if x.ndim > 1 and y.ndim and x.shape[-1] == len(y):
        todo = f"x_{part} = np.moveaxis(x_{part}, -1, 0)"
    elif x.ndim and y.ndim == 2 and y.shape[1] == len(x):
        todo = f"y_{part} = y_{part}.T"
    raise UserError(
        f"x_{part} and y_{part} must have one label for each image",
        got=f"x_{part} {list(x.shape)}, y_{part} {list(y.shape)}",
        todo=todo,
    )
