"""A user's own files: where they are, what kind of file it is, how another kind becomes one that is read.

Legend: N examples.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
import zipfile
from pathlib import Path

import numpy as np

from bnexp.data.source import Part
from bnexp.errors import UserError

#: What a file begins with, the words for it.
_STARTS: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (
    (b"\x93NUMPY", "a single NumPy array (.npy)"),
    (b"PAR1", "a Parquet table"),
    (b"ARROW1", "an Arrow file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5, or .mat of MATLAB 7.3)"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file (.mat)"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ\0", "packed with xz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    ((b"\0\0\x08\x01", b"\0\0\x08\x03"), "an IDX file, as MNIST's are"),
    (b"SQLite format 3", "an SQLite data base"),
    (b"version https://git-lfs", "the place-holder that git-lfs keeps instead of a file"),
    ((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a Python pickle, which could run any program and is never opened"),
    ((b"\xff\xfe", b"\xfe\xff"), "a text in UTF-16"),
    ((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF"), "a single picture"),
)

SAVE = "np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"

#: A start of the words for a kind to how it becomes an .npz file; FILE and NPZ stand for the two names.
_WAYS = (
    ("a single NumPy array", "np.savez('{npz}', x_train=np.load('{file}'), y_train=..., x_test=..., y_test=...)"),
    ("a MATLAB", "held = scipy.io.loadmat('{file}'); print(list(held)); then {save}"),
    ("an HDF5", "held = h5py.File('{file}'); print(list(held)); x_train = held[NAME][:]; then {save}"),
    ("an Arrow", "table = pandas.read_feather('{file}'); print(table.columns); then {save}"),
    (
        "a file of torch.save",
        "held = torch.load('{file}', weights_only=True); then {save} with .numpy() of its tensors",
    ),
    ("a Python pickle", "with the program that wrote it: {save}; CIFAR's own batches: bnexp data import FOLDER"),
    ("a web page", "download it again: the server sent a page (a login or an error) in the place of the file"),
    ("empty", "download or save it again"),
    ("a zip archive that is cut short", "download or copy it again"),
    ("a text in UTF-16", "iconv -f UTF-16 -t UTF-8 {quoted} > NEW.csv   (then dataset.path=NEW.csv)"),
    ("an Excel workbook", "pandas.read_excel('{file}').to_csv('NEW.csv', index=False)   (then dataset.path=NEW.csv)"),
    ("a zip archive of pictures", "unzip {quoted} -d {folder}   (then dataset=image_folder dataset.path={folder})"),
    ("a zip archive", "unzip {quoted} -d {folder}   (and give the file in it that holds the pictures)"),
    ("a tar archive", "mkdir {folder} && tar xf {quoted} -C {folder}   (then dataset=image_folder dataset.path={folder})"),
    ("packed with gzip", "bnexp data import {quoted}   (if it is a known set's; else gunzip -k {quoted})"),
    ("packed with", "unpack it first"),
    (
        "a single picture",
        "dataset=image_folder dataset.path=FOLDER   (FOLDER/train/CLASS/*.png, FOLDER/test/CLASS/*.png)",
    ),
    ("the place-holder", "git lfs pull"),
)


def find_user_path(name: str, data_dir: Path, path: str | None) -> Path:
    """A user's file or folder: as given, or below the data folder, so that a command needs no machine's paths.

    Raises:
        UserError: no path, nothing there, a link that leads nowhere, a pipe or a device.
    """
    if path is None:
        raise UserError(f"dataset={name} needs to know where your images are", todo=f"dataset={name} dataset.path=PATH")
    given = Path(os.path.expanduser(path))
    for candidate in (given, data_dir / given):
        if os.path.exists(candidate):
            mode = candidate.stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise UserError(
                    "dataset.path is a pipe or a device, not a file",
                    got=f"dataset.path={path}",
                    todo=f"save what comes out of it as a file: dataset={name} dataset.path=FILE",
                )
            return candidate
    if os.path.islink(given):
        raise UserError(
            "dataset.path is a link that leads nowhere, or in a circle",
            got=f"dataset.path={path}",
            todo=f"ls -l {shlex.quote(path)}",
        )
    raise UserError(
        f"dataset.path does not exist, neither in {Path.cwd()} nor in {data_dir}",
        got=f"dataset.path={path}",
        todo=f"dataset={name} dataset.path=PATH   (an absolute path, or one below these folders)",
    )


def kind_of(file: Path) -> str:
    """What a file is, by its contents, in words; "a file of another kind" where that is not known.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "empty"
    if head[:2] == b"PK":
        return _kind_of_zip(file)
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:2] == b"\x1f\x8b" and file.name.endswith((".tar.gz", ".tgz")):
        return "a tar archive"
    if head[:4] == b"RIFF" and head[8:12] != b"WEBP":
        return "a file of another kind"
    for start, words in _STARTS:
        if head.startswith(start):
            return words
    text = head.decode("utf-8", "replace").lstrip("\ufeff \r\n\t").lower()
    if text.startswith(("<!doctype html", "<html", "<?xml")):
        return "a web page"
    if "\0" not in text and "\ufffd" not in text[:-4]:
        first = text.splitlines()[0] if text else ""
        return "a table of text (CSV)" if any(sign in first for sign in ",;\t") else "a text file"
    return "a file of another kind"


def _kind_of_zip(file: Path) -> str:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return "a zip archive that is cut short"
    if not names:
        return "an archive that holds nothing"
    if any(name.endswith(".npy") for name in names):
        return "an .npz file"
    if any(name.endswith("data.pkl") for name in names):
        return "a file of torch.save (.pt, .pth)"
    if "xl/workbook.xml" in names:
        return "an Excel workbook"
    pictures = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
    return "a zip archive of pictures" if any(name.lower().endswith(pictures) for name in names) else "a zip archive"


def way_to_npz(file: Path, kind: str) -> str:
    """What to type so that a file of this kind becomes one that ``dataset=npz`` reads."""
    npz, folder = file.with_suffix(".npz").name, shlex.quote(file.name.partition(".")[0])
    for start, words in _WAYS:
        if kind.startswith(start):
            return words.format(file=file, npz=npz, quoted=shlex.quote(str(file)), folder=folder, save=SAVE)
    return SAVE


def memory_bytes() -> int:
    """Bytes of memory this machine has."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows
        return 1 << 34


def printable(name: object) -> str:
    """A name as it may be printed and recorded, bytes that are no UTF-8 and control characters escaped."""
    text = str(name).encode("utf-8", "backslashreplace").decode()
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def doubles(train: Part, test: Part) -> list[str]:
    """Sentences about pictures that occur, pixel for pixel, in both parts or under two classes; often there is none."""
    labels: dict[bytes, int] = {}
    contradictory = set()
    for image, label in zip(train.images, train.labels.tolist(), strict=True):
        digest = _digest(image)
        if labels.setdefault(digest, label) != label:
            contradictory.add(digest)
    both = sum(_digest(image) in labels for image in test.images)
    notes = []
    if both:
        notes.append(
            f"{both} of {len(test)} test pictures are also among the training pictures: test accuracy is flattered"
        )
    if contradictory:
        notes.append(f"{len(contradictory)} training pictures occur under two classes")
    return notes


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(image.data, digest_size=16).digest()
