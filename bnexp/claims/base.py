"""What a claim is: one object that holds everything needed to disagree with it. No torch at import, anywhere in this package.

A claim declares its runs (grids of ``bnexp train`` commands, or a measurement of its own), what is computed from them, and the rule
that turns it into a verdict, before anything is run. ``analyse`` and ``draw`` are pure functions of records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.records.curves import Duration
from bnexp.registry import Registry
from bnexp.stats.outcome import Rule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bnexp.claims.runs import Runs

BUDGETS = ("smoke", "quick", "full")


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A value that every arm gets to choose for itself, from the same list, on tuning seeds and validation accuracy only.

    Attributes:
        key: what is tuned, e.g. ``"optimizer.lr"``.
        values: the list.
        same_as: an arm at whose chosen value all arms are run as well (the same-value comparison), or None.
    """

    key: str
    values: tuple[float, ...]
    same_as: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Runs of ``bnexp train``: every combination of ``vary`` is an arm, every arm runs at every reported seed.

    Attributes:
        overrides: Hydra overrides all runs share.
        vary: key to its values; an arm is named by its overrides, e.g. ``"norm=batch"``.
        tuning: a nuisance value chosen per arm, or None.
        budgets: further overrides for each budget; a budget that is left out has no runs of this grid.
        num_seeds: reported seeds 0..n-1 for each budget that differs from the budget's own number.
    """

    overrides: tuple[str, ...] = ()
    vary: Mapping[str, tuple[Any, ...]]
    tuning: Tuning | None = None
    budgets: Mapping[str, tuple[str, ...]]
    num_seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Numbers that need no training run: algebra, random nets, counting, timing.

    Attributes:
        measure: ``measure(seed, budget)`` returns arrays by name; torch is imported inside it. Deterministic given its seed, except
            where it measures time.
        num_seeds: seeds 0..n-1, for each budget.
        parallel: False where other work on the machine would spoil it (timing).
    """

    measure: Callable[[int, str], Mapping[str, np.ndarray]]
    num_seeds: Mapping[str, int]
    parallel: bool = True


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a rule judges: one number a seed for each side, or one a seed where the effect is a single number.

    Attributes:
        base: the side the claim compares with, ``[S]``; None where the effect is ``arm`` itself.
        arm: the side the claim is about, ``[S]``.
        observed_base, observed_arm: False where a duration is censored.
    """

    arm: tuple[float, ...]
    base: tuple[float, ...] | None = None
    observed_base: tuple[bool, ...] | None = None
    observed_arm: tuple[bool, ...] | None = None

    @classmethod
    def durations(cls, base: Sequence[Duration], arm: Sequence[Duration]) -> Sample:
        """Steps to a target of both arms, in the same order of seeds, with what was censored.

        A run that was there before its first step, or diverged in it, counts as one step: a ratio knows no zero.
        """
        return cls(
            arm=tuple(float(max(d.steps, 1)) for d in arm),
            base=tuple(float(max(d.steps, 1)) for d in base),
            observed_base=tuple(d.observed for d in base),
            observed_arm=tuple(d.observed for d in arm),
        )

    @property
    def censored(self) -> bool:
        """Whether any duration is censored."""
        return not all((*(self.observed_base or ()), *(self.observed_arm or ())))


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What ``analyse`` makes of the records.

    Attributes:
        samples: endpoint name to what its rule judges; the names are those of ``Claim.endpoints``.
        gates: manipulation check to whether it passed.
        numbers: further numbers worth telling, name to value in words.
        data: whatever ``draw`` needs, JSON-like or arrays.
        notes: what the reader should know about these runs.
    """

    samples: Mapping[str, Sample]
    gates: Mapping[str, bool] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Endpoint:
    """One registered question of a claim: what is estimated, in words, and the rule that judges it."""

    estimand: str
    rule: Rule


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim, declared.

    Attributes:
        id: file name and command-line word.
        section: its place on the claims sheet, e.g. ``"B1"``.
        statement: one sentence, as its author would say it.
        source: who says it, where.
        disputed_by: who disputes it, where; empty when nobody does.
        formula: what is measured, as a formula in words.
        grids, measurement: the runs.
        endpoints: name to endpoint; the first is primary, the others are secondary and Holm-corrected.
        gates: what must hold for the runs to speak about the claim at all.
        caveats: what this cannot show.
        overturn: what would change this verdict.
        deviations: where this differs from the source.
        analyse, draw: pure functions of records.
    """

    id: str
    section: str
    statement: str
    source: str
    disputed_by: str
    formula: str
    endpoints: Mapping[str, Endpoint]
    analyse: Callable[[Runs, np.random.Generator], Evidence]
    draw: Callable[[Evidence, Figure], None]
    grids: tuple[Grid, ...] = ()
    measurement: Measurement | None = None
    gates: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    overturn: str = ""
    deviations: tuple[str, ...] = ()


CLAIMS: Registry[Claim] = Registry("claim")


def register(claim: Claim) -> Claim:
    """Make a claim known under its id."""
    return CLAIMS.add(claim.id, claim)
