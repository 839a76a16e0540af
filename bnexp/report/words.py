"""A judged claim in words: its row of the table, the lines of the terminal, its JSON; costs, counts and p values.

The first table of the page, the README's table and the terminal all show one :class:`ClaimRow` per claim.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bnexp.claims.base import Claim, Endpoint
from bnexp.claims.judge import Judged
from bnexp.stats.intervals import Interval
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Verdict, counted
from bnexp.text import WIDTH, columns

NOT_RUN = "NOT RUN"
NOT_JUDGED = "NOT JUDGED"

#: What stands in an outcome's place where there is no verdict.
WITHOUT_VERDICT = (NOT_RUN, NOT_JUDGED)

#: Outcome to the sign that stands beside its word, so that no verdict is shown by colour alone.
SIGNS = {"SUPPORTED": "✓", "CONTRADICTED": "✗", "INCONCLUSIVE": "?", NOT_RUN: "–", NOT_JUDGED: "!"}

#: What the outcomes mean, for whoever sees them first.
MEANINGS = {
    "SUPPORTED": "the evidence shows the effect, and it is large enough to matter (or, for a claim that two things are the "
    "same, shows that they differ by less than matters)",
    "CONTRADICTED": "the evidence rules the claimed effect out: it is too small to matter, or goes the other way",
    "INCONCLUSIVE": "the evidence allows both answers, there were too few seeds, or a check that had to hold first did not",
    NOT_RUN: "runs are missing, so nothing is said",
    NOT_JUDGED: "all runs are there, but their analysis broke down, so nothing is said",
}

#: Secondary endpoints that are named in the table; more are counted.
MOST_NAMED = 2

#: Of the terminal's table.
HEADINGS = ("claim", "verdict", "again", "n", "effect [95 %]")
EXACT_HEADINGS = (*HEADINGS[:4], "exact")


@dataclass(frozen=True)
class ClaimRow:
    """A claim with its verdict on the primary endpoint, in words.

    Attributes:
        id: of the claim, with the words of a variant behind it.
        section, statement, source, disputed_by: as declared.
        variant: the words of a variant; empty for a claim itself.
        exact: whether it is of algebra or counting: no run is trained, nothing is estimated.
        outcome: one of three, NOT RUN or NOT JUDGED.
        word: the kind of outcome, and where secondary endpoints say otherwise; where there is none, why.
        effect: the estimate with its interval; empty where there is none.
        count: seeds or cases.
        cost: computing time of all runs behind the claim.
        share: how often the verdict would come out again, e.g. ``fragile, 64 %``; empty where nothing is drawn.
        repeats: in how many whole repetitions it did, e.g. ``1 of 3``; empty where there is none, or nothing is drawn.
        again: both as part of a sentence.
        sentence: what was found, as the claim says it; empty where there is no verdict.
    """

    id: str
    section: str
    statement: str
    source: str
    disputed_by: str
    variant: str
    exact: bool
    outcome: str
    word: str
    effect: str = ""
    count: str = ""
    cost: str = ""
    share: str = ""
    repeats: str = ""
    again: str = ""
    sentence: str = ""

    @property
    def anchor(self) -> str:
        """Its name inside the page; addresses take neither blanks nor brackets."""
        return re.sub(r"[^A-Za-z0-9_=.,+-]+", "~", self.id)


def claim_row(judged: Judged) -> ClaimRow:
    """The row of one claim."""
    claim = judged.claim
    row = ClaimRow(
        id=claim.key, section=claim.section, statement=claim.statement, source=claim.source, disputed_by=claim.disputed_by,
        variant=" ".join(claim.variant), exact=is_exact(claim), outcome=NOT_RUN, word="",
    )  # fmt: skip
    if judged.failure:
        return replace(row, outcome=NOT_JUDGED, word=f"the analysis broke down: {judged.failure}")
    if judged.primary is None or judged.evidence is None:
        return replace(row, word=missing_words(judged))
    name, endpoint = next(iter(claim.endpoints.items()))
    row = replace(
        row,
        outcome=judged.primary.outcome,
        word="; ".join([judged.primary.word, *_otherwise(judged)]),
        cost=cost_words(seconds_spent([judged])),
        share=judged.primary.share_words,
        repeats="" if row.exact else judged.primary.repeat_words,
        again=again_words(judged.primary),
        sentence=judged.sentence,
    )
    if name not in judged.evidence.samples:
        return row
    result = endpoint.rule.result_in_words(judged.evidence.samples[name], judged.primary, endpoint.unit)
    return replace(row, effect=result.effect, count=result.count)


def is_exact(claim: Claim) -> bool:
    """Whether a claim is of algebra or counting."""
    return next(iter(claim.endpoints.values())).rule.per_case


def in_order(judged: Sequence[Judged]) -> list[Judged]:
    """As in ``docs/claims.md``, claims about training first, each followed by its variants."""
    return sorted(
        judged, key=lambda one: (is_exact(one.claim), section_key(one.claim.section), one.claim.id, one.claim.variant)
    )


def again_words(verdict: Verdict) -> str:
    """How stable a verdict is, as part of a sentence; empty where nothing is drawn.

    Example:
        >>> again_words(Verdict("SUPPORTED", "", None, "as claimed", 0.97))
        'comes out again in 97 % of re-draws'
        >>> again_words(Verdict("SUPPORTED", "", None, "as claimed", 0.64))
        'fragile, comes out again in 64 % of re-draws'
    """
    share = [] if verdict.stability is None else [f"in {100 * verdict.stability:.0f} % of re-draws"]
    repeats = [f"in {verdict.repeat_words} whole repetitions"] if verdict.repeats and share else []
    fragile = ["fragile"] if verdict.fragile else []
    return ", ".join([*fragile, *([f"comes out again {' and '.join([*share, *repeats])}"] if share else [])])


def repeats_words(endpoint: Endpoint, sample: Sample, verdict: Verdict) -> str:
    """What whole repetitions said of an endpoint, one sentence; empty where there is none, and of algebra."""
    if endpoint.rule.per_case or not verdict.repeats:
        return ""
    said = []
    for one in verdict.repeats:
        shown = replace(verdict, effect=one.effect)
        effect = f" {endpoint.rule.result_in_words(sample, shown, endpoint.unit).effect}" if one.effect else ""
        said.append(f"{one.outcome}{effect} (seeds from {one.first_seed:,} on)")
    return f"Whole repetitions with other seeds, tuning included: {'; '.join(said)}."


def _otherwise(judged: Judged) -> list[str]:
    """Secondary endpoints with a verdict that is not the primary's: by name where they are few, else counted."""
    primary, *others = judged.verdicts.items()
    words = []
    for outcome in ("CONTRADICTED", "SUPPORTED"):
        names = [f'"{name}"' for name, verdict in others if verdict.outcome == outcome]
        if names and outcome != primary[1].outcome:
            few = len(names) <= MOST_NAMED
            words.append(f"{outcome.lower()}: {', '.join(names) if few else f'{len(names)} further endpoints'}")
    return words


