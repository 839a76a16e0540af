"""The well-known data sets, downloaded and parsed by torchvision's own classes, each once.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

import gzip
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.data.cache import cached
from bnexp.data.official import OFFICIAL, Holding, OfficialFile, OfficialSet, file_md5, inspect
from bnexp.data.source import Part, Source, register, tell
from bnexp.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two processes may then both download, each correctly
    fcntl = None  # type: ignore[assignment]

_SILENCE_SECONDS = 15.0


def _loader(name: str) -> Callable[[Path], Source]:
    def load(data_dir: Path) -> Source:
        """The official training and test part.

        Shape: images ``[N, 1, 28, 28]`` or ``[N, 3, 32, 32]``.

        Raises:
            UserError: a damaged file, or files that are neither here nor to be had.
        """
        return cached(data_dir, name, lambda: _parse(name, data_dir, fetch(name, data_dir)))

    return load


for _name in OFFICIAL:
    register(_name)(_loader(_name))


def fetch(name: str, data_dir: Path) -> tuple[OfficialFile, ...]:
    """Bring the official files into ``data_dir`` unless they are there; returns them.

    A download goes to a folder of its own and its files are renamed into place when their checksums match, so a
    killed one leaves nothing that could be taken for data. Processes that want the same set wait for the first.

    Raises:
        UserError: a damaged file in the way, no network, a download that fails, a folder that cannot be written.
    """
    official = OFFICIAL[name]
    holding = inspect(data_dir, official)
    if holding.form is None:
        if holding.damaged:
            files = " ".join(shlex.quote(str(data_dir / file.path)) for file in holding.damaged)
            raise UserError(
                f"files of dataset={name} are not the official ones: truncated or changed",
                got=files,
                todo=f"rm {files} && bnexp data fetch {name}",
            )
        with _alone(name, data_dir):
            holding = inspect(data_dir, official)
            if holding.form is None:
                _download_into(name, data_dir, holding)
    return holding.form or official.forms[0]


@contextmanager
def _alone(name: str, data_dir: Path) -> Iterator[None]:
    """Hold the set's lock; waits for another process that holds it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # a link in its place is no file of ours
        lock = os.fdopen(os.open(data_dir / f".{name}.lock", flags, 0o666), "w")
    except OSError as error:
        raise UserError(
            f"the data folder cannot be written: {error.strerror}",
            got=data_dir,
            todo="data_dir=FOLDER or export BNEXP_DATA=FOLDER",
        ) from error
    with lock:
        if fcntl:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(f"another process is fetching dataset={name}; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks: as on Windows
                pass
        yield


def _download_into(name: str, data_dir: Path, holding: Holding) -> None:
    from http.client import HTTPException  # imports ssl, which hardly any command needs

    official = OFFICIAL[name]
    folder = data_dir / f".{name}.partial"
    shutil.rmtree(folder, ignore_errors=True)  # what a killed download left: nobody writes there while we hold the lock
    try:
        present = [file for file in official.forms[0] if (data_dir / file.path).is_file()]
        # torchvision would overwrite a file that is not exactly the official one, following our link to it
        _stage(data_dir, folder, [file for file in present if file_md5(data_dir / file.path) == file.md5])
        _download(official, folder)
        for file in holding.missing:
            (data_dir / file.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / file.path, data_dir / file.path)
    except (HTTPException, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        missing = ", ".join(file.name for file in holding.missing)
        raise UserError(
            f"dataset={name} is not on this machine and its host did not deliver it ({reason})",
            got=f"missing {missing} in {(data_dir / holding.missing[0].path).parent}",
            todo="bnexp data import PATH   (a folder that holds these files), or dataset=mnist_5k, which needs no download",
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _download(official: OfficialSet, folder: Path) -> None:
    """Let torchvision download what is not in ``folder`` yet; it verifies every md5, and opens connections without a time limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_SECONDS)
    try:
        _torchvision_parts(official, folder)
    finally:
        socket.setdefaulttimeout(before)


def _parse(name: str, data_dir: Path, form: Sequence[OfficialFile]) -> Source:
    """The verified files, read by torchvision in a scratch folder, so that nothing extracted is trusted later."""
    official = OFFICIAL[name]
    writable = data_dir if os.access(data_dir, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f"bnexp-{name}-", dir=writable) as scratch:
        _stage(data_dir, Path(scratch), form)
        train, test = _torchvision_parts(official, Path(scratch))
    return Source(_to_part(train), _to_part(test), official.num_classes)


def _stage(data_dir: Path, folder: Path, files: Sequence[OfficialFile]) -> None:
    """Show torchvision verified files in ``folder``: linked, and IDX files decompressed as well.

    torchvision takes extracted IDX files as they are, whatever their length, so it only ever sees ones extracted here.
    """
    for file in files:
        source, target = (data_dir / file.path).resolve(), folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to(source)
        except OSError:
            shutil.copyfile(source, target)
        if file.name.endswith("-ubyte.gz"):
            with gzip.open(source) as compressed, target.with_suffix("").open("wb") as plain:
                shutil.copyfileobj(compressed, plain)


def _torchvision_parts(official: OfficialSet, folder: Path) -> tuple[Any, Any]:
    datasets = torchvision_datasets()
    build = getattr(datasets, official.class_name)
    parts: tuple[dict[str, Any], dict[str, Any]] = ({"train": True}, {"train": False})
    if official.class_name == "SVHN":
        parts = ({"split": "train"}, {"split": "test"})
    with redirect_stdout(sys.stderr):  # it talks about its files
        train, test = (build(folder, download=True, **part) for part in parts)
    return train, test


def torchvision_datasets() -> Any:
    try:
        from torchvision import datasets  # here: importing it takes seconds, and a cached set does not need it
    except (ImportError, RuntimeError) as error:
        raise UserError(
            "torchvision, which reads the official files, cannot be imported beside this torch",
            got=str(error).strip().splitlines()[0],
            todo="install both from one index: pip install --force-reinstall torch torchvision",
        ) from error
    return datasets


def _to_part(parsed: Any) -> Part:
    """A torchvision set as contiguous ``[N, C, H, W]`` bytes: MNIST's are ``[N, H, W]``, CIFAR's ``[N, H, W, C]``."""
    images = np.asarray(parsed.data)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    labels = parsed.labels if hasattr(parsed, "labels") else parsed.targets
    return Part(np.ascontiguousarray(images), np.asarray(labels, dtype=np.int64))
