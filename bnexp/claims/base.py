"""What a claim is: one object that holds everything needed to disagree with it. No torch at import, anywhere in this package.

A claim declares its runs (grids of ``bnexp train`` commands, or a measurement of its own), what is computed from them, and the rule
that turns it into a verdict, before anything is run. ``analyse`` and ``draw`` are pure functions of records. All that most claims
are written with can be imported from here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.quantities import Quantity
from bnexp.claims.runs import Runs
from bnexp.registry import Registry
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Gates, Rule, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:  # named in annotations alone, so that nothing loads matplotlib before it draws
    Figure = Any

#: Endpoint to the verdict on it, the primary one first.
Verdicts = Mapping[str, Verdict]

FIRST_TUNING_SEED = 1000


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How much a reproduction may cost. Reported seeds are 0..n-1, tuning seeds start at 1000: the two never meet.

    Attributes:
        name: ``smoke`` (seconds; can only say "not powered"), ``quick`` (minutes, embedded digits) or ``full`` (real data sets).
        num_seeds: reported seeds of a training grid that does not say otherwise.
        num_tuning_seeds: seeds that each tuned value is tried at, unless it is far behind on the first ``num_first_seeds``; of a
            tuning that does not say otherwise.
        num_first_seeds: as said.
        every_nth_value: a smoke tuning tries only every n-th value of the list.
        most_extended: values that a list may grow by on each side while the choice lies at its edge.
    """

    name: str
    num_seeds: int
    num_tuning_seeds: int
    num_first_seeds: int
    every_nth_value: int = 1
    most_extended: int = 3

    def tuning_seeds(self, tuning: Tuning) -> tuple[int, ...]:
        """Seeds that choose; nothing from them is reported but the tuning curve."""
        count = tuning.num_seeds.get(self.name, self.num_tuning_seeds)
        return tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + count))


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(name="smoke", num_seeds=2, num_tuning_seeds=1, num_first_seeds=1, every_nth_value=3, most_extended=0),
        Budget(name="quick", num_seeds=8, num_tuning_seeds=4, num_first_seeds=2),
        Budget(name="full", num_seeds=8, num_tuning_seeds=6, num_first_seeds=2),
    )
}


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A value that every arm gets to choose for itself, from the same list, on tuning seeds and validation data only.

    Attributes:
        key: what is tuned, e.g. ``"optimizer.lr"``.
        values: the list, increasing; it grows by itself where a choice lies at its edge.
        by: the judged quantity. Every value within one standard error of the best counts as chosen and is reported.
        same_as: an arm at whose chosen values all arms are run as well (the same-value comparison), or None.
        overrides: for each budget, overrides of tuning runs alone: they may end as soon as they have said what they are for.
        num_seeds: tuning seeds for each budget that differs from the budget's own number.
    """

    key: str
    values: tuple[float, ...]
    by: Quantity
    same_as: str | None = None
    overrides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs of ``bnexp train``: every arm runs at every reported seed.

    Attributes:
        overrides: Hydra overrides all runs share.
        arms: name to overrides; ``{control}`` and ``{subject}`` stand for the claim's.
        tuning: a nuisance value chosen per arm, or None.
        budgets: further overrides for each budget; a budget that is left out has no runs of this grid.
        num_seeds: reported seeds 0..n-1 for each budget that differs from the budget's own number.
        needs: a data set that a machine may be without; there the grid has no runs, and its endpoints are out of reach.
    """

    overrides: tuple[str, ...] = ()
    arms: Mapping[str, str]
    tuning: Tuning | None = None
    budgets: Mapping[str, tuple[str, ...]]
    num_seeds: Mapping[str, int] = field(default_factory=dict)
    needs: str = ""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Numbers that need no training run: algebra, random nets, counting, timing.

    Attributes:
        measure: ``measure(seed, budget)`` returns arrays by name; torch is imported inside it. Deterministic given its seed, except
            where it measures time.
        num_seeds: seeds 0..n-1, for each budget.
        parallel: False where other work on the machine would spoil it (timing).
        takes_subject: ``measure(seed, budget, control, subject, overrides)`` instead: it trains nets, and can those of a variant.
    """

    measure: Callable[..., Mapping[str, np.ndarray]]
    num_seeds: Mapping[str, int]
    parallel: bool = True
    takes_subject: bool = False


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What ``analyse`` makes of the records.

    Attributes:
        samples: endpoint name to what its rule judges; the names are those of ``Claim.endpoints``.
        out_of_reach: endpoints of which too few levels are reached, and why; they need no sample.
        gates: manipulation check to whether it passed; a :class:`~bnexp.stats.gates.Gate` where it is a number of every seed.
        numbers: further numbers worth reporting, name to value in words.
        data: whatever ``draw`` needs, JSON-like or arrays.
        notes: what the reader should know about these runs.
    """

    samples: Mapping[str, Sample]
    out_of_reach: Mapping[str, str] = field(default_factory=dict)
    gates: Gates = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """One registered question of a claim.

    Attributes:
        estimand: what is estimated, in words.
        rule: what judges it.
        unit: of a difference, e.g. ``"points"``; ratios and exponents say themselves what they are.
    """

    estimand: str
    rule: Rule
    unit: str = ""


#: One sentence from the numbers: what an analysis found and the verdicts on it.
Say = Callable[[Evidence, Verdicts], str]


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim, declared.

    Attributes:
        id: file name and command-line word.
        section: its number in ``docs/claims.md``, e.g. ``"B1"``.
        statement: one sentence, as its author would say it.
        source: who says it, where.
        formula: what is measured, as a formula in words.
        grids, measurement: the runs.
        endpoints: name to endpoint; the first is primary, the others are secondary and Holm-corrected.
        analyse, draw: pure functions of records.
        say: the result in one sentence that its numbers carry.
        disputed_by: who disputes it, where; empty when nobody does.
        control, subject: overrides of the layer that the claim compares with and of the one it is about; empty where the claim is
            about something else, or where another layer would make no sense.
        gates: what must hold for the runs to speak about the claim at all.
        caveats: what this cannot show.
        overturn: what would change this verdict.
        deviations: where this differs from the source.
        variant: what was typed to put the same declaration to another layer, data set or net; empty for the claim itself.
    """

    id: str
    section: str
    statement: str
    source: str
    formula: str
    endpoints: Mapping[str, Endpoint]
    analyse: Callable[[Runs, np.random.Generator], Evidence]
    draw: Callable[[Evidence, Figure], None]
    say: Say
    disputed_by: str = ""
    control: str = ""
    subject: str = ""
    grids: tuple[Grid, ...] = ()
    measurement: Measurement | None = None
    gates: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    overturn: str = ""
    deviations: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name among claims and variants, e.g. ``fig1_speed`` or ``fig1_speed subject=norm=ghost``."""
        return " ".join((self.id, *self.variant))


CLAIMS: Registry[Claim] = Registry("claim")


def register(claim: Claim) -> Claim:
    """Make a claim known under its id."""
    return CLAIMS.add(claim.id, claim)
