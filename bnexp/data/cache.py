"""The data folder, and parsed arrays kept in it: written once under a temporary name, checked at every reading."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bnexp.data.part import Part
from bnexp.data.source import Source
from bnexp.errors import UserError

_log = logging.getLogger(__name__)


def default_data_dir() -> Path:
    """The folder for data files: ``$BNEXP_DATA``, else ``bnexp`` in ``$XDG_CACHE_HOME`` else ``~/.cache``."""
    if chosen := os.environ.get("BNEXP_DATA"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "bnexp"


def resolve_data_dir(chosen: str | None) -> Path:
    """The folder a config or a command line asks for, null meaning :func:`default_data_dir`."""
    return Path(chosen).expanduser() if chosen else default_data_dir()


def cache_file(data_dir: Path, name: str) -> Path:
    """Where the parsed arrays of data set ``name`` are kept."""
    return data_dir / "cache" / f"{name}.npz"


def cached(data_dir: Path, name: str, parse: Callable[[], Source]) -> Source:
    """What ``parse`` returns, parsed at most once per data folder; a folder that cannot be written is no hindrance.

    Raises:
        UserError: the cached file is damaged, or what ``parse`` raises.
    """
    file = cache_file(data_dir, name)
    if file.exists():
        return read_cache(file)
    source = parse()
    try:
        _write(file, source)
    except OSError as error:
        _log.warning(
            "cannot keep parsed data in %s (%s); dataset=%s is parsed again at every start", file.parent, error, name
        )
    return source


def read_cache(file: Path) -> Source:
    """The arrays in ``file``, compared with the checksum stored beside them.

    Raises:
        UserError: truncated, changed or not a cache of ours.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            train = Part(arrays["train_images"], arrays["train_labels"])
            test = Part(arrays["test_images"], arrays["test_labels"])
            source = Source(train, test, int(arrays["num_classes"]))
            intact = source.checksum == str(arrays["checksum"])
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise _damaged(file) from error
    if not intact:
        raise _damaged(file)
    return source


def _write(file: Path, source: Source) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            np.savez(
                stream,
                train_images=source.train.images,
                train_labels=source.train.labels,
                test_images=source.test.images,
                test_labels=source.test.labels,
                num_classes=np.array(source.num_classes),
                checksum=np.array(source.checksum),
            )
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _damaged(file: Path) -> UserError:
    return UserError(
        f"the parsed copy of dataset={file.stem} is damaged: its checksum does not match",
        got=file,
        todo=f"rm '{file}'   (it is made again from the original files; bnexp data check {file.stem} looks at those)",
    )
