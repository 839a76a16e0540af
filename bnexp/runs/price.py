"""What missing runs will cost, from a short calibration of each kind of network on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bnexp.config.schema import ExperimentConfig
from bnexp.runs.plan import Job

CALIBRATION_STEPS = 60

#: Start, evaluation, probes and records of a run, beside its training steps; seconds, as seen on two cores.
PER_RUN = 0.5

Kind = tuple[str, str, int]


def kind(config: ExperimentConfig) -> Kind:
    """What decides the price of a step, roughly: the model, whether there is a norm, the batch."""
    return config.model.name, "norm" if config.norm.name != "none" else "none", config.train.batch_size


def seconds_per_step(jobs: Iterable[Job]) -> Mapping[Kind, float]:
    """Calibrate every kind of network among ``jobs`` with a few real training steps, one thread; nothing is recorded."""
    examples = {kind(job.config): job.config for job in jobs if job.config}
    return {name: _calibrate(config) for name, config in examples.items()}


def price(jobs: Iterable[Job], per_step: Mapping[Kind, float], num_jobs: int) -> float:
    """Wall-clock seconds for ``jobs`` on ``num_jobs`` processes, roughly."""
    total = sum(PER_RUN + job.config.train.steps * per_step[kind(job.config)] for job in jobs if job.config)
    return total / num_jobs


def _calibrate(config: ExperimentConfig) -> float:
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    experiment = build(replace(config, threads=1, probes={}))
    for steps in (10, CALIBRATION_STEPS):  # the first few are a warm-up
        start = time.perf_counter()
        for _ in range(steps):
            batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
            train_step(experiment.model, experiment.optimizer, *batch)
    return (time.perf_counter() - start) / CALIBRATION_STEPS
