"""The report: one page that needs nothing else, and the verdicts as a Markdown table, of which a README may hold a copy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bnexp.claims.base import Claim
from bnexp.claims.judge import Judged, judge_all
from bnexp.claims.runs import Runs
from bnexp.parallel import for_each
from bnexp.records.jsonfile import write_text
from bnexp.report.argument import argument, sources_picture, the_answer
from bnexp.report.beside import Elsewhere, elsewhere, filled, overruled
from bnexp.report.markdown import markdown_table
from bnexp.report.pictures import Picture, endpoint_pictures, own_picture
from bnexp.report.provenance import Series, complete_records, deviations_of, provenance, series
from bnexp.report.svg import shared
from bnexp.report.tuning import DRAWS, TuningView, tuning_views
from bnexp.report.words import (
    MEANINGS,
    WITHOUT_VERDICT,
    ClaimRow,
    again_words,
    claim_row,
    in_order,
    measured_words,
    p_words,
    repeats_words,
    tally,
)
from bnexp.stats.verdict import RuleWords, Verdict

TEMPLATES = Path(__file__).parent / "templates"
PAGE, TABLE = "index.html", "table.md"

#: Does it help, and is it for the reason that was given? The claims whose sentences answer first.
FIRST = ("fig1_speed", "pinned_moments")

#: The claim whose figure shows all settings at once, and those that repeat the paper's experiment.
SURFACE = "speed_anywhere"
PAPER = ("fig1_speed", "fig1_accuracy", "fig1_stability")

#: Fewer are drawn in less time than a process takes to start.
CLAIMS_A_PROCESS = 5


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


def answers(judged: Sequence[Judged]) -> list[Judged]:
    """The claims whose sentences open the page: those of ``FIRST`` and one more, as far as they were judged.

    The one more is chosen by a rule, not by hand: of all other claims about BN as a layer (those with a subject) whose verdict is
    not fragile, in the order given, the first that is contradicted, else the first that is supported.
    """
    own = [one for one in judged if one.primary and not one.claim.variant]
    first = [one for name in FIRST for one in own if one.claim.id == name]
    others = [one for one in own if one.claim.id not in (*FIRST, SURFACE) and one.claim.subject]
    firm = [one for one in others if one.primary and not one.primary.fragile]
    more = [one for word in ("CONTRADICTED", "SUPPORTED") for one in firm if one.primary and one.primary.outcome == word]
    chosen = [*first, *more[:1]]
    return [one for place, one in enumerate(chosen) if one.sentence not in [before.sentence for before in chosen[:place]]]


def build(judged: Sequence[Judged], out: Path, others: Mapping[str, Sequence[Judged]] = {}) -> Written:
    """Write the page and the table into ``out``; the same records give the same bytes.

    Args:
        judged: what the page is about.
        out: the folder.
        others: see :func:`~bnexp.report.beside.judged_elsewhere`.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = Written(out / PAGE, out / TABLE)
    sections = sections_of([(one, others.get(one.claim.key, ())) for one in judged])
    texts = {written.page: page(sections, filled(judged, others)), written.table: markdown_table(judged) + "\n"}
    for file, text in texts.items():
        write_text(file, text)
    return written


def page(sections: Sequence[Section], argued: Sequence[Judged]) -> str:
    """The page's HTML.

    Args:
        sections: a claim each.
        argued: what the argument goes by: claims that were not judged here as another budget did.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    outcomes = [one.row.outcome for one in sections]
    drawn = {one.row.id: one for one in sections if one.own}
    judged = [one.judged for one in sections]
    html = environment.get_template("index.html.j2").render(
        sections=sections,
        answers=[claim_row(one) for one in answers([one.judged for one in sections if not one.overruled])],
        argument=argument(argued),
        answer=the_answer(argued, [one.row.id for one in sections if one.overruled]),
        sources=sources_picture(argued),
        surface=drawn.get(SURFACE),
        paper=[drawn[name] for name in PAPER if name in drawn],
        provenance=provenance(judged),
        tally=tally([one.row for one in sections]),
        num_endpoints=sum(len(one.judged.verdicts) for one in sections),
        meanings={name: words for name, words in MEANINGS.items() if name not in WITHOUT_VERDICT or name in outcomes},
        draws_shown=DRAWS,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        first=first_places(sections),
    )
    html, rules, shapes = shared(re.sub(r"\n\s+", "\n", html))  # indented for who reads the templates
    return html.replace("@rules@", rules, 1).replace("@shapes@", shapes, 1)


def first_places(sections: Sequence[Section]) -> dict[object, ClaimRow]:
    """Claims share runs, and with them pictures of how these were tuned: each to the claim where it is shown."""
    first: dict[object, ClaimRow] = {}
    for one in sections:
        for common in (*(runs.commands for runs in one.series), *(tuning.picture for tuning in one.tuning)):
            first.setdefault(common, one.row)
    return first


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
        repeats: what whole repetitions said, one sentence; empty where there is none.
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
    repeats: str


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


def sections_of(claims: Sequence[tuple[Judged, Sequence[Judged]]]) -> list[Section]:
    """A section of each claim, with what other budgets say of it."""
    import matplotlib.backends.backend_svg  # noqa: F401 - once, not in every process

    def drawn(place: int) -> Section:
        made = section(*claims[place])
        return replace(made, judged=replace(made.judged, claim=None, runs=None, evidence=None))  # type: ignore[arg-type] # asker has it

    made = for_each(drawn, len(claims), CLAIMS_A_PROCESS, "drawing")
    return [replace(one, judged=judged) for one, (judged, _) in zip(made, claims, strict=True)]


def section(judged: Judged, others: Sequence[Judged] = ()) -> Section:
    """Gather and draw."""
    claim, evidence = judged.claim, judged.evidence
    endpoints, said = [], elsewhere(judged, others)
    for index, (name, endpoint) in enumerate(claim.endpoints.items()):
        verdict = judged.verdicts.get(name)
        sample = evidence.samples.get(name) if evidence else None
        measured = measured_words(claim.id, name, endpoint) if index == 0 else ""
        drawn = endpoint_pictures(endpoint, sample, verdict, measured) if sample else []
        p = p_words(verdict.p) if verdict and verdict.p is not None else ""
        again, rule = again_words(verdict) if verdict else "", endpoint.rule.in_words()
        repeats = repeats_words(endpoint, sample, verdict) if verdict and sample else ""
        endpoints.append(
            EndpointView(name, endpoint.estimand, index == 0, rule, verdict, again, p, drawn, said[name], repeats)
        )
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
