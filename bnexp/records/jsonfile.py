"""JSON written whole or not at all, and without NaN."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from bnexp.records.shape import MOST_DEEP, is_sane


@dataclass(frozen=True)
class JsonFile:
    """What a JSON file of a record holds, or ``problem``: why it cannot be read, in one line. A file that is absent is empty."""

    content: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


#: Bytes that a JSON file of a record has at most; ours have some thousands, lists of runs some millions.
MOST_BYTES = 2**28


def read_json(file: Path, needs: str = "", misfit: Callable[[dict[str, Any]], str] | None = None) -> JsonFile:
    """Read a file of a record, whatever became of it: torn, empty, of another encoding, somebody else's.

    Args:
        file: where it is.
        needs: a key without which it is not ours; its value is text.
        misfit: says what in it is not as we write it.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe or a device has no end
            return JsonFile(problem=f"{file.name} is not a file")
        if status.st_size > MOST_BYTES:
            return JsonFile(problem=f"{file.name} is too large ({status.st_size:,} bytes)")
        content = loads(file.read_bytes())
    except FileNotFoundError:
        return JsonFile()
    except OSError as error:
        return JsonFile(problem=f"{file.name} cannot be read ({error.strerror})")
    except (ValueError, RecursionError):  # not JSON, or not UTF-8
        return JsonFile(problem=f"{file.name} is empty, torn or not JSON")
    if not isinstance(content, dict) or (needs and not isinstance(content.get(needs), str)):
        return JsonFile(problem=f"{file.name} is not a file of bnexp's")
    if misfit and (wrong := misfit(content)):
        return JsonFile(problem=f"{file.name} is not as bnexp writes it: {wrong}")
    return JsonFile(content)


def loads(text: bytes) -> Any:
    """What a JSON text says, if it can be counted with, walked through and written down again.

    Raises:
        ValueError: of :func:`decode`, and nesting of hundreds of levels or halves of characters.
        RecursionError: thousands of levels.
    """
    content = decode(text)
    # Only a text that may have any of the latter is walked through, because a folder may have ten thousand.
    if (b"\\u" in text or text.count(b"{") + text.count(b"[") > MOST_DEEP) and not is_sane(content):
        raise ValueError("nesting or signs beyond all measure")
    return content


def decode(text: bytes) -> Any:
    """What a JSON text says; for lines whose every value is looked at anyway.

    Raises:
        ValueError: it is no JSON, or what only Python takes for JSON: NaN, and numbers of any length.
        RecursionError: as :func:`loads`.
    """
    return _DECODER.decode(text.decode())


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _whole(word: str) -> int:
    if len(word) > 19:
        raise ValueError("a number beyond all measure")
    return int(word)


def _real(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):
        raise ValueError("a number beyond all measure")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_int=_whole, parse_float=_real)


def finite(value: float) -> dict[str, Any]:
    """``{"value": v}``, or ``{"value": None, "kind": "nan" | "inf" | "-inf"}``: JSON has no word for the others.

    Example:
        >>> finite(0.5), finite(float("nan"))
        ({'value': 0.5}, {'value': None, 'kind': 'nan'})
    """
    if math.isfinite(value):
        return {"value": value}
    return {"value": None, "kind": "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")}


def write_json(file: Path, content: Mapping[str, Any], lasting: bool = True) -> None:
    """Write ``content`` to a temporary name, flush it to the disk, then rename: a reader sees all of it or nothing.

    Args:
        file: what is to be.
        content: what it is to say.
        lasting: the name, too, outlives a loss of power; else it does from the next file of the folder on that is to last.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    text = json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n"
    with open_new(temporary) as stream:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    if lasting:
        sync_folder(file.parent)


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name in its folder, then rename: a reader sees the old file or the new one.

    What is there is replaced, so that a link is not followed.

    Args:
        file: what is to be.
        write: is called with the temporary name, whose ending is that of the file.
    """
    temporary = file.with_name(f".{os.getpid()}.{file.name}")
    open_new(temporary).close()
    try:
        write(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """:func:`write_whole` of a text."""
    write_whole(file, lambda place: place.write_text(text, encoding="utf-8"))


def open_new(file: Path) -> BinaryIO:
    """Open a file for writing that nobody else has: one of that name goes, and a link there is not followed."""
    file.unlink(missing_ok=True)
    return file.open("xb")


def sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power, where the file system can."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # a folder that may be written to but not read, and Windows
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _plain(value: Any) -> Any:
    """Mappings that are not dicts (read-only views) as dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} does not belong in a record")
