"""A table of text (CSV) with one picture a row, as Kaggle's digits and many others come: a label and the pixels.

Legend: N rows, D numbers of a picture.
"""

from __future__ import annotations

import csv
import shlex
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.errors import UserError

#: Names of the column that says the class; of numbered rows, which are no pixel.
LABELS = ("label", "labels", "class", "target", "y")
NUMBERS = ("", "id", "index", "unnamed: 0", "imageid")

#: What is said, and where a table without names has its label then.
LAST = "the last column read as the label"

#: A line is looked at so far: 300,000 pixels.
_LONGEST = 1 << 20

_FOLDERS = "put each picture the table names into F/train/CLASS or F/test/CLASS: dataset=image_folder dataset.path=F"


def read_table(file: Path, like: int | None = None, last: bool = False) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Pixels ``[N, D]``, labels ``[N]`` (numbers or names), and sentences about which columns were taken for what.

    Whole numbers from 0 to 255 are bytes. The label is the column called label, labels, class, target or y; without names the
    first, or the last where only that one holds classes.

    Args:
        file: separated by commas, semicolons or tabs, with or without a line of names.
        like: D of the training table: a table of so many numbers and no column called label has no labels, which are then None.
        last: the training table, which has no names, has its label last.

    Raises:
        UserError: two columns could be the label, the table names picture files, or has no rows.
        ValueError: rows of unequal length, or words among the pixels.
    """
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        first, second = stream.readline(_LONGEST), stream.readline(_LONGEST)
    separator = max(",;\t", key=first.count)
    names, values = (next(csv.reader([line], delimiter=separator), []) for line in (first, second))
    header = not all(map(_is_number, names[1:])) or not names[1:]
    names = [name.strip().lower() for name in names] if header else [""] * len(names)
    numbered = [index for index, name in enumerate(names) if header and name in NUMBERS]
    column = _label_column(file, names, header, None if like is None else like + len(numbered))
    settings: dict[str, Any] = {"delimiter": separator, "quotechar": '"', "skiprows": int(header), "encoding": "utf-8-sig"}
    settings["comments"] = None
    if column == 0 and not header and like is None:
        last = not _holds_classes(_loaded(file, str, [0], settings)) and _holds_classes(_loaded(file, str, [-1], settings))
    if column == 0 and not header and last:
        column = len(names) - 1
    pixels = [index for index in range(len(names)) if index != column and index not in numbered]
    if not pixels:
        todo = f"a table with a column called {LABELS[0]} and one for each pixel"
        raise UserError(f"{file.name} holds no pixels", got=first.strip()[:80], todo=todo)
    words = [values[index] for index in pixels if index < len(values)]
    if not all(map(_is_number, words)):
        comma = all(_is_number(word.replace(",", ".")) for word in words)
        todo = f"sed 's/,/./g' {shlex.quote(str(file))} > NEW.csv   (a number is written 0.5, not 0,5)" if comma else _FOLDERS
        raise UserError(f"{file.name} holds words where pixels would be", got=second.strip()[:80], todo=todo)
    x = _loaded(file, np.float32, pixels, settings).reshape(-1, len(pixels))
    if not len(x):
        raise UserError(f"{file.name} holds no rows", got=first.strip()[:80], todo="download or save it again")
    if x.size and (x == np.rint(x)).all() and x.min() >= 0 and 1 < x.max() <= 255:
        x = x.astype(np.uint8)
    notes = [f"columns {', '.join(repr(names[index]) for index in numbered)} left out"] if numbered else []
    if column is None:
        return x, None, notes
    if not header:
        notes.append(LAST if column else "the first column read as the label")
    y = _loaded(file, str, [column], settings)
    try:
        numbers = y.astype(np.float64)
    except ValueError:
        return x, y, notes
    whole = bool((np.abs(numbers) < 2**53).all() and (numbers == np.rint(numbers)).all())
    return x, numbers.astype(np.int64) if whole else numbers, notes


def _loaded(file: Path, kind: type, columns: Sequence[int], settings: dict[str, Any]) -> np.ndarray:
    """These columns, ``[N]`` of a single one; lines without anything are none, and numpy is not to warn of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return np.loadtxt(file, kind, usecols=columns, ndmin=1, **settings)


def _holds_classes(column_N: np.ndarray) -> bool:
    """Whether a column can be the label: names, or numbers from 0 or 1 on without a gap, each of them in more than one row."""
    classes = np.unique(column_N)
    if not 2 <= len(classes) <= max(10, len(column_N) // 2):
        return False
    try:
        numbers = np.sort(classes.astype(np.float64))
    except ValueError:
        return True
    return bool(numbers[0] in (0, 1) and (np.diff(numbers) == 1).all())


def _label_column(file: Path, names: Sequence[str], header: bool, unlabelled: int | None) -> int | None:
    """Which column says the class; None in a table without one."""
    called = [index for index, name in enumerate(names) if name in LABELS]
    if len(called) > 1:
        found = " and ".join(names[index] for index in called)
        raise UserError(
            f"{file.name} has {len(called)} columns that could be the label",
            got=found,
            todo=f"leave all but one of them out, or call the others something else than {', '.join(LABELS)}",
        )
    if called:
        return called[0]
    if unlabelled == len(names):
        return None
    if not header:
        return 0
    raise UserError(
        f"no column of {file.name} is called {', '.join(LABELS[:-1])} or {LABELS[-1]}",
        got=", ".join(names[:6]) + (", ..." if len(names) > 6 else ""),
        todo="call the column with the classes label in the table's first line",
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
