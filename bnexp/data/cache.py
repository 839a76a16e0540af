"""The data folder, and what is kept in it: parsed arrays, written once and checked at every reading, and hashes of pictures."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from bnexp.data.source import Part, Source, tell
from bnexp.errors import UserError


def default_data_dir() -> Path:
    """The folder for data files: ``$BNEXP_DATA``, else ``bnexp`` in ``$XDG_CACHE_HOME`` else ``~/.cache``.

    A user without a home folder gets one for temporary files.
    """
    if chosen := os.environ.get("BNEXP_DATA"):
        return resolve_data_dir(chosen)
    home = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    return Path(tempfile.gettempdir() if home.startswith("~") else home) / "bnexp"


def resolve_data_dir(chosen: str | None) -> Path:
    """The folder a config or a command line asks for, null meaning :func:`default_data_dir`."""
    return Path(os.path.expanduser(chosen)) if chosen else default_data_dir()


def cache_file(data_dir: Path, name: str) -> Path:
    """Where the parsed arrays of data set ``name`` are kept."""
    return data_dir / "cache" / f"{name}.npz"


def cached(data_dir: Path, name: str, parse: Callable[[], Source]) -> Source:
    """What ``parse`` returns, parsed at most once per data folder, and read once by a process as long as the file stays as it is.

    A kept copy that is damaged or cannot be read is named and made anew; a folder that cannot be written is no hindrance.

    Raises:
        UserError: what ``parse`` raises.
    """
    file = cache_file(data_dir, name)
    if os.path.lexists(file):
        try:
            return _read_once(file, *_look(file))
        except UserError as error:
            tell(f"{error.what} ({file}); it is made anew")
    source = parse()
    try:
        _replace(file, lambda partial: _write(partial, source))
    except OSError as error:
        tell(
            f"cannot keep parsed data in {file.parent} ({error.strerror}); dataset={name} is parsed again at every start"
        )
    return source


def _look(file: Path) -> tuple[int, ...]:
    """What changes when a file does; zeros where it cannot be told, which :func:`read_cache` then says."""
    try:
        found = file.stat()
    except OSError:
        return (0, 0, 0, 0)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=2)
def _read_once(file: Path, *look: int) -> Source:  # noqa: ARG001 - what it is remembered by
    return read_cache(file)


def read_cache(file: Path) -> Source:
    """The arrays in ``file``, compared with the checksum stored beside them.

    Raises:
        UserError: truncated, changed, not to be read or not a cache of ours.
    """
    why = "its checksum does not match"
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            train = Part(arrays["train_images"], arrays["train_labels"])
            test = Part(arrays["test_images"], arrays["test_labels"])
            source = Source(train, test, int(arrays["num_classes"]))
            if source.checksum == str(arrays["checksum"]):
                return source
    except Exception as error:  # whatever numpy and zipfile make of a damaged file
        why = getattr(error, "strerror", None) or "it is no intact archive"
    raise UserError(
        f"the parsed copy of dataset={file.stem} is damaged: {why}", got=file, todo=f"rm {shlex.quote(str(file))}"
    )


def _write(partial: Path, source: Source) -> None:
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


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make the file under a name of this thread's own, then rename it: readers see all of it or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        write(partial)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


_KEPT_FROM = 500  # files: fewer are read again as fast as their hashes are found
_UNSETTLED_NS = 2_000_000_000  # a file changed this recently may change again within one tick of the clock


def file_digests(data_dir: Path, root: Path, files: Sequence[Path]) -> list[str]:
    """Hash of each file's contents (blake2b, 16 bytes, hex); "" of one that cannot be read, or is a pipe or a device.

    Those of many files below ``root`` are kept in the data folder, and only files whose date, size or place changed are read again.
    """
    kept = data_dir / "cache" / f"pictures-{hashlib.blake2b(os.fsencode(root.resolve()), digest_size=8).hexdigest()}.json"
    try:
        known = json.loads(kept.read_text(encoding="ascii"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    digests, settled = [], {}
    for file in files:
        try:
            facts = os.stat(file)
            seen = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
            entry = known.get(str(file))
            if not isinstance(entry, list) or entry[:-1] != seen:
                content = file.read_bytes() if stat.S_ISREG(facts.st_mode) else None
                entry = [*seen, "" if content is None else hashlib.blake2b(content, digest_size=16).hexdigest()]
        except OSError:
            digests.append("")
            continue
        digests.append(str(entry[-1]))
        if time.time_ns() - max(facts.st_mtime_ns, facts.st_ctime_ns) > _UNSETTLED_NS:
            settled[str(file)] = entry
    if len(settled) >= _KEPT_FROM and settled != known:
        with suppress(OSError):  # then the files are read again the next time
            _replace(kept, lambda partial: partial.write_text(json.dumps(settled), encoding="ascii"))
    return digests
