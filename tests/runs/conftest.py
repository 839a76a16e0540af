"""A claim of eight runs that take a quarter of a second each: enough to tune, report, fail, share and judge."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Budget, Claim, Endpoint, Evidence, Grid, Sample, Tuning
from bnexp.claims.runs import Runs
from bnexp.stats.rules import Difference

ARMS = ("norm=none", "norm=layer")


def final_losses(runs: Runs, _: np.random.Generator) -> Evidence:
    """A number that every step of training decides."""
    base, arm = (tuple(r.curve("val/loss").values[-1] or 0.0 for r in runs.reported(a).values()) for a in runs.arms())
    return Evidence(samples={"loss": Sample(base=base, arm=arm)})


@pytest.fixture
def tiny_claim(small: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Claim]:
    """``tiny_claim()``: a registered claim, tuned, named ``tiny``; a quick budget is two reported seeds and one that tunes."""

    def declare(*, tuned: bool = True, id: str = "tiny", arms: tuple[str, ...] = ARMS) -> Claim:
        tuning = Tuning(key="optimizer.lr", values=(0.03, 0.3)) if tuned else None
        norms = tuple(arm.removeprefix("norm=") for arm in arms)
        grid = Grid(overrides=tuple(small), vary={"norm": norms}, tuning=tuning, budgets={"quick": ()})
        claim = Claim(
            id=id, section="T1", statement="Tiny runs differ.", source="a test", disputed_by="", formula="a - b",
            endpoints={"loss": Endpoint("difference of losses", Difference(null=0, smallest=0.1))},
            analyse=final_losses, draw=lambda *_: None, grids=(grid,),
        )  # fmt: skip
        monkeypatch.setitem(CLAIMS._entries, id, claim)
        monkeypatch.setitem(BUDGETS, "quick", Budget(name="quick", num_seeds=2, num_tuning_seeds=1))
        return claim

    return declare
