"""The report: one page that needs nothing else, and the verdicts as a Markdown table, of which a README may hold a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bnexp.claims.base import Claim
from bnexp.claims.judge import Judged, judge_all
from bnexp.claims.runs import Runs
from bnexp.errors import UserError
from bnexp.report.beside import Elsewhere, elsewhere, overruled
from bnexp.report.front import PAPER, SURFACE, answers
from bnexp.report.measured import measured_words
from bnexp.report.pictures import Picture, endpoint_pictures, own_picture
from bnexp.report.provenance import Series, complete_records, deviations_of, provenance, series
from bnexp.report.tuning import DRAWS, TuningView, tuning_views
from bnexp.report.words import (
    MEANINGS,
    SIGNS,
    WITHOUT_VERDICT,
    ClaimRow,
    again_words,
    claim_row,
    in_order,
    is_exact,
    p_words,
    tally,
)
from bnexp.stats.verdict import RuleWords, Verdict, counted

TEMPLATES = Path(__file__).parent / "templates"
PAGE, TABLE = "index.html", "table.md"

#: Where a README's copy of the table stands.
BEGIN, END = "<!-- verdicts:begin -->", "<!-- verdicts:end -->"

HEADINGS = ("claim", "verdict", "effect [95 % interval]")

#: Under a table in which stabilities stand.
STABILITY = "The percentage is the share of re-draws of seeds and tuning that give the same verdict; below 80 % it is fragile."


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    page: Path
    table: Path


def gather(claims: Sequence[Claim], budget: str, runs_dir: Path) -> list[Judged]:
    """Every claim, see :func:`~bnexp.report.words.in_order`; what was never started stands as not run."""
    judged = judge_all(claims, budget, runs_dir)
    known = {one.claim.key for one in judged}
    judged += [Judged(claim=c, budget=budget, runs=Runs(c, budget, (), runs_dir)) for c in claims if c.key not in known]
    return in_order(judged)


def build(judged: Sequence[Judged], out: Path, others: Mapping[str, Sequence[Judged]] = {}) -> Written:
    """Write the page and the table into ``out``; the same records give the same bytes.

    Args:
        judged: what the page is about.
        out: the folder.
        others: see :func:`~bnexp.report.beside.judged_elsewhere`.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = Written(out / PAGE, out / TABLE)
    written.page.write_text(page([section(one, others.get(one.claim.key, ())) for one in judged]), encoding="utf-8")
    written.table.write_text(markdown_table(judged) + "\n", encoding="utf-8")
    return written


def page(sections: Sequence[Section]) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    outcomes = [one.row.outcome for one in sections]
    drawn = {one.row.id: one for one in sections if one.own}
    return environment.get_template("index.html.j2").render(
        sections=sections,
        answers=[claim_row(one) for one in answers([one.judged for one in sections if not one.overruled])],
        surface=drawn.get(SURFACE),
        paper=[drawn[name] for name in PAPER if name in drawn],
        provenance=provenance([one.judged for one in sections]),
        tally=tally([one.row for one in sections]),
        num_endpoints=sum(len(one.judged.verdicts) for one in sections),
        meanings={name: words for name, words in MEANINGS.items() if name not in WITHOUT_VERDICT or name in outcomes},
        draws_shown=DRAWS,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
    )


@dataclass(frozen=True)
class EndpointView:
    """One endpoint: what was asked, the rule, the answer, its pictures.

    Attributes:
        name, estimand: as declared.
        primary: whether it decides the claim.
        rule: what would support and contradict it.
        verdict: None for claims not run.
        again: how stable it is, as part of a sentence; empty where nothing is drawn.
        p: of no effect, Holm-adjusted among secondary endpoints; empty where there is none.
        pictures: interval and seeds.
        elsewhere: what other budgets say.
    """

    name: str
    estimand: str
    primary: bool
    rule: RuleWords
    verdict: Verdict | None
    again: str
    p: str
    pictures: list[Picture]
    elsewhere: list[Elsewhere]


