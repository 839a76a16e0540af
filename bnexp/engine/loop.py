"""The reference loop: what one run does, in the order it does it.

Step t means "after t updates". At t = 0 and later the run is looked at on fixed grids: the training curve,
the validation score, the probes. Looking never changes the run: evaluation and probes leave no trace in buffers or generators.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from bnexp.config.schema import TrainConfig
from bnexp.engine.build import Experiment, prepare_weights
from bnexp.engine.evaluate import evaluate
from bnexp.engine.forward import pick_forward
from bnexp.engine.journal import Journal, Ledger, Stopwatch, run_title
from bnexp.engine.processes import any_of
from bnexp.engine.step import pick_step, set_lr
from bnexp.engine.weights import Keeper
from bnexp.models.blocks import freeze_norms
from bnexp.probes.base import guest
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord
from bnexp.records.writer import recorded
from bnexp.schedule import curve_steps, evaluation_steps, lr_factor, most_evaluations

#: Points in a row beyond a goal that reach it, as in :func:`bnexp.records.curves.time_to_target`.
IN_A_ROW = 2


def train(
    experiment: Experiment, journal: Journal, save: Callable[[int], None], resumed_at: int | None = None
) -> Ended:
    """Train to the last step, to the goals of ``train.stop_at_...``, or to the first loss that is not a finite number.

    Args:
        experiment: the run, at step 0 or as a checkpoint left it.
        journal: takes every measurement.
        save: called with the step wherever a checkpoint may be written, after each point of the training curve.
        resumed_at: the checkpoint's step, whose looks are already on record.

    Returns:
        ``finished`` or ``diverged``, the last update that belongs to the run, and which training step it used; ``reason`` where
        a finished net is not finite.
    """
    ledger = Ledger(experiment.config.train.batch_size)
    looks = Looks(experiment, journal, ledger, save)
    return _train(experiment, looks, ledger, journal.watch, resumed_at)


def follow(experiment: Experiment, save: Callable[[int], None], resumed_at: int | None = None) -> Ended:
    """:func:`train` in a process that shares its batches with process 0 (``execution.ddp``) and leaves all looks to that."""
    ledger = Ledger(experiment.config.train.batch_size)
    return _train(experiment, Followed(experiment, ledger, save), ledger, Stopwatch(), resumed_at)


def _train(
    experiment: Experiment, looks: Looks | Followed, ledger: Ledger, watch: Stopwatch, resumed_at: int | None
) -> Ended:
    config = experiment.config
    steps = config.train.steps
    experiment.model.train()
    if resumed_at is None:
        prepare_weights(experiment)
    freeze_before(experiment, resumed_at)
    execution, advance = pick_step(experiment, watch)

    for step in range(resumed_at or 0, steps + 1):
        if step != resumed_at:
            diverged_at = looks.after(step)
            if diverged_at is not None:
                return Ended(status="diverged", step=diverged_at, execution=execution)
        if step == steps or looks.reached:
            break
        if step == config.norm.freeze_after:
            freeze_norms(experiment.model)
            frozen, advance = pick_step(experiment, watch)
            execution = execution if frozen == execution else f"{execution}, then {frozen}"
        set_lr(experiment.optimizer, config.optimizer.lr * lr_factor(config.schedule, step, steps))
        loss, correct = advance(experiment.batches.next())  # step.py: gather, augment, standardise, forward, backward, update
        ledger.add(loss, correct)

    return finished(experiment, step, execution)


def freeze_before(experiment: Experiment, resumed_at: int | None) -> None:
    """Freeze the norms of a run whose checkpoint is from after ``norm.freeze_after``: no buffer holds that they are."""
    after = experiment.config.norm.freeze_after
    if after is not None and resumed_at is not None and resumed_at > after:
        freeze_norms(experiment.model)


def finished(experiment: Experiment, step: int, execution: str) -> Ended:
    """The end, after ``step`` updates, of a run whose losses were all finite; a net that is broken all the same is told of.

    Batch statistics may overflow while what they normalise does not: such a net trains, and answers at random in eval mode.
    """
    broken = [name for name, value in experiment.model.state_dict().items() if not bool(value.isfinite().all())]
    reason = ""
    if broken:
        others = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        reason = f"not finite after the last step, so that its scores mean nothing: {', '.join(broken[:3])}{others}"
        print(
            f"{run_title(experiment.config)}: {reason}; a smaller optimizer.lr or model.init_scale may help",
            file=sys.stderr,
        )
    return Ended(status="finished", step=step, execution=execution, reason=reason)


class Looks:
    """What is looked at after which step of a run: the training curve, the validation score, the probes, a checkpoint.

    Attributes:
        goals: what the run may stop at; they have seen what is on record, so that a resumed run stops where the unbroken one does.
        reached: they are reached, and every process of the run knows.
    """

    def __init__(self, experiment: Experiment, journal: Journal, ledger: Ledger, save: Callable[[int], None]) -> None:
        train = experiment.config.train
        self._experiment, self._journal, self._ledger, self._save = experiment, journal, ledger, save
        self._evaluations, self._logs = _when(experiment)
        self._forward = pick_forward(experiment, len(self._evaluations), journal.watch)
        self._observations = {name: set(probe.steps()) for name, probe in experiment.probes.items()}
        self._last_step = train.steps
        self.goals = Goals(train)
        self._keeper = Keeper(experiment, journal.writer.folder)
        if train.may_stop:
            for event in RunRecord(journal.writer.folder).events():
                self.goals.see(event["name"], event["value"])
        self.reached = any_of(self.goals.reached)

    @property
    def steps(self) -> set[int]:
        """After which updates there is anything to look at."""
        return self._logs.union(*self._observations.values())

    def after(self, step: int) -> int | None:
        """Look; returns the update whose loss was not finite, which ends the run, if there was one since the last look."""
        experiment, journal = self._experiment, self._journal
        reading = self._ledger.read(step) if step in self._logs else None
        if reading and reading.diverged_at is not None:
            journal.scalars(reading.diverged_at, {"train/loss": float("nan")})
            return reading.diverged_at
        if reading:
            lr = experiment.optimizer.param_groups[0]["lr"]
            self.goals.see("train/loss", recorded(reading.loss))
            journal.scalars(step, {"train/loss": reading.loss, "train/accuracy": reading.accuracy, "train/lr": lr})
            journal.step_time(step, reading.num_steps)
        if step in self._evaluations:
            with (
                journal.watch.aside("eval"),
                guest(experiment.model, [experiment.noise]),
            ):  # norm.in_eval draws noise here too
                score = evaluate(experiment.model, experiment.validation, experiment, self._forward)
            self.goals.see("val/accuracy", recorded(score.accuracy))
            journal.scalars(step, {"val/accuracy": score.accuracy, "val/loss": score.loss})
            with journal.watch.aside("record"):
                self._keeper.evaluated(step, score.accuracy)
        end = self._last_step if self.goals.reached else step  # a run that stops here has its last look here
        for name, due in self._observations.items():
            if (step in due or end in due) and not self._ledger.broken():
                with journal.watch.aside("probe"), guest(experiment.model, [experiment.noise, experiment.augmentation]):
                    seen = experiment.probes[name].observe(step)
                journal.observations(name, seen)
        if step in self._logs:  # nothing is waiting in the ledger: here the run can be saved, and stopped
            self.reached = any_of(self.goals.reached)
            self._save(step)
        return None


class Followed:
    """What the other processes do at the steps after which process 0 looks: they read the same losses, and stop where it stops.

    Attributes:
        reached: process 0 says that the run's goals are.
    """

    def __init__(self, experiment: Experiment, ledger: Ledger, save: Callable[[int], None]) -> None:
        self._ledger, self._save = ledger, save
        self._logs = _when(experiment)[1]
        self.reached = any_of(False)

    def after(self, step: int) -> int | None:
        """As of :class:`Looks`; the losses are those of the whole batch, so that all processes find the same."""
        if step not in self._logs:
            return None
        reading = self._ledger.read(step)
        if reading and reading.diverged_at is not None:
            return reading.diverged_at
        self.reached = any_of(False)
        self._save(step)
        return None


def _when(experiment: Experiment) -> tuple[set[int], set[int]]:
    """The steps after which a run is evaluated, and those after which its training curve has a point."""
    train = experiment.config.train
    most = most_evaluations(train.steps, train.batch_size, len(experiment.validation))
    evaluations = set(evaluation_steps(train.steps, train.eval_every, most, train.eval_from, train.eval_gap))
    return evaluations, evaluations | set(curve_steps(train.steps, train.log_every))


class Goals:
    """Counts the points in a row beyond ``train.stop_at_accuracy`` and ``train.stop_at_loss``, where these are given.

    A goal is reached at the second of two consecutive evaluations above the accuracy, or points of ``train/loss`` below the loss,
    and stays reached.
    """

    def __init__(self, train: TrainConfig) -> None:
        goals = {"val/accuracy": train.stop_at_accuracy, "train/loss": train.stop_at_loss}
        self._goals = {name: goal for name, goal in goals.items() if goal is not None}
        self._in_a_row = dict.fromkeys(self._goals, 0)

    def see(self, name: str, value: float | None) -> None:
        """The next point of a curve; None where it was not finite."""
        if name in self._goals and self._in_a_row[name] < IN_A_ROW:
            goal = self._goals[name]
            beyond = value is not None and (value < goal if name == "train/loss" else value > goal)
            self._in_a_row[name] = self._in_a_row[name] + 1 if beyond else 0

    @property
    def reached(self) -> bool:
        """Whether there are goals and all of them have been reached, not necessarily at once."""
        return bool(self._goals) and all(count == IN_A_ROW for count in self._in_a_row.values())
