"""Why does it work? The argument: who says what, and for each dispute the verdicts that tell the sides apart, beside each other.

What the sides say is written here, each at its strongest; what came out is only ever read off the verdicts. A claim that was not
reproduced is told as such and speaks for nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from bnexp.claims.judge import Judged
from bnexp.figures.argument import Measured, SourceRow, draw_dispute, draw_sources
from bnexp.parallel import for_each
from bnexp.report.disputes import ANSWER, DISPUTES, THE_REASON, Dispute, Test
from bnexp.report.pictures import Picture, effect_in_words, picture
from bnexp.report.words import SIGNS, ClaimRow, claim_row
from bnexp.stats.verdict import Verdict, counted

Outcome = Literal["SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"]

#: Fewer are drawn in less time than a process takes to start.
DISPUTES_A_PROCESS = 3


@dataclass(frozen=True)
class Said:
    """One short sentence with the verdict it rests on.

    Attributes:
        sentence: no stronger than the verdict.
        row: of the claim; None for the last sentence, which counts several.
    """

    sentence: str
    row: ClaimRow | None


@dataclass(frozen=True)
class DisputeView:
    """One dispute of the page.

    Attributes:
        dispute: what the sides say.
        picture: their predictions beside what was measured; None where nothing was.
        follows: how many verdicts fit whom, in a sentence.
        rows: of the claims that were judged, in order, each once.
        not_run: claims it would need that were not reproduced.
    """

    dispute: Dispute
    picture: Picture | None
    follows: str
    rows: list[ClaimRow]
    not_run: list[str]


def the_answer(judged: Sequence[Judged], overruled: Sequence[str] = ()) -> list[Said]:
    """The page's question in at most ten sentences, each linked to its verdict; the last one counts what speaks for the old reason.

    Args:
        judged: every claim.
        overruled: claims of which a larger budget says the opposite, which are left out.
    """
    known = {one.claim.id: one for one in _own(judged) if one.claim.id not in overruled}
    said = [
        Said(f"{sentences[one.primary.outcome]}{' (fragile)' if one.primary.fragile else ''}.", row_of(one, judged))
        for name, sentences in ANSWER.items()
        if (one := known.get(name)) and one.primary
    ]
    tests = list(_judged_tests(THE_REASON, known))
    if said and tests:
        said.append(Said(f"Is internal covariate shift the reason? {follows(THE_REASON, known)}", None))
    return said


def argument(judged: Sequence[Judged]) -> list[DisputeView]:
    """Every dispute of which at least one claim was judged."""
    known = {one.claim.id: one for one in _own(judged)}
    views, pictures = [], []
    for dispute in DISPUTES:
        tests = list(_judged_tests(dispute, known))
        if not tests:
            continue
        names = list(dict.fromkeys(test.claim for test in dispute.tests))
        rows = [row_of(known[name], judged) for name in names if name in known]
        drawn = [_measured(test, known[test.claim], verdict) for test, verdict in tests]
        label = f"{dispute.question} {follows(dispute, known)}"
        caption = (
            "Each bar is a measured effect with its interval. Shaded is where it has to lie for the claim to be supported; a side "
            "is named where its prediction lies, and at the right stands whom the verdict fits."
        )
        pictures.append(partial(picture, partial(draw_dispute, drawn), caption, label, (8.6, 1.1 * len(drawn) + 0.3)))
        not_run = [name for name in names if name not in known]
        views.append(DisputeView(dispute, None, follows(dispute, known), rows, not_run))
    shown = for_each(lambda place: pictures[place](), len(pictures), DISPUTES_A_PROCESS)
    return [replace(view, picture=one) for view, one in zip(views, shown, strict=True)]


def row_of(one: Judged, judged: Sequence[Judged]) -> ClaimRow:
    """A claim's row; where it was judged at another budget than most, its share says so."""
    usual = Counter(other.budget for other in judged).most_common(1)[0][0]
    row = claim_row(one)
    return (
        row if one.budget == usual else replace(row, share=", ".join(filter(None, [row.share, f"budget={one.budget}"])))
    )


