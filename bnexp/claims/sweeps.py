"""Nets without and with BN at every rate of a list, the same list for both: claims about rates (B15, B21, D1) read the same runs.

A rate is chosen by cross-fitting: for each seed on all the other seeds, so that a choice never sees the run that it is judged by.

Legend: Q rates, S seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from bnexp.claims.base import Grid
from bnexp.claims.quantities import Levels, Speed
from bnexp.claims.runs import Runs
from bnexp.records.reader import RunRecord

SIDES = ("control", "subject")

#: A run learns while its training loss ends below this, in nats; guessing one of ten classes has 2.30, and so has a dead net.
LEARNS = 2.0


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One net at every rate.

    Attributes:
        words: what it is called in a sentence.
        overrides: of all its runs.
        budgets: further ones for each budget.
        rates: the list for each budget, equally spaced on a logarithmic scale, increasing.
        num_seeds: reported seeds for each budget.
        speed: levels of validation error that a claim about speed reads.
        needs: as :attr:`Grid.needs`.
    """

    words: str
    overrides: tuple[str, ...]
    budgets: Mapping[str, tuple[str, ...]]
    rates: Mapping[str, tuple[float, ...]]
    num_seeds: Mapping[str, int]
    speed: Speed
    needs: str = ""

    def grids(self) -> tuple[Grid, ...]:
        """One grid a budget, since each has rates of its own: smoke, quick, full."""
        return tuple(
            Grid(
                overrides=(*self.overrides, "probes=none"),
                arms={arm(side, rate): f"{{{side}}} optimizer.lr={rate}" for side in SIDES for rate in self.rates[budget]},
                budgets={budget: words},
                num_seeds={budget: self.num_seeds[budget]},
                needs=self.needs,
            )
            for budget, words in self.budgets.items()
        )


def arm(side: str, rate: float) -> str:
    """The name of an arm."""
    return f"{side} at {rate:g}"


def octaves(first: int, last: int, step: int = 1) -> tuple[float, ...]:
    """Powers of two from ``2**first`` to ``2**last``."""
    return tuple(2.0**power for power in range(first, last + 1, step))


@dataclass(frozen=True)
class Swept:
    """The runs of a sweep at the budget of ``runs``; ``first`` is the index of the first of its grids."""

    runs: Runs
    sweep: Sweep
    first: int

    @property
    def grid(self) -> int:
        """The grid of this budget."""
        return self.first + list(self.sweep.budgets).index(self.runs.budget)

    @property
    def rates(self) -> np.ndarray:
        """Shape ``[Q]``."""
        return np.array(self.sweep.rates[self.runs.budget])

    def absent(self) -> str:
        """Why there are no runs; empty where there are."""
        if self.runs.budget not in self.sweep.budgets:
            return f"At budget={self.runs.budget} this net is not trained, which takes too long."
        return self.runs.absent(self.grid)

    def read(self, side: str, number: Callable[[RunRecord], float]) -> np.ndarray:
        """A number of every run of a side. Shape ``[Q, S]``."""
        rows = [self.runs.reported(arm(side, rate), grid=self.grid) for rate in self.sweep.rates[self.runs.budget]]
        return np.array([[number(record) for record in row] for row in rows], float)

    def best(self, side: str) -> np.ndarray:
        """For each seed the index of the rate with the best mean validation accuracy at the others. Shape ``[S]``."""
        return cross_fitted(best_mean, self.read(side, validation_points))

    def largest(self, side: str) -> np.ndarray:
        """For each seed the index of the largest rate at which all the others learn. Shape ``[S]``."""
        return cross_fitted(largest_for_all, self.read(side, learns))

    def log_steps(self, side: str) -> np.ndarray:
        """Mean log T over the sweep's levels; a level that is not reached counts as the horizon. Shape ``[Q, S]``."""
        return self.read(side, lambda record: -self.sweep.speed.score(record, self.runs.budget))


def final_loss(record: RunRecord) -> float:
    """Training loss in nats, the mean of the last five points of its curve; infinite where one is not finite."""
    return fmean(np.inf if value is None else value for value in record.curve("train/loss").values[-5:])


def learns(record: RunRecord) -> bool:
    """Whether the run finished with a :func:`final_loss` below ``LEARNS``."""
    return record.status == "finished" and final_loss(record) < LEARNS


def validation_points(record: RunRecord) -> float:
    """Validation accuracy at the end in points, mean of the last five evaluations: what rates are chosen by; 0 if diverged."""
    if record.status != "finished":
        return 0.0
    return 100 * fmean(value or 0.0 for value in record.curve("val/accuracy").values[-5:])


def largest(learns_QS: np.ndarray) -> np.ndarray:
    """Index of the largest rate at which each seed's run learns; -1 where none does. Shape ``[S]``."""
    count = len(learns_QS)
    return np.where(learns_QS.any(axis=0), count - 1 - np.argmax(learns_QS[::-1], axis=0), -1)


