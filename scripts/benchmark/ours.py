"""bnexp's own loops, timed by the record they write: one run, runs side by side, and complete runs from start to end."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from joblib import Parallel, delayed

from benchmark.job import LEARNING_RATE, Job, Took
from bnexp.config.compose import compose
from bnexp.config.schema import ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.data.official import OFFICIAL, inspect
from bnexp.engine.build import build
from bnexp.engine.ensemble import Member, train_together
from bnexp.engine.journal import Journal, Stopwatch
from bnexp.engine.loop import train
from bnexp.engine.step import eager_step
from bnexp.probes.base import guest
from bnexp.runs.run import execute

#: Evaluations are dense early in a run and leave cold caches to the steps between them; from here on they are rare.
LATE = 10_000

#: Looks of a probe that are timed in each turn, and training steps before each: it is to find the caches as training leaves them,
#: and not as the other loops of the round do.
LOOKS_A_TURN = 1
STEPS_BEFORE_A_LOOK = 20

SETTINGS = {
    "mlp": ("experiment=paper_mnist",),
    "cnn": ("model=cnn", "optimizer.momentum=0", "train.eval_every=500", "dataset.standardize=global"),
}


def config_of(job: Job, steps: int) -> ExperimentConfig:
    """What ``bnexp train`` would be asked for."""
    return compose(
        [
            *SETTINGS[job.network], *_data(job), "dataset.validation_examples=1000", f"norm={job.norm}",
            f"optimizer.lr={LEARNING_RATE}", f"train.batch_size={job.batch_size}", f"train.steps={steps}",
            f"device={job.device}", f"threads={job.threads or 'null'}", f"seed={job.seed}", *job.overrides,
        ]
    )  # fmt: skip


def _data(job: Job) -> tuple[str, ...]:
    data_dir = resolve_data_dir(job.data_dir)
    if job.images:
        return "dataset=npz", f"dataset.path={job.images}"
    name = "mnist" if inspect(data_dir, OFFICIAL["mnist"]).form else "mnist_5k"
    return f"dataset={name}", f"data_dir={data_dir}"


def one_run(job: Job, took: Took) -> None:
    """``bnexp.engine.loop.train`` itself, taken up at step ``LATE`` or so; evaluation, records and compiling are not counted."""
    config = _resumed(job)
    watch = Stopwatch()
    train(build(config), Journal(TurnRecord(job, took), [], watch), save=_save_nothing, resumed_at=first_step(job))


def stacked_runs(job: Job, took: Took) -> None:
    """``bnexp.engine.ensemble.train_together`` itself, as above; a turn is ``job.steps`` steps of each of ``job.seeds`` runs."""
    config = _resumed(job)
    watch = Stopwatch()
    records = [TurnRecord(job, took), *(Nowhere() for _ in range(1, job.seeds))]
    experiments = [build(replace(config, seed=config.seed + place)) for place in range(job.seeds)]
    members = [
        Member(experiment, Journal(record, [], watch), _save_nothing)
        for experiment, record in zip(experiments, records, strict=True)
    ]
    train_together(members, watch, resumed_at=first_step(job))


def first_step(job: Job) -> int:
    """Where a run is taken up: at the end of a turn, were there turns from step 0 on."""
    return -(-LATE // job.steps) * job.steps


def _resumed(job: Job) -> ExperimentConfig:
    """A run whose training curve has a point at the end of every turn."""
    config = config_of(job, first_step(job) + job.turns * job.steps)
    return replace(config, train=replace(config.train, log_every=job.steps))


def _save_nothing(_: int) -> None:
    """No checkpoint."""


class Nowhere:
    """A record that keeps nothing, in no folder."""

    folder = Path(os.devnull)

    def event(self, *_: object) -> None:
        """A measurement."""


class TurnRecord(Nowhere):
    """A record that lets the loop wait between turns, inside ``Journal.scalars``, which the stopwatch sets aside."""

    def __init__(self, job: Job, took: Took) -> None:
        self._start, self._steps, self._took, self._counted = first_step(job), job.steps, took, 0.0

    def event(self, step: int, name: str, value: float, seconds: float) -> None:  # noqa: ARG002 - a record's signature
        """A measurement; the training loss at the end of a turn ends the turn."""
        if name == "train/loss" and (step - self._start) % self._steps == 0:
            self._took(seconds - self._counted)
            self._counted = seconds


def looks(job: Job, took: Took) -> None:
    """What the probes' looks cost in a turn of training, at one look every ``steps_between`` steps, the most on average."""
    config = config_of(job, LATE)
    experiment = build(config)
    (name, probe), *_ = experiment.probes.items()
    due = job.steps / config.probes[name]["steps_between"]
    steps = cycle(probe.steps())
    experiment.model.train()
    for _ in range(job.turns):
        seconds = 0.0
        for step in islice(steps, LOOKS_A_TURN):
            for _ in range(STEPS_BEFORE_A_LOOK):
                eager_step(experiment, experiment.batches.next())
            start = time.perf_counter()
            with guest(experiment.model, [experiment.noise, experiment.augmentation]):
                probe.observe(step)
            seconds += time.perf_counter() - start
        took(seconds / LOOKS_A_TURN * due)


def whole_runs(job: Job, took: Took) -> None:
    """``job.seeds`` complete runs of ``job.steps`` steps, on all cores with one thread each, as a parallel sweep does it."""
    os.environ["BNEXP_THREADS"] = "1"
    config = config_of(replace(job, threads=1), job.steps)
    processes = min(job.seeds, os.cpu_count() or 1)
    for _ in range(job.turns):
        with tempfile.TemporaryDirectory(prefix="bnexp-bench-") as folder:
            runs = [replace(config, seed=job.seed + place, runs_dir=folder) for place in range(job.seeds)]
            start = time.perf_counter()
            Parallel(n_jobs=processes)(delayed(partial(execute, show=False))(run) for run in runs)
            took(time.perf_counter() - start)
