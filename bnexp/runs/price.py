"""What missing runs will cost: as past runs of their kind cost on this machine, else from a short calibration."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from bnexp.config.schema import ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.errors import UserError
from bnexp.records.header import processor
from bnexp.records.reader import find_runs
from bnexp.runs.dry import missing_data, shown

#: Steps of a calibration, and the seconds after which it makes no more of them.
CALIBRATION_STEPS, CALIBRATION_SECONDS = 60, 0.1

#: Seconds that a run takes however short it is: to build its model and data in a process that has done so before, and at its two
#: ends, for its first and last evaluation and its records. What evaluation and records take beyond that is in the price of a step
#: of past runs; a calibration leaves it out, so that its price is somewhat low.
BUILDING, ENDS = 0.1, 0.5
PER_RUN = BUILDING + ENDS

#: Past runs that are read for the price of a step.
MOST_READ = 300

Kind = tuple[str, str, str, int]


@dataclass(frozen=True)
class Prices:
    """Seconds a step of each kind of run, or why a kind has no price."""

    per_step: Mapping[Kind, float]
    reasons: Mapping[Kind, str]

    def known(self, config: ExperimentConfig) -> bool:
        """Whether a run can be priced."""
        return kind(config) in self.per_step

    def total(self, configs: Iterable[ExperimentConfig], num_processes: int) -> float:
        """Wall-clock seconds for those runs that can be priced, roughly."""
        return sum(self.of(config) for config in configs if self.known(config)) / num_processes

    def of(self, config: ExperimentConfig) -> float:
        """Seconds of one run that can be priced."""
        return PER_RUN + config.train.steps * self.per_step[kind(config)]


def kind(config: ExperimentConfig) -> Kind:
    """What decides the price of a step, roughly: the images, the model, whether there is a norm, the batch."""
    norm = "none" if config.norm.name == "none" else "norm"
    return config.dataset.name, config.model.name, norm, config.train.batch_size


def find_prices(configs: Sequence[ExperimentConfig], runs_dir: Path, *, dry: bool) -> Prices:
    """Prices of all kinds of runs among ``configs``.

    Args:
        configs: the runs.
        runs_dir: where past runs are.
        dry: leave nothing behind, on any disk, and download nothing; then a kind whose data set is not here has no price.

    Raises:
        UserError: not ``dry``, and what a run would raise before its first step: no data to be had, say.
    """
    examples = {kind(config): config for config in configs}
    measured = _past(runs_dir, examples) if examples else {}
    prices, reasons = {name: measured[name] for name in examples if name in measured}, {}
    for name in examples.keys() - prices.keys():
        try:
            prices[name] = _calibrate_dry(examples[name]) if dry else _calibrate(examples[name])
        except UserError as error:
            if not dry:
                raise
            reasons[name] = str(error)
        except Exception as error:  # the runs themselves will fail, one by one, and say where
            reasons[name] = f"{type(error).__name__}: {error}"
    return Prices(prices, reasons)


def _past(runs_dir: Path, kinds: Iterable[Kind]) -> dict[Kind, float]:
    """Median seconds a step, evaluation, probes and records included, of finished runs on one thread of such a machine.

    Of runs whose names say that they may be of these kinds, and of those at most ``MOST_READ``. Of each kind those count that are
    at least half as long as the longest, and no shorter than a calibration: in a short run its start weighs most.
    """
    here = processor()
    spent: dict[Kind, list[tuple[int, float]]] = {}
    starts = tuple({f"{dataset}-{model}-" for dataset, model, *_ in kinds})
    records = [record for record in find_runs(runs_dir) if record.folder.name.startswith(starts)]
    for record in records[:: -(-len(records) // MOST_READ) or 1]:
        if record.status == "finished" and record.header.get("threads") == 1:
            try:
                config, machine = record.header["config"], record.header["machine"]
                dataset, model, norm = (config[group]["name"] for group in ("dataset", "model", "norm"))
                steps, seconds = record.end["step"], dict(record.end["seconds"])
                training, _ = seconds.pop("train"), seconds.pop("compile", 0)  # compiling is part of the first steps
                step = (record.end.get("step_ms") or 1000 * training / steps) / 1000  # without the first steps, where it is known
                price = step + max(sum(seconds.values()) - ENDS, 0) / steps
                name = (dataset, model, "none" if norm == "none" else "norm", config["train"]["batch_size"])
            except (KeyError, TypeError, ZeroDivisionError):  # a measurement, or a record of other software
                continue
            if machine.get("processor") == here and steps >= CALIBRATION_STEPS:
                spent.setdefault(name, []).append((steps, price))
    least = {name: max(steps for steps, _ in found) / 2 for name, found in spent.items()}
    return {name: median(price for steps, price in found if steps >= least[name]) for name, found in spent.items()}


def _calibrate_dry(config: ExperimentConfig) -> float:
    absent = missing_data(config)
    if absent:
        raise UserError(
            "their data is not on this machine",
            got=", ".join(absent),
            todo=f"bnexp data fetch {' '.join(absent)}, or bnexp data import PATH",
        )
    with shown(resolve_data_dir(config.data_dir)) as folder:
        return _calibrate(replace(config, data_dir=str(folder)))


def _calibrate(config: ExperimentConfig) -> float:
    """Seconds a step of a few real training steps on one thread; no run is recorded."""
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    experiment = build(replace(config, threads=1, probes={}))
    for most in (10, CALIBRATION_STEPS):  # the first few are a warm-up
        start, steps, took = time.perf_counter(), 0, 0.0
        while steps < most and took < CALIBRATION_SECONDS:
            batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
            train_step(experiment.model, experiment.optimizer, *batch)
            steps, took = steps + 1, time.perf_counter() - start
    return took / steps
