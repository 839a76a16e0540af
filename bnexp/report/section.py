"""Everything the page says of one claim, gathered for its template."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bnexp.claims.base import Evidence
from bnexp.claims.judge import Judged
from bnexp.report.deviations import deviations_of
from bnexp.report.pictures import Picture, endpoint_pictures, own_picture
from bnexp.report.provenance import complete_records
from bnexp.report.series import Series, series
from bnexp.report.tuning import TuningView, tuning_views
from bnexp.report.words import ClaimRow, adjusted_p_values, claim_row, p_words
from bnexp.stats.verdict import RuleWords, Verdict


@dataclass(frozen=True)
class EndpointView:
    """One endpoint: what was asked, the rule, the answer, its pictures.

    Attributes:
        name, estimand: as declared.
        primary: whether it decides the claim.
        rule: what would support and contradict it.
        verdict: None for claims not run.
        effect, count: in words.
        p: of no effect, Holm-adjusted among secondary endpoints; empty where there is none.
        pictures: interval, seeds, survival.
    """

    name: str
    estimand: str
    primary: bool
    rule: RuleWords
    verdict: Verdict | None
    effect: str
    count: str
    p: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Section:
    """One claim's part of the page.

    Attributes:
        row: the line of the table.
        judged: claim, evidence and verdicts.
        endpoints: the primary one first.
        own: the claim's own figure; None for claims not run.
        tuning: how arms were tuned, one for each grid.
        series: runs with their commands and folders.
        deviations: from the claim's source, then from those of the code it ran.
        command: what runs whatever is missing and judges the claim again.
    """

    row: ClaimRow
    judged: Judged
    endpoints: list[EndpointView]
    own: Picture | None
    tuning: list[TuningView]
    series: list[Series]
    deviations: list[str]
    command: str


def section(judged: Judged, page_folder: Path) -> Section:
    """Gather and draw."""
    claim, evidence = judged.claim, judged.evidence
    return Section(
        row=claim_row(judged),
        judged=judged,
        endpoints=_endpoints(judged, evidence),
        own=own_picture(judged, evidence) if evidence else None,
        tuning=tuning_views(judged) if evidence else [],
        series=series(judged, page_folder),
        deviations=[*claim.deviations, *deviations_of(complete_records([judged]))],
        command=f"bnexp reproduce {claim.id} budget={judged.budget}",
    )


def _endpoints(judged: Judged, evidence: Evidence | None) -> list[EndpointView]:
    p_values = adjusted_p_values(judged)
    views = []
    for index, (name, endpoint) in enumerate(judged.claim.endpoints.items()):
        declared = (name, endpoint.estimand, index == 0, endpoint.rule.in_words())
        verdict = judged.verdicts.get(name)
        if evidence is None or verdict is None:
            views.append(EndpointView(*declared, None, "", "", "", []))
            continue
        words = endpoint.rule.result_in_words(evidence.samples[name], verdict)
        p = p_words(p_values[name]) if name in p_values else ""
        drawn = endpoint_pictures(f"{slug(judged.claim.id)}-{index}", endpoint, evidence.samples[name], verdict)
        views.append(EndpointView(*declared, verdict, words.effect, words.count, p, drawn))
    return views


def slug(words: str) -> str:
    """Words as part of an id.

    Example:
        >>> slug("Own rate, early")
        'own-rate-early'
    """
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