def follows(dispute: Dispute, known: Mapping[str, Judged]) -> str:
    """How many of the verdicts that tell the sides apart fit whom."""
    fits: Counter[str] = Counter()
    fragile = 0
    for test, verdict in _judged_tests(dispute, known):
        fits[_fits(test, verdict)] += 1
        fragile += verdict.fragile
    sides = [f"{_number(fits[side])} {'fits' if fits[side] == 1 else 'fit'} {_side(side)}" for side in dispute.sides]
    undecided = fits[""]
    sides += [f"{_number(undecided)} {'decides' if undecided == 1 else 'decide'} nothing"] if undecided else []
    ending = f" ({_number(fragile)} of these verdicts {'is' if fragile == 1 else 'are'} fragile)"
    told = f"Of {counted(fits.total(), 'verdict')} that could tell them apart, {_listed(sides)}"
    return f"{told}{ending}." if fragile else f"{told.rstrip('.')}."  # the last side may be "Yang et al."


def sources_picture(judged: Sequence[Judged]) -> Picture | None:
    """The map: who says what, who disputes it, and the verdict on each line between them."""
    rows = [
        SourceRow(one.claim.id, sources_of(one.claim.source), sources_of(one.claim.disputed_by), one.primary.outcome)
        for one in _own(judged)
        if one.primary
    ]
    if not rows:
        return None
    caption = (
        "Left who says it, in the middle the claim with our verdict, right who disputes it. A line has the colour and the "
        "pattern of the verdict."
    )
    return picture(partial(draw_sources, rows, SIGNS), caption, size=(9.2, 0.24 * len(rows) + 0.8))


def sources_of(words: str) -> tuple[str, ...]:
    """Papers that a source names, as ``Author et al. year``; the blog post and its lecture as one.

    Example:
        >>> sources_of("Ioffe & Szegedy 2015, section 3.3 (in words); Arora, Li & Lyu 2019, Lemma 2.4")
        ('Ioffe & Szegedy 2015', 'Arora et al. 2019')
        >>> sources_of("the blog post, after A. Ng's lecture; Santurkar et al. 2018")
        ('the blog post', 'Santurkar et al. 2018')
        >>> sources_of("van Laarhoven 2017, eq. 3")
        ('van Laarhoven 2017',)
    """
    one = r"(?:(?:van|von|de|der|den) )*[A-Z][\w'-]+"
    found = ["the blog post"] if re.search(r"\bblog\b", words) else []
    for name in re.findall(rf"((?:{one}(?:, | & | and ))*{one}(?: et al\.)?),? \(?((?:19|20)\d\d)", words):
        authors = re.split(r", | & | and ", name[0])
        first = authors[0].removesuffix(" et al.")
        short = f"{first} et al." if len(authors) > 2 or " et al." in name[0] else " & ".join([first, *authors[1:]])
        found.append(f"{short} {name[1]}")
    return tuple(dict.fromkeys(found))


def _own(judged: Sequence[Judged]) -> list[Judged]:
    return [one for one in judged if one.primary and not one.claim.variant]


def _judged_tests(dispute: Dispute, known: Mapping[str, Judged]) -> Iterator[tuple[Test, Verdict]]:
    for test in dispute.tests:
        if test.claim in known:
            verdicts = known[test.claim].verdicts
            yield test, verdicts[test.endpoint or next(iter(verdicts))]


def _fits(test: Test, verdict: Verdict) -> str:
    """The side a verdict fits; empty where it fits none."""
    return {"SUPPORTED": test.supported, "CONTRADICTED": test.contradicted}.get(verdict.outcome, "")


def _measured(test: Test, judged: Judged, verdict: Verdict) -> Measured:
    name = test.endpoint or next(iter(judged.verdicts))
    endpoint = judged.claim.endpoints[name]
    marks = endpoint.rule.marks()
    sample = judged.evidence.samples.get(name) if judged.evidence else None
    axis = effect_in_words(endpoint, sample, log=marks.log) if sample else ""
    title = f"{test.asks}  ({test.claim})"
    fits = _fits(test, verdict)
    told = f"fits {fits}" if fits else f"{SIGNS[verdict.outcome]} {verdict.word}"
    return Measured(title, axis, verdict.effect, marks, test.supported, test.contradicted, told, verdict.outcome)


def _side(side: str) -> str:
    """A side in a sentence: in quotation marks where it is a sentence itself."""
    return side if "et al." in side or "&" in side or side.startswith("the ") else f"“{side}”"


def _number(count: int) -> str:
    return (
        ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[count]
        if count < 10
        else str(count)
    )


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
