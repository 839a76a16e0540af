"""JSON written whole or not at all, and without NaN."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO


@dataclass(frozen=True)
class JsonFile:
    """What a JSON file of a record holds, or ``problem``: why it cannot be read, in one line. A file that is absent is empty."""

    content: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def read_json(file: Path, needs: str = "") -> JsonFile:
    """Read a file of a record, whatever became of it: torn, empty, of another encoding, somebody else's.

    Args:
        file: where it is.
        needs: a key without which it is not ours; its value is text.
    """
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe or a device has no end
            return JsonFile(problem=f"{file.name} is not a file")
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        return JsonFile()
    except OSError as error:
        return JsonFile(problem=f"{file.name} cannot be read ({error.strerror})")
    except (ValueError, RecursionError):  # not JSON, or not UTF-8
        return JsonFile(problem=f"{file.name} is empty, torn or not JSON")
    if not isinstance(content, dict) or (needs and not isinstance(content.get(needs), str)):
        return JsonFile(problem=f"{file.name} is not a file of bnexp's")
    return JsonFile(content)


def finite(value: float) -> dict[str, Any]:
    """``{"value": v}``, or ``{"value": None, "kind": "nan" | "inf" | "-inf"}``: JSON has no word for the others.

    Example:
        >>> finite(0.5), finite(float("nan"))
        ({'value': 0.5}, {'value': None, 'kind': 'nan'})
    """
    if math.isfinite(value):
        return {"value": value}
    return {"value": None, "kind": "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")}


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` to a temporary name, flush it to the disk, then rename: a reader sees all of it or nothing."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    text = json.dumps(content, indent=1, allow_nan=False, default=_plain) + "\n"
    with open_new(temporary) as stream:
        stream.write(text.encode())
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    sync_folder(file.parent)


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
