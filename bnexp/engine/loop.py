"""The reference loop: what one run does, in the order it does it.

Step t means "after t updates". At t = 0 and later the run is looked at on fixed grids: the training curve,
the validation score, the probes. Looking never changes the run: evaluation and probes leave no trace in buffers or generators.
"""

from __future__ import annotations

from collections.abc import Callable

from bnexp.engine.build import Experiment
from bnexp.engine.compiled import pick_step
from bnexp.engine.evaluate import evaluate
from bnexp.engine.journal import Journal
from bnexp.engine.ledger import Ledger
from bnexp.engine.optimizer import set_lr
from bnexp.probes.base import guest
from bnexp.records.ended import Ended
from bnexp.schedule import evaluation_steps, lr_factor


def train(
    experiment: Experiment, journal: Journal, save: Callable[[int], None], resumed_at: int | None = None
) -> Ended:
    """Train to the last step, or to the first loss that is not a finite number.

    Args:
        experiment: the run, at step 0 or as a checkpoint left it.
        journal: takes every measurement.
        save: called with the step wherever a checkpoint may be written, after each point of the training curve.
        resumed_at: the checkpoint's step, whose looks are already on record.
    """
    config = experiment.config
    steps = config.train.steps
    ledger = Ledger(config.train.batch_size)
    looks = Looks(experiment, journal, ledger, save)
    experiment.model.train()
    kind, advance = pick_step(experiment, journal.watch)

    for step in range(resumed_at or 0, steps + 1):
        if step != resumed_at:
            diverged_at = looks.after(step)
            if diverged_at is not None:
                return Ended(status="diverged", step=diverged_at, execution=kind)
        if step == steps:
            break
        set_lr(experiment.optimizer, config.optimizer.lr * lr_factor(config.schedule, step, steps))
        images, labels = experiment.training_examples(experiment.batches.next(), experiment.augmentation)
        loss, correct = advance(images, labels)  # standardise; then step.py: forward, backward, update
        ledger.add(loss, correct)

    return Ended(status="finished", step=steps, execution=kind)


class Looks:
    """What is looked at after which step of a run: the training curve, the validation score, the probes, a checkpoint."""

    def __init__(self, experiment: Experiment, journal: Journal, ledger: Ledger, save: Callable[[int], None]) -> None:
        train = experiment.config.train
        self._experiment, self._journal, self._ledger, self._save = experiment, journal, ledger, save
        self._evaluations = set(evaluation_steps(train.steps, train.eval_every))
        self._logs = self._evaluations | set(range(0, train.steps, train.log_every))
        self._observations = {name: set(probe.steps()) for name, probe in experiment.probes.items()}

    @property
    def steps(self) -> set[int]:
        """After which updates there is anything to look at."""
        return self._logs.union(*self._observations.values())

    def after(self, step: int) -> int | None:
        """Look; returns the update whose loss was not finite, which ends the run, if there was one since the last look."""
        if step in self._logs:
            diverged_at = _log(step, self._ledger, self._experiment, self._journal)
            if diverged_at is not None:
                return diverged_at
        if step in self._evaluations:
            _evaluate(step, self._experiment, self._journal)
        for name, due in self._observations.items():
            if step in due and not self._ledger.broken():
                _observe(step, name, self._experiment, self._journal)
        if step in self._logs:  # nothing is waiting in the ledger: here the run can be saved, and stopped
            self._save(step)
        return None


def _log(step: int, ledger: Ledger, experiment: Experiment, journal: Journal) -> int | None:
    """One point of the training curve; returns the update at which the loss broke, if it did."""
    interval = ledger.read(step)
    if interval is None:
        return None
    if interval.diverged_at is not None:
        journal.scalars(interval.diverged_at, {"train/loss": float("nan")})
        return interval.diverged_at
    lr = experiment.optimizer.param_groups[0]["lr"]
    journal.scalars(step, {"train/loss": interval.loss, "train/accuracy": interval.accuracy, "train/lr": lr})
    journal.step_time(step, interval.num_steps)
    return None


def _evaluate(step: int, experiment: Experiment, journal: Journal) -> None:
    with journal.watch.aside("eval"), guest(experiment.model, [experiment.noise]):  # norm.in_eval draws noise here too
        score = evaluate(experiment.model, experiment.validation, experiment)
    journal.scalars(step, {"val/accuracy": score.accuracy, "val/loss": score.loss})


def _observe(step: int, name: str, experiment: Experiment, journal: Journal) -> None:
    with journal.watch.aside("probe"), guest(experiment.model, [experiment.noise, experiment.augmentation]):
        seen = experiment.probes[name].observe(step)
    journal.observations(seen)
