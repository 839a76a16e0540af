"""The official files of the well-known data sets: their places and checksums, what of them a folder holds, and copying them in.

Imports no torch: listing and checking answer at once. A test compares the checksums with those of torchvision's own
classes.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shlex
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bnexp.data.user_files import kind_of
from bnexp.errors import UserError

_BLOCK = 1 << 20
_LARGEST_CONTENT = 1 << 26
_OFFICIAL_STARTS = (b"\x1f\x8b", b"\0\0\x08\x01", b"\0\0\x08\x03", b"MATLAB")


@dataclass(frozen=True)
class OfficialFile:
    """A file by its place below the data folder (torchvision's layout) and its md5.

    ``content_md5`` is that of the decompressed contents: the same data compressed again (Debian's Fashion-MNIST, say)
    is as good.
    """

    path: str
    md5: str
    content_md5: str | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True)
class OfficialSet:
    """A data set that ``torchvision.datasets`` knows.

    Attributes:
        class_name: its class there.
        num_classes: classes of its labels.
        download_mb: size of the download in MB (10^6 bytes).
        forms: each a complete set of files; the first is what a download gives.
    """

    class_name: str
    num_classes: int
    download_mb: int
    forms: tuple[tuple[OfficialFile, ...], ...]


@dataclass(frozen=True)
class Holding:
    """What a data folder holds of a set.

    Attributes:
        form: the first complete form whose files are all good; None if there is none.
        missing: files of the first form that are not there.
        damaged: files of any form that are there with other contents.
    """

    form: tuple[OfficialFile, ...] | None
    missing: tuple[OfficialFile, ...]
    damaged: tuple[OfficialFile, ...]


def _idx(folder: str, *checksums: tuple[str, str | None]) -> tuple[tuple[OfficialFile, ...], ...]:
    stems = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    return (tuple(OfficialFile(f"{folder}/raw/{s}.gz", *both) for s, both in zip(stems, checksums, strict=True)),)


def _cifar(archive: str, md5: str, folder: str, checksums: Mapping[str, str]) -> tuple[tuple[OfficialFile, ...], ...]:
    extracted = tuple(OfficialFile(f"{folder}/{name}", file_md5) for name, file_md5 in checksums.items())
    return ((OfficialFile(archive, md5),), extracted)


# The content checksums of MNIST were taken from files with the official md5. Those of Fashion-MNIST were taken from
# Debian's package dataset-fashion-mnist, whose compressed streams, put behind the original gzip headers (file name
# and time of 31 August 2017), give all four official md5s; so they are the official contents. For KMNIST we had no
# copy.
OFFICIAL: Mapping[str, OfficialSet] = {
    "mnist": OfficialSet(
        class_name="MNIST",
        num_classes=10,
        download_mb=12,
        forms=_idx(
            "MNIST",
            ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
            ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
            ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
            ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
        ),
    ),
    "fashion_mnist": OfficialSet(
        class_name="FashionMNIST",
        num_classes=10,
        download_mb=31,
        forms=_idx(
            "FashionMNIST",
            ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
            ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
            ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
            ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
        ),
    ),
    "kmnist": OfficialSet(
        class_name="KMNIST",
        num_classes=10,
        download_mb=21,
        forms=_idx(
            "KMNIST",
            ("bdb82020997e1d708af4cf47b453dcf7", None),
            ("e144d726b3acfaa3e44228e80efcd344", None),
            ("5c965bf0a639b31b8f53240b1b52f4d7", None),
            ("7320c461ea6c1c855c0b718fb2a4b134", None),
        ),
    ),
    "cifar10": OfficialSet(
        class_name="CIFAR10",
        num_classes=10,
        download_mb=170,
        forms=_cifar(
            "cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "cifar-10-batches-py",
            {
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                "test_batch": "40351d587109b95175f43aff81a1287e",
                "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
            },
        ),
    ),
    "cifar100": OfficialSet(
        class_name="CIFAR100",
        num_classes=100,
        download_mb=169,
        forms=_cifar(
            "cifar-100-python.tar.gz",
            "eb9058c3a382ffc7106e4002c42a8d85",
            "cifar-100-python",
            {
                "train": "16019d7e3df5f24257cddd939b257f8d",
                "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                "meta": "7973b15100ade9c7d40fb424638fde48",
            },
        ),
    ),
    "svhn": OfficialSet(
        class_name="SVHN",
        num_classes=10,
        download_mb=246,
        forms=(
            (
                OfficialFile("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
                OfficialFile("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
            ),
        ),
    ),
}


def inspect(data_dir: Path, official: OfficialSet) -> Holding:
    """What ``data_dir`` holds of a set, by checksum: a truncated file counts as damaged, never as there."""
    good, missing, damaged = set(), [], []
    for form in official.forms:
        for file in form:
            if not (data_dir / file.path).is_file():
                missing.append(file)
            elif is_official(data_dir / file.path, file):
                good.add(file)
            else:
                damaged.append(file)
    complete = next((form for form in official.forms if good.issuperset(form)), None)
    return Holding(complete, tuple(file for file in missing if file in official.forms[0]), tuple(damaged))


def is_official(path: Path, file: OfficialFile) -> bool:
    """Whether the bytes at ``path`` are those of ``file``, or the same contents compressed differently."""
    return file_md5(path) == file.md5 or (file.content_md5 is not None and content_md5(path) == file.content_md5)


def file_md5(path: Path) -> str:
    """md5 of a file's bytes."""
    with path.open("rb") as stream:
        return _md5(stream)


def content_md5(path: Path) -> str | None:
    """md5 of what a gzip file decompresses to; None if it is no intact gzip file or holds more than any IDX file."""
    try:
        with gzip.open(path) as stream:
            return _md5(stream, _LARGEST_CONTENT)
    except (OSError, EOFError, zlib.error):
        return None


def _md5(stream: BinaryIO | gzip.GzipFile, limit: int | None = None) -> str:
    digest, num_bytes = hashlib.md5(usedforsecurity=False), 0
    while block := stream.read(_BLOCK):
        num_bytes += len(block)
        if limit is not None and num_bytes > limit:
            raise OSError("too large")
        digest.update(block)
    return digest.hexdigest()


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
    wanted = [(name, file) for name in names for form in OFFICIAL[name].forms for file in form]
    found: dict[OfficialFile, Found] = {}
    for path in _candidates(root, {file.name for _, file in wanted}):
        try:
            whole, inside = file_md5(path), content_md5(path)
        except OSError:
            continue  # one that may not be read is no reason to leave the others
        for name, file in wanted:
            same = whole == file.md5 or (file.content_md5 is not None and file.content_md5 in (whole, inside))
            if same and file not in found:
                found[file] = Found(path, name, file)
    return list(found.values())


def look_alikes(root: Path, names: Sequence[str]) -> list[tuple[str, str]]:
    """Files below ``root`` that seem to be meant but are not official ones: what each is, and the command that mends it or ""."""
    plain = {file.name.removesuffix(".gz"): file for name in names for form in OFFICIAL[name].forms for file in form}
    said = []
    for path in _candidates(root, set(plain), every=True):
        name, quoted = path.name.replace(".idx", "-idx").removesuffix(".gz"), shlex.quote(str(path))
        try:
            if path.suffix in (".part", ".crdownload", ".download", ".tmp"):
                said.append((f"{path} is a download that did not end", ""))
            elif path.suffix in (".bin", ".mat") and path.stem in plain:
                version = "binary" if path.suffix == ".bin" else "MATLAB"
                todo = f"bnexp train dataset=npz dataset.path={shlex.quote(str(path.parent))}" if path.suffix == ".bin" else ""
                said.append((f"{path} is of CIFAR's {version} version ({path.suffix}), and the Python version is read", todo))
            elif name in plain:
                kind = "other contents, or a part of them" if path.stat().st_size else "nothing"
                kind = "a web page" if kind_of(path) == "a web page" else kind
                said.append((f"{path} is called like an official file and holds {kind}", ""))
            elif path.name.lower().endswith((".zip", ".tar", ".tgz", ".tar.gz")):
                kind, folder = kind_of(path), shlex.quote(str(path.with_name(path.name.partition(".")[0] + "-unpacked")))
                unpack = f"mkdir {folder} && tar xf {quoted} -C {folder}" if "tar" in kind else f"unzip {quoted} -d {folder}"
                said.append((f"{path} is {kind}", f"{unpack} && bnexp data import {folder}" * ("archive" in kind)))
        except OSError as error:
            said.append((f"{path} cannot be read ({error.strerror})", ""))
    return said


def copy_in(found: Found, data_dir: Path) -> Path | None:
    """Copy a file to its place under a temporary name, verify the copy and rename it; None if it was there already.

    A decompressed IDX file is compressed again, so that there is one form to look for.

    Raises:
        UserError: a damaged file is in the way, the copy went wrong, or the folder cannot be written.
    """
    target = data_dir / found.file.path
    if target.exists():
        if is_official(target, found.file):
            return None
        raise UserError(
            "a damaged file is in the way", got=target, todo=f"rm {shlex.quote(str(target))}   and import again"
        )
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.file.content_md5 is not None and file_md5(found.path) == found.file.content_md5:
            with (
                found.path.open("rb") as plain,
                partial.open("wb") as raw,
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
            ):
                shutil.copyfileobj(plain, packed)
        else:
            shutil.copyfile(found.path, partial)
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


def _candidates(root: Path, names: set[str], *, every: bool = False) -> Iterator[Path]:
    """Files worth reading, by name or by the first bytes (gzip, IDX, MATLAB); with ``every``, all files."""
    if root.is_file():
        yield root
        return
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if path.is_file() and (every or name in names or _start(path).startswith(_OFFICIAL_STARTS)):
                yield path


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(8)
    except OSError:
        return b""
