"""The verdicts as aligned lines of plain text."""

from __future__ import annotations

from collections.abc import Sequence

from bnexp.claims.judged import Judged
from bnexp.report.rows import row
from bnexp.report.words import MEANINGS, UNTOLD

HEADINGS = ("claim", "verdict", "effect [95 % interval]", "n", "in a word")


def verdict_table(judged: Sequence[Judged]) -> str:
    """One line a claim, then a count of each outcome; no colours, so that it reads the same in a log file."""
    rows = [row(one) for one in judged]
    table = [HEADINGS, *((one.id, one.outcome, one.effect or "-", one.count or "-", one.word) for one in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([*lines, "", tally([one.outcome for one in rows])])


def tally(outcomes: Sequence[str]) -> str:
    """How many of each outcome; the three are named even where there is none.

    Example:
        >>> tally(["SUPPORTED", "CONTRADICTED", "SUPPORTED"])
        '3 claims: 2 supported, 1 contradicted, 0 inconclusive'
    """
    counts = {name: outcomes.count(name) for name in MEANINGS}
    told = ", ".join(f"{count} {name.lower()}" for name, count in counts.items() if count or name not in UNTOLD)
    return f"{len(outcomes)} {'claim' if len(outcomes) == 1 else 'claims'}: {told}"
