"""Words as aligned columns, for every table that a terminal shows."""

from __future__ import annotations

from collections.abc import Sequence

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
