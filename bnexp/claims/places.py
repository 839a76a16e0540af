"""Three kinds of nets in which claims about causes are asked, so that none rests on sigmoids and digits alone, and so that claims
share the runs of their arms.

A claim asks in as many of them as it is about; arms that are spelt alike at one place, tuned on the same quantity, are the same
runs. Levels, rates and steps were fixed after a look at tuning seeds alone (1000 and 1001).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bnexp.claims.base import Grid, Tuning
from bnexp.claims.quantities import Levels, Quantity, Speed


@dataclass(frozen=True, kw_only=True)
class Place:
    """One net on one data set.

    Attributes:
        words: what it is called in a sentence.
        overrides: of all its runs.
        budgets: further ones for each budget.
        rates: learning rates that every arm chooses from.
        speed: levels of validation error, for claims about speed; arms are tuned on it unless a claim judges something else.
        needs: the data set that a machine may not have, see :attr:`Grid.needs`.
    """

    words: str
    overrides: tuple[str, ...]
    budgets: Mapping[str, tuple[str, ...]]
    rates: tuple[float, ...]
    speed: Speed
    needs: str = ""

    def grid(
        self, arms: Mapping[str, str], *, by: Quantity | None = None, same_as: str | None = None, probes: str = "none",
        also: tuple[str, ...] = (), num_seeds: Mapping[str, int] = {}, num_tuning_seeds: Mapping[str, int] = {},
    ) -> Grid:  # fmt: skip
        """Arms here, each at its own best learning rates.

        Args:
            arms: name to overrides, as in :class:`Grid`.
            by: what they are tuned on: the judged quantity; how soon they reach the levels unless said otherwise.
            same_as: as in :class:`Tuning`.
            probes: of the reported runs; tuning runs have none.
            also: further overrides of all runs.
            num_seeds: as in :class:`Grid`.
            num_tuning_seeds: ``num_seeds`` of :class:`Tuning`.
        """
        return Grid(
            overrides=(*self.overrides, *also, f"probes={probes}"),
            arms=arms,
            tuning=Tuning(
                key="optimizer.lr", values=self.rates, by=by or self.speed, same_as=same_as,
                overrides={budget: ("probes=none", *self._stop(budget, by)) for budget in self.budgets},
                num_seeds=num_tuning_seeds,
            ),
            budgets=self.budgets,
            num_seeds=num_seeds,
            needs=self.needs,
        )  # fmt: skip

    def _stop(self, budget: str, by: Quantity | None) -> tuple[str, ...]:
        """A run that chooses a rate by its speed may end once it has been to the hardest level."""
        hardest = self.speed.levels[budget].hardest
        return () if by or budget == "smoke" else (f"train.stop_at_accuracy={1 - hardest:g}",)


#: What claims say of these runs at quick.
PLACES_AT_QUICK = (
    "Made cheaper at quick after its first records: evaluations at most 15 % of a step number apart (convolutional 25 %) "
    "instead of 5, in all arms alike; 4 tuning seeds instead of 6; 160 steps instead of 300 in the convolutional net, 3,200"
    " pictures, and levels of error there that end at .78 instead of .74, so that later ones are not in the ratios. Shorter"
    " runs of the other two were tried and put back: with levels that end at .1 other learning rates are chosen, at which "
    "frozen BN diverges after it has been to all of them, and gradients turn less."
)

_SMOKE = ("train.steps=40", "train.eval_every=20", "train.log_every=20")

SIGMOID = Place(
    words="the paper's sigmoid net",
    overrides=("model=mlp", "optimizer.momentum=0"),
    budgets={
        "smoke": ("dataset=mnist_5k", *_SMOKE),
        "quick": ("dataset=mnist_5k", "train.steps=1000", "train.eval_every=100", "train.eval_gap=0.15", "train.log_every=50"),
        "full": ("dataset=mnist", "train.steps=5000", "train.eval_every=250", "train.log_every=50"),
    },
    rates=(0.25, 1.0, 4.0),
    speed=Speed({"smoke": Levels(0.9, 0.5, 40), "quick": Levels(0.4, 0.08, 1000), "full": Levels(0.3, 0.04, 5000)}),
)

RELU = Place(
    words="a ReLU net of six layers",
    overrides=(
        "model=mlp", "model.activation=relu", "model.depth=6", "model.init=he", "model.init_scale=1", "optimizer.momentum=0",
    ),
    budgets={
        "smoke": ("dataset=mnist_5k", *_SMOKE),
        "quick": ("dataset=mnist_5k", "train.steps=300", "train.eval_every=50", "train.eval_gap=0.15", "train.log_every=50"),
        "full": ("dataset=mnist", "train.steps=3000", "train.eval_every=150", "train.log_every=50"),
    },
    rates=(0.03125, 0.125, 0.5, 2.0),
    speed=Speed({"smoke": Levels(0.9, 0.5, 40), "quick": Levels(0.4, 0.08, 300), "full": Levels(0.2, 0.03, 3000)}),
)  # fmt: skip

CNN = Place(
    words="a small convolutional net on colour photographs",
    overrides=("dataset=cifar10_part", "model=cnn", "optimizer.momentum=0", "train.batch_size=32"),
    budgets={
        "smoke": ("train.steps=10", "train.eval_every=5"),
        "quick": (
            "model.width=8", "train.steps=160", "train.eval_every=50", "train.eval_gap=0.25", "train.log_every=50",
            "dataset.validation_examples=400", "dataset.train_examples=3200",
        ),
        "full": ("dataset.first=21000", "train.steps=2000", "train.eval_every=200", "train.log_every=50"),
    },
    rates=(0.015625, 0.0625, 0.25, 1.0),
    speed=Speed({"smoke": Levels(0.95, 0.85, 10), "quick": Levels(0.85, 0.78, 160), "full": Levels(0.7, 0.45, 2000)}),
    needs="cifar10_part",
)  # fmt: skip

PLACES: Mapping[str, Place] = {"sigmoid": SIGMOID, "ReLU": RELU, "convolutional": CNN}
