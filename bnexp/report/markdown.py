"""The verdict table as Markdown, and keeping a README's copy of it fresh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnexp.claims.judge import Judged
from bnexp.errors import UserError
from bnexp.report.words import SIGNS, ClaimRow, claim_row, tally

BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"

HEADINGS = ("claim", "who says it", "who disputes it", "verdict", "effect [95 % interval]", "n", "cost")


def markdown_table(judged: Sequence[Judged]) -> str:
    """The verdict table between its markers, as it stands in a README."""
    rows = [claim_row(one) for one in judged]
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS)), *(_line(_cells(one)) for one in rows)]
    budget = ", ".join(sorted({one.budget for one in judged}))
    summary = f"{tally([one.outcome for one in rows])} (budget={budget})."
    return "\n".join([BEGIN, "", *lines, "", summary, "", END])


def replace_table(file: Path, table: str) -> None:
    """Put ``table`` where the markers are.

    Raises:
        UserError: the file does not have both markers, once each, in order.
    """
    text = file.read_text(encoding="utf-8")
    before, after = _around(file, text)
    file.write_text(before + table + after, encoding="utf-8")


def is_stale(file: Path, table: str) -> bool:
    """Whether the file's table is not ``table``.

    Raises:
        UserError: as :func:`replace_table`.
    """
    text = file.read_text(encoding="utf-8")
    before, after = _around(file, text)
    return text != before + table + after


def _around(file: Path, text: str) -> tuple[str, str]:
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(
            "there is no place for the verdict table",
            got=file,
            todo=f"write {BEGIN} and {END} on lines of their own, once",
        )
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]


def _cells(one: ClaimRow) -> list[str]:
    return [
        f"**{one.section}** {one.statement} (`{one.id}`)",
        one.source,
        one.disputed_by or "nobody we know of",
        f"{SIGNS[one.outcome]} **{one.outcome}**, {one.word}",
        one.effect or "–",
        one.count or "–",
        one.cost or "–",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    """A bar would end the cell, and ``<`` might begin a tag."""
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
