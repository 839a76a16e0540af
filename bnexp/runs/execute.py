"""One run from config to complete record: skip it, resume it or start it; finish it or say how it failed."""

from __future__ import annotations

import shutil
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from bnexp.config.identity import arm_id, run_id
from bnexp.config.schema import ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import data_fingerprint
from bnexp.engine import checkpoint
from bnexp.engine.build import Experiment, build, import_plugins, order_hash
from bnexp.engine.journal import Journal, Sink
from bnexp.engine.loop import train
from bnexp.engine.progress import Progress
from bnexp.engine.stopwatch import Stopwatch
from bnexp.engine.tensorboard import TensorBoardSink
from bnexp.models.init import layer_hashes
from bnexp.records import paths
from bnexp.records.header import header
from bnexp.records.reader import RunRecord
from bnexp.records.writer import RunWriter
from bnexp.runs.folder import Place, find_place, occupied, told_if_disk_refuses
from bnexp.runs.summary import summarize


@dataclass(frozen=True)
class Result:
    """A run's record and whether it had been complete before (``skipped``)."""

    record: RunRecord
    skipped: bool


def execute(config: ExperimentConfig, overrides: Sequence[str] = (), show: bool = True) -> Result:
    """Bring a run to its end, unless it is there already.

    Args:
        config: the run.
        overrides: what was typed, for the header.
        show: whether to show a bar; many runs side by side share their parent's.

    Raises:
        UserError: found before a folder is made, or a disk that refuses to take the record.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues from the last checkpoint.
        RunFailed: anything else; the folder holds ``error.txt``.
    """
    import_plugins(config.plugins)
    fingerprint = data_fingerprint(config.dataset, resolve_data_dir(config.data_dir))
    name = run_id(config, fingerprint)
    place = find_place(Path(config.runs_dir), name, config.force)
    if place.complete:
        return Result(place.complete, skipped=True)
    experiment = build(config)
    with occupied(place), told_if_disk_refuses(place.folder), _terminable():
        writer, spent, resumed_at = _open(place, experiment, name, arm_id(config, fingerprint), overrides)
        try:
            _run(experiment, writer, spent, resumed_at, show)
        except (KeyboardInterrupt, OSError):
            writer.close()
            raise
        except Exception as error:
            _record_failure(place.folder, writer, error)
            raise RunFailed(place.folder, error) from error
    return Result(RunRecord(place.folder), skipped=False)


class RunFailed(Exception):  # noqa: N818 - a run fails, an error is ours
    """A run that broke down: our bug or a plugin's. The message names the folder that holds the traceback."""

    def __init__(self, folder: Path, error: Exception) -> None:
        self.folder = folder
        self.reason = f"{type(error).__name__}: {error}"
        super().__init__(f"{self.reason}\n  see: {folder / paths.ERROR}")


def _open(
    place: Place, experiment: Experiment, name: str, arm: str, overrides: Sequence[str]
) -> tuple[RunWriter, dict[str, float] | None, int | None]:
    """A fresh record with its header, or an interrupted one cut back to its checkpoint."""
    restored = checkpoint.load(place.folder, experiment) if place.interrupted else None
    if restored:
        return RunWriter.resume(place.folder, restored["events_size"]), restored["spent"], restored["step"]
    for leftover in (paths.EVENTS, paths.TENSORBOARD):
        target = place.folder / leftover
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    return RunWriter.begin(place.folder, _header(experiment, name, arm, overrides)), None, None


def _run(
    experiment: Experiment, writer: RunWriter, spent: dict[str, float] | None, resumed_at: int | None, show: bool
) -> None:
    config, folder = experiment.config, writer.folder
    title = f"{config.dataset.name} {config.model.name} {config.norm.name} s{config.seed}"
    sinks: list[Sink] = [TensorBoardSink(folder / paths.TENSORBOARD, config, resumed_at)]
    if show:
        sinks.append(Progress(title, config.train.steps, resumed_at or 0))
    watch = Stopwatch(spent)
    journal = Journal(writer, sinks, watch)
    end: dict[str, Any] = {}
    try:
        outcome = train(experiment, journal, partial(_save, experiment, journal), resumed_at)
        seconds = watch.spent()
        writer.size()
        end = summarize(experiment, outcome, RunRecord(folder).curve("val/accuracy"), seconds)
        for name, probe in experiment.probes.items():
            writer.arrays(name, probe.arrays())
    finally:
        journal.close(end)
    (folder / paths.CHECKPOINT).unlink(missing_ok=True)
    writer.end(end)


def _save(experiment: Experiment, journal: Journal, step: int) -> None:
    with journal.watch.aside("record"):
        size = journal.writer.size()
        checkpoint.save(journal.writer.folder, experiment, step=step, events_size=size, spent=journal.watch.spent())


def _record_failure(folder: Path, writer: RunWriter, error: Exception) -> None:
    (folder / paths.ERROR).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    writer.end({"status": "failed", "reason": f"{type(error).__name__}: {error}"})


def _header(experiment: Experiment, name: str, arm: str, overrides: Sequence[str]) -> dict[str, Any]:
    device = next(experiment.model.parameters()).device
    words = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    sizes = {split: len(getattr(experiment, split)) for split in ("train", "validation", "test")}
    data = {"name": experiment.config.dataset.name, "checksum": experiment.data_checksum, **sizes}
    hashes = {"init": layer_hashes(experiment.model), "order": order_hash(experiment)}
    return header(
        experiment.config,
        run_id=name,
        arm_id=arm,
        overrides=overrides,
        hashes=hashes,
        data=data,
        device=words,
        threads=experiment.threads,
    )


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM ends the run as Ctrl-C does: a scheduler's kill leaves a record that can be continued."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