def num_near_best(points_QS: np.ndarray, within: float) -> np.ndarray:
    """How many neighbouring rates around each seed's best one end within ``within`` points of it, that one included. ``[S]``."""
    near_QS = points_QS >= points_QS.max(axis=0) - within
    counts = []
    for near_Q, best in zip(near_QS.T, points_QS.argmax(axis=0), strict=True):
        above = next((i for i, near in enumerate(near_Q[best:]) if not near), len(near_Q) - best)
        below = next((i for i, near in enumerate(near_Q[best::-1]) if not near), best + 1)
        counts.append(above + below - 1)
    return np.array(counts)


def cross_fitted(choose: Callable[[np.ndarray], int], values_QS: np.ndarray) -> np.ndarray:
    """For each seed the index that ``choose`` takes on the values ``[Q, S - 1]`` of all the other seeds. Shape ``[S]``."""
    return np.array([choose(np.delete(values_QS, seed, axis=1)) for seed in range(values_QS.shape[1])])


def best_mean(values_QS: np.ndarray) -> int:
    """The rate whose mean over seeds is highest."""
    return int(values_QS.mean(axis=1).argmax())


def largest_for_all(learns_QS: np.ndarray) -> int:
    """The largest rate at which every seed learns; 0, the smallest, where there is none."""
    every_Q = learns_QS.astype(bool).all(axis=1)
    return int(np.flatnonzero(every_Q).max(initial=0))


def at(values_QS: np.ndarray, index_S: np.ndarray) -> np.ndarray:
    """Each seed's value at its own rate. Shape ``[S]``."""
    return values_QS[np.clip(index_S, 0, len(values_QS) - 1), np.arange(values_QS.shape[1])]


_SMOKE = ("dataset=mnist_5k", "train.steps=30", "train.eval_every=30", "train.log_every=5")
_QUICK = (
    "dataset=mnist_5k", "dataset.validation_examples=250", "train.eval_every=100", "train.eval_gap=0.15", "train.log_every=20",
)  # fmt: skip
_FULL = ("dataset=mnist", "dataset.validation_examples=2000", "train.eval_every=100", "train.log_every=20")

RELU = Sweep(
    words="a ReLU net of eight layers",
    overrides=(
        "model=mlp", "model.activation=relu", "model.depth=8", "model.init=he", "model.init_scale=1", "optimizer.momentum=0",
    ),
    budgets={"smoke": _SMOKE, "quick": (*_QUICK, "train.steps=300"), "full": (*_FULL, "train.steps=2000")},
    rates={"smoke": octaves(-6, 2, 4), "quick": octaves(-6, 4), "full": octaves(-8, 6)},
    num_seeds={"smoke": 2, "quick": 8, "full": 8},
    speed=Speed({"smoke": Levels(0.9, 0.5, 30), "quick": Levels(0.4, 0.1, 300), "full": Levels(0.3, 0.04, 2000)}),
)  # fmt: skip

SIGMOID = Sweep(
    words="the paper's sigmoid net",
    overrides=("model=mlp", "optimizer.momentum=0"),
    budgets={"smoke": _SMOKE, "quick": (*_QUICK, "train.steps=500"), "full": (*_FULL, "train.steps=2000")},
    rates={"smoke": octaves(-2, 6, 4), "quick": octaves(-1, 6), "full": octaves(-4, 8)},
    num_seeds={"smoke": 2, "quick": 6, "full": 8},
    speed=Speed({"smoke": Levels(0.9, 0.5, 30), "quick": Levels(0.4, 0.1, 500), "full": Levels(0.3, 0.04, 2000)}),
)

CNN = Sweep(
    words="a small convolutional net on colour photographs",
    overrides=("dataset=cifar10_part", "model=cnn", "optimizer.momentum=0", "train.batch_size=32"),
    budgets={
        "full": (
            "dataset.first=21000", "train.steps=1000", "train.eval_every=100", "train.log_every=20",
            "dataset.validation_examples=500",
        )
    },
    rates={"full": octaves(-9, 5)},
    num_seeds={"full": 6},
    speed=Speed({"full": Levels(0.8, 0.55, 1000)}),
    needs="cifar10_part",
)  # fmt: skip

SWEEPS: Mapping[str, Sweep] = {"ReLU": RELU, "sigmoid": SIGMOID, "convolutional": CNN}


def all_grids() -> tuple[Grid, ...]:
    """The grids of every sweep, in their order: what a claim declares that reads them all."""
    return tuple(grid for sweep in SWEEPS.values() for grid in sweep.grids())


def all_swept(runs: Runs) -> tuple[dict[str, Swept], dict[str, str]]:
    """Every sweep that has runs, of a claim that declares :func:`all_grids`; and the endpoints of the others, with the reason."""
    firsts = np.cumsum([0, *(len(sweep.budgets) for sweep in SWEEPS.values())])
    every = {net: Swept(runs, sweep, int(first)) for (net, sweep), first in zip(SWEEPS.items(), firsts, strict=False)}
    absent = {net: why for net, swept in every.items() if (why := swept.absent())}
    out_of_reach = {name: why for net, why in absent.items() for name in runs.out_of_reach(f"{net}: ", why)}
    return {net: swept for net, swept in every.items() if net not in absent}, out_of_reach
