"""Words as aligned columns, for every table that a terminal shows."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Sequence

#: Columns of a terminal.
WIDTH = 80


def columns(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Rows of words as aligned columns.

    Example:
        >>> print(columns([["norm", "steps"], ["batch", "120"]]))
        norm   steps
        batch  120
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        (indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
        for row in rows
    )


def described(rows: Sequence[Sequence[str]], indent: str = "", whole: Collection[str] = ()) -> str:
    """Names with words about each, which go on below themselves where the terminal ends.

    Args:
        rows: name and words.
        indent: before each name.
        whole: names of what is copied, which stays on its line, and so does what follows it without a name.

    Example:
        >>> print(described([("time", "3 s training, " * 4 + "10 s of everything else"), ("run", "r-0")], "  "))
          time  3 s training, 3 s training, 3 s training, 3 s training, 10 s of
                everything else
          run   r-0
    """
    width, lines, last = max(len(name) for name, _ in rows), [], ""
    for name, words in rows:
        last = name or last
        start = f"{indent}{name.ljust(width)}  "
        parts = textwrap.wrap(words, WIDTH - len(start), break_long_words=False, break_on_hyphens=False)
        told = [words] if last in whole else parts
        lines += [(start if not place else " " * len(start)) + part for place, part in enumerate(told or [""])]
    return "\n".join(line.rstrip() for line in lines)


def words_below(table: Sequence[Sequence[str]]) -> str:
    """Aligned columns, and under each row but the first the words of the last column, which end with the terminal.

    Example:
        >>> print(words_below([["name", "size", "what"], ["a", "3 MB", "digits"]]))
        name  size
        a     3 MB
          digits
    """
    first, *lines = columns([row[:-1] for row in table]).splitlines()
    told = [textwrap.fill(row[-1], WIDTH, initial_indent="  ", subsequent_indent="  ") for row in table[1:]]
    return "\n".join([first, *(text for pair in zip(lines, told, strict=True) for text in pair)])
