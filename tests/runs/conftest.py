"""A claim of eight runs that take a tenth of a second each: enough to tune, report, fail, share, vary and judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Claim, Endpoint, Evidence, Grid, Tuning
from bnexp.claims.quantities import Quantity
from bnexp.claims.runs import Runs
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import Verdict

ARMS = {"control": "{control}", "subject": "{subject}"}


@dataclass(frozen=True)
class Nearness(Quantity):
    """How near a run's rate is to the best one, in doublings: a score whose choice a test knows beforehand."""

    best: float

    far: ClassVar[float] = 1.5
    near: ClassVar[tuple[float, str]] = (0.5, "half a doubling")

    def score(self, record: RunRecord, budget: str) -> float:  # noqa: ARG002 - the same at every budget
        return -round(abs(math.log2(record.header["config"]["optimizer"]["lr"] / self.best)), 6)

    def in_words(self) -> str:
        return "nearness"

    def show(self, score: float) -> str:
        return f"{score:.1f}"


def last_loss(record: RunRecord) -> float:
    """A number that every step of training decides."""
    return record.curve("val/loss").values[-1] or 0.0


def final_losses(runs: Runs, _: np.random.Generator) -> Evidence:
    """The last arm against the first."""
    base, arm = (runs.side(last_loss, runs.arms()[place]) for place in (0, -1))
    return Evidence(samples={"loss": Sample((arm,), (base,))}, gates=runs.tuning_gate())


def say(evidence: Evidence, verdicts: Mapping[str, Verdict]) -> str:
    """What it came to."""
    return f"{len(evidence.samples)} endpoint, {verdicts['loss'].outcome}."


@pytest.fixture
def tiny_claim(small: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Claim]:
    """``tiny_claim()``: a registered claim, tuned, named ``tiny``; a quick budget is two reported seeds and one that tunes.

    ``best`` is the rate that tuning finds, ``values`` the list it starts with, ``budget`` what the quick budget has otherwise.
    """

    def declare(
        *,
        tuned: bool = True,
        id: str = "tiny",
        control: str = "norm=none",
        subject: str = "norm=layer",
        arms: Mapping[str, str] = ARMS,
        values: tuple[float, ...] = (0.03, 0.3),
        best: float = 0.3,
        budget: Mapping[str, int] | None = None,
    ) -> Claim:
        tuning = Tuning(key="optimizer.lr", values=values, by=Nearness(best)) if tuned else None
        claim = Claim(
            id=id, section="T1", statement="Tiny runs differ.", source="a test", disputed_by="", formula="a - b",
            endpoints={"loss": Endpoint("difference of losses", Difference(null=0, smallest=0.1))},
            analyse=final_losses, draw=lambda *_: None, say=say, control=control, subject=subject,
            grids=(Grid(overrides=tuple(small), arms=arms, tuning=tuning, budgets={"quick": ()}),),
        )  # fmt: skip
        monkeypatch.setitem(CLAIMS._entries, id, claim)
        least = {"num_seeds": 2, "num_tuning_seeds": 1, "num_first_seeds": 1, "most_extended": 0}
        monkeypatch.setitem(BUDGETS, "quick", replace(BUDGETS["quick"], **least | dict(budget or {})))
        return claim

    return declare