def missing_words(judged: Judged) -> str:
    """How many runs are missing; before tuning is done, the reported runs cannot be counted yet."""
    claim, cells = judged.claim, judged.runs.cells
    if not cells:
        declared = claim.measurement or any(judged.budget in grid.budgets for grid in claim.grids)
        return "never started" if declared else f"no runs with budget={judged.budget}"
    more = " at least" if {cell.regime for cell in cells} == {"tuning"} else ""
    return f"{len(judged.missing)} of{more} {len(cells)} runs missing"


def seconds_spent(judged: Sequence[Judged]) -> float:
    """Training and measuring time of all complete runs, each counted once however many claims share it."""
    records = {cell.run_id: one.runs.record(cell) for one in judged for cell in one.runs.cells}
    clocks = [record.end.get("seconds", {}) for record in records.values() if record.complete]
    return sum(clock.get("train", 0.0) + clock.get("measure", 0.0) for clock in clocks)


def verdict_table(judged: Sequence[Judged]) -> str:
    """A line of numbers for each claim with its sentence below, then a count of each outcome; as wide as a terminal, no colours.

    Claims of algebra have a table of their own, since nothing of theirs comes out otherwise in another draw.
    """
    rows = [claim_row(one) for one in judged]
    tables = [_table([one for one in rows if one.exact is exact]) for exact in (False, True)]
    return "\n\n".join([*filter(None, tables), tally(rows)])


