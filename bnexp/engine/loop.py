"""The reference loop: what one run does, in the order it does it.

Step t means "after t updates". At t = 0 and later the run is looked at on fixed grids: the training curve,
the validation score, the probes. Looking never changes the run: evaluation and probes leave no trace in buffers or generators.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from bnexp.engine.build import Experiment
from bnexp.engine.compiled import pick_step
from bnexp.engine.evaluate import evaluate
from bnexp.engine.journal import Journal
from bnexp.engine.ledger import Ledger
from bnexp.engine.optimizer import set_lr
from bnexp.probes.base import guest
from bnexp.schedule import evaluation_steps, lr_factor

#: Wall-clock seconds between checkpoints; when they are taken changes nothing in the record.
CHECKPOINT_SECONDS = 20.0


@dataclass(frozen=True)
class Outcome:
    """How training went: ``finished`` or ``diverged``, and the number of the last update that belongs to the run."""

    status: str
    step: int


def train(
    experiment: Experiment, journal: Journal, save: Callable[[int], None], resumed_at: int | None = None
) -> Outcome:
    """Train to the last step, or to the first loss that is not a finite number.

    Args:
        experiment: the run, at step 0 or as a checkpoint left it.
        journal: takes every measurement.
        save: called now and then with the step, to write a checkpoint.
        resumed_at: the checkpoint's step, whose looks are already on record.
    """
    config = experiment.config
    steps = config.train.steps
    evaluations = set(evaluation_steps(steps, config.train.eval_every))
    logs = evaluations | set(range(0, steps, config.train.log_every))
    observations = {name: set(probe.steps()) for name, probe in experiment.probes.items()}
    ledger = Ledger(config.train.batch_size)
    last_save = time.monotonic()
    experiment.model.train()
    advance = pick_step(experiment, journal.watch)

    for step in range(resumed_at or 0, steps + 1):
        if step != resumed_at:
            if step in logs:
                diverged_at = _log(step, ledger, experiment, journal)
                if diverged_at is not None:
                    return Outcome("diverged", diverged_at)
            if step in evaluations:
                _evaluate(step, experiment, journal)
            for name, due in observations.items():
                if step in due and not ledger.broken():
                    _observe(step, name, experiment, journal)
            if step in evaluations and time.monotonic() - last_save > CHECKPOINT_SECONDS:
                save(step)
                last_save = time.monotonic()
        if step == steps:
            break
        set_lr(experiment.optimizer, config.optimizer.lr * lr_factor(config.schedule, step, steps))
        x, y = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
        loss, correct = advance(x, y)  # step.py: forward, backward, update
        ledger.add(loss, correct)

    return Outcome("finished", steps)


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
