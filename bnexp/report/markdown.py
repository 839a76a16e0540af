"""The verdicts in Markdown: a table, and in a README the answer in short with a part of the table, each between its markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnexp.claims.judge import Judged
from bnexp.errors import UserError
from bnexp.report.argument import row_of, the_answer
from bnexp.report.disputes import ANSWER
from bnexp.report.words import SIGNS, ClaimRow, claim_row, is_exact, tally
from bnexp.stats.verdict import counted

#: Where a README's copy of the table stands, and the answer in short.
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"
ANSWER_BEGIN, ANSWER_END = "<!-- answer:begin -->", "<!-- answer:end -->"

HEADINGS = ("claim", "verdict", "effect [95 % interval]")

#: Under a table in which stabilities stand.
STABILITY = (
    "The percentage is how often a new experiment would give the same verdict, by re-draws of seeds, gates and tuning; "
    "below 80 % it is fragile."
)
REPETITIONS = (
    " A repetition is the whole protocol with other seeds, tuning included; a verdict is fragile too where two or more of them, "
    "and more than a fifth, said otherwise."
)

#: Lines about training that a README has at most.
MOST_LINES = 11

#: Claims about training in a README's table: those that the answer rests on, and these.
ALSO_SHOWN = ("fig1_accuracy", "covariate_shift")


def markdown_table(judged: Sequence[Judged], *, short: bool = False) -> str:
    """The verdict table between its markers: claims about training, then all of algebra in one line.

    Variants are on the page alone.

    Args:
        judged: every claim.
        short: as it stands in a README, of a dozen lines at most; all are counted under it.
    """
    own = [one for one in judged if not one.claim.variant]
    rows, exact = [row_of(one, own) for one in own], [one for one in own if is_exact(one.claim)]
    shown = [one for one in rows if not one.exact]
    if short and len(shown) > MOST_LINES:
        shown = [one for one in shown if one.id in (*ANSWER, *ALSO_SHOWN)]
    cells = [*(_cells(one) for one in shown), *([_exact_cells(exact)] if exact else [])]
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS)), *map(_line, cells)]
    budget = ", ".join(sorted({one.budget for one in own}))
    meaning = f" {STABILITY}" if any(one.share for one in rows) else ""
    meaning += REPETITIONS if any(one.repeats for one in shown) else ""
    summary = f"{tally(rows)} (budget={budget}).{meaning}"
    return "\n".join([BEGIN, "", *lines, "", summary, "", END])


def answer(judged: Sequence[Judged], overruled: Sequence[str] = ()) -> str:
    """The answer in at most ten sentences between its markers, each with the claim it rests on."""
    lines = [f"- {one.sentence}{f' (`{one.row.id}`)' if one.row else ''}" for one in the_answer(judged, overruled)]
    return "\n".join([ANSWER_BEGIN, "", *lines, "", ANSWER_END])


def check_place(file: Path) -> None:
    """The file has a place for the table.

    Raises:
        UserError: it does not have both markers, once each, in order, or is not there.
    """
    _around(_text(file), file, BEGIN, END)


def put(file: Path, *parts: str) -> None:
    """Put tables and answers where their markers are.

    Raises:
        UserError: the file does not have both markers of the table, once each, in order; it may be without those of the answer.
    """
    file.write_text(_replaced(file, parts), encoding="utf-8")


def is_stale(file: Path, *parts: str) -> bool:
    """Whether the file holds other tables or answers than these.

    Raises:
        UserError: as :func:`put`.
    """
    return _text(file) != _replaced(file, parts)


def _replaced(file: Path, parts: Sequence[str]) -> str:
    text = _text(file)
    for part in parts:
        begin, end = (ANSWER_BEGIN, ANSWER_END) if part.startswith(ANSWER_BEGIN) else (BEGIN, END)
        if begin == ANSWER_BEGIN and begin not in text:
            continue
        before, after = _around(text, file, begin, end)
        text = before + part + after
    return text


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def _around(text: str, file: Path, begin: str, end: str) -> tuple[str, str]:
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(
            "there is no place for the verdict table" if file.is_file() else "there is no such file",
            got=file,
            todo=f"write {begin} and {end} on lines of their own, once",
        )
    return text[: text.index(begin)], text[text.index(end) + len(end) :]


def _cells(one: ClaimRow) -> list[str]:
    again, comma, budget = one.share.partition(", budget=")
    again = again if again.startswith(("fragile", "budget=")) else again and f"again in {again}"
    again += f" and {one.repeats} repetitions" if again and one.repeats else ""
    verdict = f"{SIGNS[one.outcome]} **{one.outcome}**, {'; '.join(filter(None, [one.word, again + comma + budget]))}"
    return [f"{one.statement} (`{one.id}`)", verdict, one.effect or "–"]


def _exact_cells(exact: Sequence[Judged]) -> list[str]:
    """All claims of algebra and counting in one line: those that hold, with their number of cases, and those that do not."""
    rows = [claim_row(one) for one in exact]
    named = {outcome: [f"`{row.id}`" for row in rows if row.outcome == outcome] for outcome in SIGNS}
    holding = [one for one in exact if one.primary and one.primary.outcome == "SUPPORTED"]
    cases = sum(next(iter(one.evidence.samples.values())).num_seeds for one in holding if one.evidence)
    told = [f"{SIGNS[outcome]} **{outcome}** {len(names)}" for outcome, names in named.items() if names]
    holds = f"no exception in {counted(cases, 'case')} ({', '.join(named['SUPPORTED'])})" if holding else ""
    rest = [f"{outcome.lower()}: {', '.join(n)}" for outcome, n in named.items() if n and outcome != "SUPPORTED"]
    words = "; ".join(filter(None, [holds, *rest]))
    return [
        f"{counted(len(rows), 'claim')} of algebra and counting: {words}",
        ", ".join(told),
        "exact: nothing is estimated",
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    """A bar would end the cell, and ``<`` might begin a tag."""
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