def _table(rows: Sequence[ClaimRow]) -> str:
    """Empty where there is no row; a column in which nothing stands is left out, and an effect for which a line has no room stands
    in the next.
    """
    if not rows:
        return ""
    claims = [one.id.split(" ")[0] for one in rows]
    pairs = zip(claims, ["", *claims], strict=False)
    names = ["  variant" if one.variant and own == above else own for one, (own, above) in zip(rows, pairs, strict=True)]
    cells = [
        [name, one.outcome, _share(one), one.count.split(" ")[0], one.effect] for name, one in zip(names, rows, strict=True)
    ]
    kept = [index for index, column in enumerate(zip(*cells, strict=True)) if any(column)]
    headings = EXACT_HEADINGS if rows[0].exact else HEADINGS
    heading, *lines = columns([[row[index] or "-" for index in kept] for row in (headings, *cells)]).splitlines()
    effect = heading.index(headings[-1]) if kept[-1] == len(headings) - 1 else WIDTH
    lines = [line if len(line) <= WIDTH else f"{line[:effect].rstrip()}\n  {line[effect:]}" for line in lines]
    below = [textwrap.wrap(_below(one), WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False,
                           break_on_hyphens=False) for one in rows]  # fmt: skip
    return "\n".join([heading, *(line for above, more in zip(lines, below, strict=True) for line in (above, *more))])


def _share(one: ClaimRow) -> str:
    return ", ".join(filter(None, [one.share, one.repeats.replace(" of ", "/")]))


def _below(one: ClaimRow) -> str:
    return ". ".join(filter(None, [f"{one.variant}: {one.word}" if one.variant else one.word, one.sentence]))


def tally(rows: Sequence[ClaimRow]) -> str:
    """How many of each outcome, e.g. ``3 claims: 2 supported, 1 contradicted, 0 inconclusive``; variants by themselves alone."""
    claims = [one for one in rows if not one.variant]
    outcomes = [one.outcome for one in claims or rows]
    counts = {name: outcomes.count(name) for name in MEANINGS}
    words = [f"{count} {name.lower()}" for name, count in counts.items() if count or name not in WITHOUT_VERDICT]
    return f"{counted(len(outcomes), 'claim' if claims or not rows else 'variant')}: {', '.join(words)}"


def as_json(judged: Judged) -> dict[str, Any]:
    """One claim for machines; a limit that is not there is null."""
    claim = judged.claim
    return {
        "claim": claim.id,
        "variant": list(claim.variant),
        "sentence": judged.sentence,
        "section": claim.section,
        "statement": claim.statement,
        "budget": judged.budget,
        "outcome": claim_row(judged).outcome,
        "missing_runs": len(judged.missing),
        "missing": [cell.run_id for cell in judged.missing],
        "failure": judged.failure,
        "seconds": round(seconds_spent([judged]), 3),
        "gates": {name: bool(held) for name, held in judged.evidence.gates.items()} if judged.evidence else {},  # NumPy's own too
        "endpoints": {
            name: {
                "outcome": verdict.outcome,
                "word": verdict.word,
                "reason": verdict.reason,
                "stability": verdict.stability,
                "repetitions": [
                    {"first_seed": one.first_seed, "outcome": one.outcome, "effect": _interval_json(one.effect)}
                    for one in verdict.repeats
                ],
                "p": verdict.p,
                "effect": _interval_json(verdict.effect),
            }
            for name, verdict in judged.verdicts.items()
        },
    }


