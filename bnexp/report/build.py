"""Writes the report: one page that needs nothing else, and the Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bnexp.claims.base import Claim
from bnexp.claims.judge import Judged, judge_all
from bnexp.claims.runs import Runs
from bnexp.report.markdown import markdown_table
from bnexp.report.provenance import provenance
from bnexp.report.section import Section, section
from bnexp.report.tuning import DRAWS, NEAR_BEST
from bnexp.report.words import MEANINGS, WITHOUT_VERDICT, section_key, tally

TEMPLATES = Path(__file__).parent / "templates"
PAGE, TABLE = "index.html", "table.md"


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    page: Path
    table: Path


def gather(claims: Sequence[Claim], budget: str, runs_dir: Path) -> list[Judged]:
    """Every claim in the order of ``docs/claims.md``; those that were never started stand there as not run."""
    known = {one.claim.id: one for one in judge_all(claims, budget, runs_dir)}
    ordered = sorted(claims, key=lambda claim: (section_key(claim.section), claim.id))
    never = {c.id: Judged(claim=c, budget=budget, runs=Runs((), runs_dir)) for c in claims}
    return [known.get(claim.id, never[claim.id]) for claim in ordered]


def build(judged: Sequence[Judged], out: Path) -> Written:
    """Write the page and the table into ``out``; the same records give the same bytes."""
    out.mkdir(parents=True, exist_ok=True)
    written = Written(out / PAGE, out / TABLE)
    written.page.write_text(page([section(one, out) for one in judged], judged), encoding="utf-8")
    written.table.write_text(markdown_table(judged) + "\n", encoding="utf-8")
    return written


def page(sections: Sequence[Section], judged: Sequence[Judged]) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    outcomes = [one.row.outcome for one in sections]
    return environment.get_template("index.html.j2").render(
        sections=sections,
        provenance=provenance(judged),
        tally=tally(outcomes),
        num_endpoints=sum(len(one.judged.verdicts) for one in sections),
        meanings={name: words for name, words in MEANINGS.items() if name not in WITHOUT_VERDICT or name in outcomes},
        draws_shown=DRAWS,
        near_best=f"{100 * NEAR_BEST:g} points",
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
    )
