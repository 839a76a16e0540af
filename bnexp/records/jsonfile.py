"""JSON written whole or not at all, and without NaN."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, allow_nan=False, default=_plain)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)


def _plain(value: Any) -> Any:
    """Mappings that are not dicts (read-only views) as dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} does not belong in a record")
