"""Official files found below a user's folder, recognised by their contents, and copied to where they belong."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexp.data.official import OFFICIAL, OfficialFile, content_md5, file_md5, is_official
from bnexp.errors import UserError

_SUFFIXES = (".gz", ".tgz", ".mat")


@dataclass(frozen=True)
class Found:
    """A file on this machine that is (or holds the contents of) an official one."""

    path: Path
    name: str
    file: OfficialFile


def find_official(root: Path, names: Sequence[str]) -> list[Found]:
    """Every official file of the data sets ``names`` below ``root`` (a folder or one file), whatever it is called.

    Each of a set's files is reported once, at the first place in alphabetical order.
    """
    found: dict[OfficialFile, Found] = {}
    for path in _candidates(root, names):
        match = _recognise(path, names)
        if match and match.file not in found:
            found[match.file] = match
    return list(found.values())


def copy_in(found: Found, data_dir: Path) -> Path | None:
    """Copy a file to its place under a temporary name, verify the copy and rename it; None if it was there already.

    Raises:
        UserError: a damaged file is in the way, the copy went wrong, or the folder cannot be written.
    """
    target = data_dir / found.file.path
    if target.exists():
        if is_official(target, found.file):
            return None
        raise UserError("a damaged file is in the way", got=target, todo=f"rm '{target}'   and import again")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(found, partial)
        if not is_official(partial, found.file):
            raise UserError(
                "the copy is not what was read", got=found.path, todo="look at the disks, then import again"
            )
        os.replace(partial, target)
    except OSError as error:
        raise UserError(
            f"cannot copy to the data folder: {error}", got=data_dir, todo="bnexp data import PATH --data-dir FOLDER"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def _candidates(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """Files worth reading: by ending, or by the name of an extracted file."""
    if root.is_file():
        yield root
        return
    plain = {name.removesuffix(".gz") for name in (file.name for set_name in names for file in _files(set_name))}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if (path.suffix in _SUFFIXES or name in plain) and path.is_file():
                yield path


def _recognise(path: Path, names: Sequence[str]) -> Found | None:
    whole = file_md5(path)
    inside = content_md5(path)
    for name in names:
        for file in _files(name):
            if whole == file.md5 or (file.content_md5 is not None and file.content_md5 in (whole, inside)):
                return Found(path, name, file)
    return None


def _files(name: str) -> Iterator[OfficialFile]:
    for form in OFFICIAL[name].forms:
        yield from form


def _copy(found: Found, partial: Path) -> None:
    """Byte for byte; a decompressed IDX file is compressed again, so that there is one form to look for."""
    if found.file.content_md5 is not None and file_md5(found.path) == found.file.content_md5:
        with (
            found.path.open("rb") as plain,
            partial.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed)
    else:
        shutil.copyfile(found.path, partial)
