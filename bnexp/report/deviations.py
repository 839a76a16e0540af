"""The ``Deviation:`` lines of the code that made a claim's runs: where it differs from its source. Read as text, never imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bnexp.records.reader import RunRecord

PACKAGE = Path(__file__).resolve().parent.parent

#: Group of a run's config to the folder of the package in which each of its names is a file.
_FOLDERS = {"model": "models", "norm": "norms", "dataset": "data"}


def deviations_of(records: Sequence[RunRecord]) -> list[str]:
    """One line for each deviation of the models, norms, data and probes that these runs used."""
    files = {file for record in records for file in _files(record.header.get("config") or {})}
    return [f"{file}: {text}" for file in sorted(files) for text in deviation_lines(PACKAGE / file)]


@cache
def deviation_lines(file: Path) -> tuple[str, ...]:
    """The text after each ``Deviation:`` in the docstrings of a source file, on one line; nothing where there is no such file."""
    if not file.is_file():
        return ()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    found = [
        text for docstring in docstrings for text in re.findall(r"^Deviation: (.+(?:\n(?!\s*\n).+)*)", docstring, re.M)
    ]
    return tuple(" ".join(text.split()).replace("``", "") for text in found)


def _files(config: dict[str, Any]) -> list[str]:
    named = [f"{_FOLDERS[group]}/{config[group]['name']}.py" for group in _FOLDERS if group in config]
    return [*named, *(f"probes/{probe}.py" for probe in config.get("probes") or {})]