def _interval_json(effect: Interval | None) -> dict[str, Any] | None:
    if effect is None:
        return None
    values = {"estimate": effect.estimate, "low": effect.low, "high": effect.high}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return {**finite, "level": effect.level, "num_seeds": effect.num_seeds}


def p_words(p: float) -> str:
    """A p value; the smallest are not worth their digits.

    Example:
        >>> p_words(0.0412), p_words(1e-9)
        ('0.041', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def cost_words(seconds: float) -> str:
    """Computing time as people say it.

    Example:
        >>> [cost_words(seconds) for seconds in (0.2, 42, 185, 7500)]
        ['under 1 s', '42 s', '3 min', '2.1 h']
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def section_key(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts ``B2`` before ``B10``.

    Example:
        >>> sorted(["B10", "B2", "A5"], key=section_key)
        ['A5', 'B2', 'B10']
    """
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in re.findall(r"\d+|\D+", name))


#: Characters a line and lines that an axis has room for.
AXIS_LINE, AXIS_LINES = 34, 3

_LEVELS = {
    "seconds": "seconds of training to a level of validation error, mean over levels",
    "training loss": "training steps to a level of training loss, mean over levels",
    "": "training steps to a level of validation error, mean over levels",
}

#: Claim to words by a part of the endpoint's name, the first that fits; of other claims the estimand stands at the axis.
MEASURED: Mapping[str, Mapping[str, str]] = {
    "affine_needed": {"accuracy": "test accuracy after the last step, %"},
    "detached_statistics": {"rate": "log2 of the largest learning rate"},
    "dyt": {"transformer": "test accuracy after the last step, %"},
    "higher_rates": {"largest": "log2 of the largest learning rate at which it learns"},
    "only_the_rate": {"rate": "test accuracy after the last step, %"},
    "skip_init": {"SkipInit": "test accuracy after the last step, %"},
    "fig1_accuracy": {"": "test accuracy after the last step, %"},
    "fig1_speed": _LEVELS,
    "hidden_normalization": _LEVELS,
    "input_normalization": _LEVELS,
    "fig1_stability": {
        "spread": "total variation of the log of a unit's 15-85 % width (no unit)",
        "": "total variation of a unit's median, in its own 15-85 % widths",
    },
    "layer_coupling": {
        "interaction": "decrease of all updates together minus one by one, share of the latter",
        "gradient": "how far the gradient moved, in its own length",
        "nudge": "change of the loss, share of the loss",
    },
    "minibatch_noise": {
        "gap": "training minus test accuracy at the end, points",
        "loss": "validation accuracy at equal training loss, %",
        "test": "test accuracy at the end, %",
    },
    "pinned_moments": {
        "sd": "change of the log of a unit's sd from look to look (no unit)",
        "": "change of a unit's mean from look to look, in its sd",
    },
    "step_cost": {"": "milliseconds a training step"},
}


def measured_words(claim: str, name: str, endpoint: Endpoint) -> str:
    """What stands at the axis of both sides, in at most ``AXIS_LINES`` lines and one of the unit.

    Args:
        claim: its id.
        name: of the endpoint.
        endpoint: whose estimand and unit stand there where nothing else was written down, as what both sides are put together to.
    """
    known = next((words for part, words in MEASURED.get(claim, {}).items() if part in name), "")
    if known:
        return textwrap.fill(known, AXIS_LINE)
    unit = f"\n({endpoint.unit})" if endpoint.unit else ""
    words = f"each side of: {endpoint.estimand}"
    return textwrap.fill(words, AXIS_LINE, max_lines=AXIS_LINES, placeholder=" ...") + unit
