"""What is read off a run to compare it: each measure with its unit and direction, and the training that all arms have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from bnexp.compare.arms import Run
from bnexp.errors import UserError
from bnexp.records.archive import kept_targets
from bnexp.records.curves import time_to_target


@dataclass(frozen=True)
class Measure:
    """One number of a run.

    Attributes:
        name: as typed and as in the data frame, e.g. ``test`` or ``steps@0.9``.
        words: as a table's heading says it.
        unit: ``points`` (differences of percentages), or what ratios are of.
        direction: +1 where more is better, -1 where less is.
        ratio: compared by ratios (of geometric means) and not by differences.
    """

    name: str
    words: str
    unit: str
    direction: int
    ratio: bool

    @property
    def target(self) -> float | None:
        """The validation accuracy that has to be reached, of measures to a target."""
        return float(self.name.partition("@")[2]) if "@" in self.name else None


ACCURACIES = (
    Measure("test", "test accuracy %", "points", 1, False),
    Measure("recomputed", "test, recomputed %", "points", 1, False),
    Measure("validation", "validation accuracy %", "points", 1, False),
)

#: Running minus recomputed statistics.
GAP = Measure("gap", "running - recomputed", "points", 1, False)

COSTS = (
    Measure("examples_per_s", "examples/s", "examples/s", 1, True),
    Measure("peak_memory_mb", "MB", "MB", -1, True),
)


def to_target(unit: str, target: float) -> Measure:
    """Steps, examples or seconds until validation accuracy is above a target."""
    return Measure(f"{unit}@{target:g}", f"{unit} to {target:g}", unit, -1, True)


def all_measures(targets: Sequence[float]) -> dict[str, Measure]:
    """Every measure by name."""
    reaching = [to_target(unit, target) for target in targets for unit in ("steps", "examples", "seconds")]
    return {one.name: one for one in (*ACCURACIES, GAP, *reaching, *COSTS)}


@dataclass(frozen=True)
class Common:
    """The training that all runs of a block have in common.

    Attributes:
        unit: ``steps`` where all have one batch size, else ``examples``.
        amount: the shortest planned training, in this unit.
        unequal: batch sizes and numbers of examples differ, so that the final accuracies are not of equal training.
    """

    unit: str
    amount: int
    unequal: bool

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Common:
        """Of what was planned: a run that diverged, or stopped at a goal, was meant to go on."""
        sizes = {batch_size(run) for run in runs}
        unit = "steps" if len(sizes) == 1 else "examples"
        planned = {int(run.settings["train.steps"]) * (1 if unit == "steps" else batch_size(run)) for run in runs}
        return cls(unit, min(planned), unit == "examples" and len(planned) > 1)

    def steps_of(self, run: Run) -> float:
        """The common training in steps of a run."""
        return self.amount / (1 if self.unit == "steps" else batch_size(run))


def batch_size(run: Run) -> int:
    """Examples a step."""
    return int(run.settings["train.batch_size"])


def targets_of(runs: Sequence[Run]) -> list[float]:
    """All targets that the runs were recorded with, of those that can be told of all runs."""
    recorded = sorted({row["target"] for run in runs for row in run.record.end["targets"]})
    return [target for target in recorded if cannot_tell(runs, target) is None]


def cannot_tell(runs: Sequence[Run], target: float) -> Run | None:
    """A run of an export with a few of its evaluations, which do not tell when this target was reached; None: there is none."""
    few = (run for run in runs if run.record.points_before("val/accuracy"))
    return next((run for run in few if target not in kept_targets(run.record)), None)


def check_targets(runs: Sequence[Run], targets: Iterable[float]) -> None:
    """Refuse targets that not all runs can tell.

    Raises:
        UserError: naming a run, and the targets that can be asked for.
    """
    for target in targets:
        if (run := cannot_tell(runs, target)) is not None:
            kept, had = len(run.curve.steps), run.record.points_before("val/accuracy")
            what = f"{run.record.folder.name} was exported with {kept} of its {had:,} evaluations, too few to tell this target"
            known = ",".join(f"{one:g}" for one in kept_targets(run.record))
            raise UserError(what, got=f"{target:g}", todo=f"targets={known}" if known else "a folder of the runs themselves")


@dataclass(frozen=True)
class Reached:
    """How long a run took to a target.

    Attributes:
        steps, seconds: of training; where the target was not reached, those of the whole training looked at.
        observed: whether it was reached.
    """

    steps: float
    seconds: float
    observed: bool


def reached(run: Run, target: float, common: Common | None = None) -> Reached | None:
    """When a run reached a target within the common training, or within its own where there is none to compare with.

    A run that had not by then stands for that training as a whole, and so does one that diverged: right-censored, in every arm
    alike. None where nobody knows: the run stopped at a goal of its own before.
    """
    took, end = time_to_target(run.curve, target), run.record.end
    horizon = float(run.settings["train.steps"]) if common is None else common.steps_of(run)
    if took.observed and took.steps <= horizon:
        return Reached(max(took.steps, 1), max(took.seconds, 1e-3), True)
    if not took.observed and end.get("stopped_at") is not None and end["stopped_at"] < horizon:
        return None
    steps, seconds = run.curve.steps, run.curve.seconds
    at = float(np.interp(horizon, steps, seconds)) if steps else 0.0
    if steps and horizon > steps[-1] > 0:
        at = seconds[-1] * horizon / steps[-1]  # a run that diverged: what the rest would have taken
    return Reached(horizon, max(at, 1e-3), False)


def accuracy_at(run: Run, common: Common) -> float:
    """Validation accuracy in % after the common training, between two evaluations in proportion; 0 for a diverged run."""
    points = [(step, value) for step, value in zip(run.curve.steps, run.curve.values, strict=True) if value is not None]
    if run.record.status != "finished" or not points:
        return 0.0
    return 100 * float(np.interp(common.steps_of(run), [step for step, _ in points], [one for _, one in points]))


def value(run: Run, measure: Measure, common: Common | None = None) -> float | None:
    """A measure of a run: accuracies in %, gaps in points; None where the run has none.

    A diverged run has an accuracy of 0, as in claims. Examples per second follow from the median price of a step, which leaves
    warm-up, evaluation and probes out. Memory is the peak of the whole process.
    """
    end = run.record.end
    test = end.get("test") or {}
    if measure.target is not None:
        took = reached(run, measure.target, common)
        if took is None:
            return None
        return {"steps": took.steps, "examples": took.steps * batch_size(run), "seconds": took.seconds}[measure.unit]
    if measure.name == "validation":
        return accuracy_at(run, common) if common else 100 * run.score
    if measure.name == "test":
        return 100 * test["accuracy"] if test else 0.0 if run.record.status == "diverged" else None
    if measure.name in ("recomputed", "gap"):
        again = test.get("recomputed_accuracy")
        if again is None:
            return None
        return 100 * again if measure.name == "recomputed" else 100 * (test["accuracy"] - again)
    if measure.name == "examples_per_s":
        return 1000 * batch_size(run) / end["step_ms"] if end.get("step_ms") else None
    return end.get(measure.name)