@dataclass(frozen=True)
class Section:
    """One claim's part of the page.

    Attributes:
        row: the line of the table.
        judged: claim, evidence and verdicts.
        endpoints: the primary one first.
        own: the claim's own figure; None for claims not run.
        tuning: how arms were tuned, one for each grid.
        series: runs with their commands and names.
        deviations: from the claim's source, then from those of the code it ran.
        command: what runs whatever is missing and judges the claim again.
        overruled: whether a larger budget says the opposite, so that the page opens with another claim's sentence.
    """

    row: ClaimRow
    judged: Judged
    endpoints: list[EndpointView]
    own: Picture | None
    tuning: list[TuningView]
    series: list[Series]
    deviations: list[str]
    command: str
    overruled: bool


def section(judged: Judged, others: Sequence[Judged] = ()) -> Section:
    """Gather and draw."""
    claim, evidence = judged.claim, judged.evidence
    endpoints, said = [], elsewhere(judged, others)
    for index, (name, endpoint) in enumerate(claim.endpoints.items()):
        verdict = judged.verdicts.get(name)
        sample = evidence.samples.get(name) if evidence else None
        drawn = endpoint_pictures(endpoint, sample, verdict, measured_words(claim.id, name, endpoint)) if sample else []
        p = p_words(verdict.p) if verdict and verdict.p is not None else ""
        again, rule = again_words(verdict) if verdict else "", endpoint.rule.in_words()
        endpoints.append(EndpointView(name, endpoint.estimand, index == 0, rule, verdict, again, p, drawn, said[name]))
    return Section(
        row=claim_row(judged),
        judged=judged,
        endpoints=endpoints,
        own=own_picture(judged, evidence) if evidence else None,
        tuning=tuning_views(judged) if evidence else [],
        series=series(judged),
        deviations=[*claim.deviations, *deviations_of(complete_records([judged]))],
        command=f"bnexp reproduce {claim.key} budget={judged.budget}",
        overruled=overruled(said, claim),
    )


def markdown_table(judged: Sequence[Judged]) -> str:
    """The verdict table between its markers, as it stands in a README: claims about training, then all of algebra in one line.

    Variants are on the page alone.
    """
    own = [one for one in judged if not one.claim.variant]
    rows, exact = [claim_row(one) for one in own], [one for one in own if is_exact(one.claim)]
    cells = [*(_cells(one) for one in rows if not one.exact), *([_exact_cells(exact)] if exact else [])]
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS)), *map(_line, cells)]
    budget = ", ".join(sorted({one.budget for one in own}))
    summary = f"{tally(rows)} (budget={budget}).{f' {STABILITY}' if any(one.share for one in rows) else ''}"
    return "\n".join([BEGIN, "", *lines, "", summary, "", END])


def check_place(file: Path) -> None:
    """The file has a place for the table.

    Raises:
        UserError: it does not have both markers, once each, in order, or is not there.
    """
    _around(file)


def replace_table(file: Path, table: str) -> None:
    """Put ``table`` where the markers are.

    Raises:
        UserError: the file does not have both markers, once each, in order.
    """
    before, after = _around(file)
    file.write_text(before + table + after, encoding="utf-8")


def is_stale(file: Path, table: str) -> bool:
    """Whether the file's table is not ``table``.

    Raises:
        UserError: as :func:`replace_table`.
    """
    before, after = _around(file)
    return file.read_text(encoding="utf-8") != before + table + after


def _around(file: Path) -> tuple[str, str]:
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise UserError(
            "there is no place for the verdict table" if file.is_file() else "there is no such file",
            got=file,
            todo=f"write {BEGIN} and {END} on lines of their own, once",
        )
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]


def _cells(one: ClaimRow) -> list[str]:
    share = one.share if "fragile" in one.share else one.share and f"again in {one.share}"
    verdict = f"{SIGNS[one.outcome]} **{one.outcome}**, {'; '.join(filter(None, [one.word, share]))}"
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
    return [f"{counted(len(rows), 'claim')} of algebra and counting: {words}", ", ".join(told), "exact: nothing is estimated"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, cells))} |"


def _escaped(cell: str) -> str:
    """A bar would end the cell, and ``<`` might begin a tag."""
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
