"""The comparison itself: what each arm's runs say with intervals, and each arm against its base."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from bnexp.compare.arms import Arm, Grouping, Run, Settings, complete_runs, group, same_number, shown, why_not_paired
from bnexp.compare.effects import Effect, Estimate, times, with_holm
from bnexp.compare.measures import (
    ACCURACIES,
    COSTS,
    GAP,
    Common,
    Measure,
    all_measures,
    batch_size,
    cannot_tell,
    check_targets,
    reached,
    targets_of,
    to_target,
    value,
)
from bnexp.errors import UserError, nearest, unknown_name
from bnexp.records.reader import RunRecord
from bnexp.stats.intervals import Interval

#: The smallest effects that matter unless the user says: points of accuracy, and per cent of everything that is compared by ratios.
SMALLEST_POINTS, SMALLEST_PERCENT = 0.5, 10.0


@dataclass(frozen=True)
class Question:
    """What is asked of the runs.

    Attributes:
        by, tune, where: as :func:`bnexp.compare.arms.group` takes them.
        base: settings of the arm that others are compared with; an arm's base is alike in all other settings.
        measure: what is judged; empty: test accuracy; where batch sizes and examples differ, validation accuracy at equal examples;
            where all runs were to stop at an accuracy, steps to it.
        effect: the smallest that matters, in points or in per cent; None for the default.
        paired: True insists on pairs, False does without, None pairs what can be.
        targets: validation accuracies in (0, 1); by default those that the runs were recorded with.
    """

    by: tuple[str, ...] = ()
    tune: tuple[str, ...] = ()
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    base: Mapping[str, str] = field(default_factory=dict)
    measure: str = ""
    effect: float | None = None
    paired: bool | None = None
    targets: tuple[float, ...] = ()

    @property
    def target(self) -> tuple[float, ...]:
        """The target that ``measure`` names, if it does."""
        try:
            target = float(self.measure.partition("@")[2])
        except ValueError:
            return ()
        return (target,) if 0 < target < 1 else ()


@dataclass(frozen=True)
class Summary:
    """A measure over an arm's runs.

    Attributes:
        interval: mean (of what is compared by ratios the geometric one) with its 95 % t-interval; without limits for one run.
        num_runs: that have the measure.
        arrived: of a measure to a target, how many reached it; the others stand for the common training, so that the mean is a
            lower bound where some did not.
    """

    interval: Interval
    num_runs: int
    arrived: int | None = None

    @property
    def censored(self) -> bool:
        """Whether a run did not arrive."""
        return self.arrived is not None and self.arrived < self.num_runs


@dataclass(frozen=True)
class Block:
    """Arms that are compared with each other.

    Attributes:
        settings: what they share and other blocks have otherwise.
        arms: best first by mean final validation accuracy.
        measures: by name.
        targets: asked for.
        question: what was asked.
        keys: settings that tell the arms apart.
        tuned: settings of which each arm has its own best value.
    """

    settings: Settings
    arms: tuple[Arm, ...]
    targets: tuple[float, ...]
    question: Question
    keys: tuple[str, ...]
    tuned: tuple[str, ...] = ()

    @cached_property
    def runs(self) -> list[Run]:
        """Of all arms."""
        return [run for arm in self.arms for run in arm.runs.values()]

    @cached_property
    def common(self) -> Common:
        """The training that all runs have in common."""
        return Common.of(self.runs)

    @cached_property
    def mixed(self) -> bool:
        """Whether an arm and its base were planned with different training, so that all are looked at after the shortest."""
        return any(_planned(self.arms[one]) != _planned(self.arms[other]) for one, other in self.bases.items())

    def common_of(self, arm: Arm) -> Common:
        """The training after which an arm is looked at: that of all arms, or its own where its base has the same."""
        return self.common if self.mixed else Common.of([*arm.runs.values()])

    @property
    def at_equal_examples(self) -> bool:
        """Whether arms and bases differ in batch size and in examples seen, so that their ends are not of equal training."""
        return self.mixed and self.common.unequal

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """By name."""
        return all_measures(self.targets)

    @cached_property
    def reached(self) -> tuple[float, ...]:
        """The targets that some run reached within the common training."""
        return tuple(
            target
            for target in self.targets
            if any(
                (found := self.summary(arm, self.measures[f"steps@{target:g}"])) and found.arrived for arm in self.arms
            )
        )

    @property
    def goal(self) -> Measure | None:
        """Steps, or examples, to the accuracy at which all runs were to stop; None where they were not."""
        goals = {run.settings.get("train.stop_at_accuracy") for run in self.runs}
        goal = goals.pop()
        return to_target(self.common.unit, goal) if goal and not goals else None

    @cached_property
    def judged(self) -> Measure:
        """What the verdicts are about."""
        if self.question.measure:
            return self.measures[self.question.measure]
        test = self.measures["test"]
        return self.goal or (test if self.tested and not self.at_equal_examples else self.measures["validation"])

    @property
    def tested(self) -> bool:
        """Whether any run has a test score, see ``train.test``."""
        return any(self.values(arm, self.measures["test"]) for arm in self.arms)

    @property
    def smallest(self) -> float:
        """The smallest effect that matters, in points, or in per cent of a ratio."""
        default = SMALLEST_PERCENT if self.judged.ratio else SMALLEST_POINTS
        return default if self.question.effect is None else self.question.effect

    def values(self, arm: Arm, measure: Measure) -> dict[int, float]:
        """A measure of an arm's runs by seed, of those that have it; accuracies and targets after the common training."""
        common = self.common_of(arm)
        found = {seed: value(run, measure, common) for seed, run in arm.runs.items()}
        return {seed: number for seed, number in found.items() if number is not None}

    def summary(self, arm: Arm, measure: Measure) -> Summary | None:
        """A measure over an arm; None where not every run has it."""
        values = list(self.values(arm, measure).values())
        if len(values) < len(arm.runs) or (measure.ratio and min(values) <= 0):
            return None
        logs = [math.log(one) for one in values] if measure.ratio else values
        interval = Estimate.of(logs).interval()
        arrived = None
        if measure.target is not None:
            common = self.common_of(arm)
            ended = [reached(run, measure.target, common) for run in arm.runs.values()]
            arrived = sum(took is not None and took.observed for took in ended)
        on_scale = interval.mapped(times) if measure.ratio else interval
        if measure in ACCURACIES and len(values) > 1:  # an accuracy lies between 0 and 100 %
            on_scale = on_scale.mapped(lambda percent: min(max(percent, 0.0), 100.0))
        return Summary(on_scale, len(values), arrived)

    @cached_property
    def bases(self) -> dict[int, int]:
        """Place of each arm to that of its base; an arm without one is not in it.

        Unless it is given, the base is ``norm=none`` where norms are compared and it is among them, else the arm that is best after
        the training that all have in common: by validation accuracy, or by the ratio that is judged.
        """
        wanted = dict(self.question.base)
        if not wanted and "norm" in self.keys and any(arm.settings["norm"] == "none" for arm in self.arms):
            wanted = {"norm": "none"}
        if not wanted:
            best = max(range(len(self.arms)), key=lambda place: self._merit(self.arms[place]))
            return {place: best for place in range(len(self.arms)) if place != best}
        rest = [key for key in self.keys if key not in wanted]
        found = {}
        for place, arm in enumerate(self.arms):
            for other, candidate in enumerate(self.arms):
                same = all(shown(candidate.settings[key]) == shown(arm.settings[key]) for key in rest)
                if other != place and same and self.is_base(candidate, wanted):
                    found[place] = other
        return found

    def _merit(self, arm: Arm) -> float:
        """What the best arm has most of: the ratio that is judged, else validation accuracy, since the test is for judging."""
        named = self.measures[self.question.measure] if self.question.measure else self.goal
        measure = named if named and named.ratio else self.measures["validation"]
        values = [value(run, measure, self.common) for run in arm.runs.values()]
        if any(one is None or (measure.ratio and one <= 0) for one in values):
            return -math.inf
        return (
            measure.direction
            * sum(math.log(one) if measure.ratio else one for one in values if one is not None)
            / len(values)
        )

    @staticmethod
    def is_base(arm: Arm, wanted: Mapping[str, str]) -> bool:
        """Whether an arm has the settings of a base."""
        return all(shown(arm.settings.get(key)) == same_number(word) for key, word in wanted.items())

    def effect(self, arm: Arm, base: Arm, measure: Measure) -> Effect | None:
        """What an arm gains over another in a measure; None where a run of theirs has none.

        Raises:
            UserError: pairs were asked for, and these are none.
        """
        ours, theirs = self.values(arm, measure), self.values(base, measure)
        if (
            len(ours) < len(arm.runs)
            or len(theirs) < len(base.runs)
            or (measure.ratio and min(*ours.values(), *theirs.values()) <= 0)
        ):
            return None
        why = why_not_paired(arm, base)
        if why and self.question.paired:
            what = f"{arm.label(self.keys)} and {base.label(self.keys)} cannot be paired: {why}"
            raise UserError(
                what, got="paired=true", todo="paired=false (compares them as independent runs, by Welch's t)"
            )
        if self.question.paired is False:
            why = "paired=false"
        sign, scale = measure.direction, math.log if measure.ratio else float
        left, right = ({seed: sign * scale(one) for seed, one in side.items()} for side in (ours, theirs))
        if why:
            estimate = Estimate.unpaired([*left.values()], [*right.values()])
        else:
            estimate = Estimate.of([left[seed] - right[seed] for seed in sorted(left.keys() & right.keys())])
        smallest = self.smallest if measure == self.judged else SMALLEST_PERCENT if measure.ratio else SMALLEST_POINTS
        return Effect(estimate, math.log1p(smallest / 100) if measure.ratio else smallest, measure.ratio, not why, why)

    @cached_property
    def effects(self) -> dict[int, Effect]:
        """Place of an arm to what it gains over its base in what is judged; Holm's correction over the arms of a base."""
        found: dict[int, Effect] = {}
        for base in dict.fromkeys(self.bases.values()):
            places = [place for place, one in self.bases.items() if one == base]
            several = {place: self.effect(self.arms[place], self.arms[base], self.judged) for place in places}
            known = {place: one for place, one in several.items() if one}
            found |= dict(zip(known, with_holm(list(known.values())), strict=True))
        return dict(sorted(found.items()))


def _planned(arm: Arm) -> set[tuple[int, int]]:
    """Batch size and steps that an arm's runs were planned with."""
    return {(batch_size(run), int(run.settings["train.steps"])) for run in arm.runs.values()}


@dataclass(frozen=True)
class Comparison:
    """Arms of runs, compared.

    Attributes:
        grouping: how they were found.
        blocks: arms that are compared with each other.
        question: what was asked.
    """

    grouping: Grouping
    blocks: tuple[Block, ...]
    question: Question


def compare(records: Sequence[RunRecord], question: Question | None = None) -> Comparison:
    """Compare complete runs.

    Raises:
        UserError: nothing to compare, or a question that these runs cannot answer.
    """
    asked = question or Question()
    runs, notes = complete_runs(records)
    if not runs:
        raise UserError(
            "there is no complete run to compare",
            got="; ".join(notes) or "no run",
            todo="bnexp train norm=none,batch seed=0,1,2",
        )
    grouping = group(runs, asked.by, asked.tune, asked.where)
    grouping = Grouping(**{**vars(grouping), "notes": (*notes, *grouping.notes)})
    blocks = []
    for settings, arms in grouping.blocks:
        members = [run for arm in arms for run in arm.runs.values()]
        goals = {goal for run in members if (goal := run.settings.get("train.stop_at_accuracy"))}
        check_targets(members, {*asked.targets, *asked.target})
        goals = {goal for goal in goals if cannot_tell(members, goal) is None}
        targets = {*(asked.targets or targets_of(members)), *asked.target, *goals}
        blocks.append(Block(settings, arms, tuple(sorted(targets)), asked, grouping.keys, grouping.tuned))
    _check(asked, grouping, blocks)
    return Comparison(grouping, tuple(blocks), asked)


def _check(asked: Question, grouping: Grouping, blocks: Sequence[Block]) -> None:
    """Refuse a base that no arm is, and a measure that there is not."""
    for key, word in asked.base.items():
        values = list(
            dict.fromkeys(shown(arm.settings[key]) for block in blocks for arm in block.arms if key in arm.settings)
        )
        if key not in grouping.keys:
            known = ", ".join(grouping.keys) or "nothing"
            todo = f"base={grouping.keys[0]}=..." if grouping.keys else "leave base= out"
            raise UserError(f"the arms do not differ in {key}, but in {known}", got=f"base={key}={word}", todo=todo)
        if same_number(word) not in values:
            todo = f"base={key}={nearest(word, values) or values[0]} (there are {', '.join(values)})"
            raise UserError("no arm has this setting", got=f"base={key}={word}", todo=todo)
    known_measures = list(
        dict.fromkeys(name for block in blocks for name in block.measures if name not in (GAP.name, COSTS[1].name))
    )
    if asked.measure and asked.measure not in known_measures:
        raise unknown_name("measure", asked.measure, known_measures)
