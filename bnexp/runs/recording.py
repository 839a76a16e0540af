"""One run on its way to a complete record: opened or taken up, saved now and then, concluded, abandoned or failed."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bnexp.config.identity import arm_id, run_id
from bnexp.config.schema import ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import data_fingerprint
from bnexp.engine import checkpoint
from bnexp.engine.build import Experiment, build, import_plugins, order_hash
from bnexp.engine.journal import Journal, Progress, Sink, Stopwatch, run_title
from bnexp.engine.tensorboard import TensorBoardSink
from bnexp.models.init import layer_hashes
from bnexp.records import paths
from bnexp.records.ended import Ended
from bnexp.records.header import header
from bnexp.records.reader import RunRecord
from bnexp.records.writer import RunWriter
from bnexp.runs.folder import Place, find_place
from bnexp.runs.summary import summarize


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run that is asked for.

    Attributes:
        config: what to run, with nothing left to ``auto`` that changes what is computed.
        name, arm: the run's and its arm's.
        place: where it goes.
        overrides: what was typed.
    """

    config: ExperimentConfig
    name: str
    arm: str
    place: Place
    overrides: tuple[str, ...]


def request(config: ExperimentConfig, overrides: Sequence[str] = ()) -> Request:
    """Name a run and find its place; creates nothing.

    Raises:
        UserError: a plugin or data that is not there.
    """
    import_plugins(config.plugins)
    if config.execution.precision == "auto":  # net and processor decide what it is, and the run's name says it
        config = build(config).config
    fingerprint = data_fingerprint(config.dataset, resolve_data_dir(config.data_dir))
    name = run_id(config, fingerprint)
    place = find_place(Path(config.runs_dir), name, config.force)
    return Request(
        config=config, name=name, arm=arm_id(config, fingerprint), place=place, overrides=tuple(overrides)
    )  # fmt: skip


class Recording:
    """The record of a run that trains; the folder is ours already.

    Attributes:
        experiment: at step 0, or as the checkpoint of an interrupted attempt left it.
        resumed_at: that checkpoint's step, or None.
        spent: seconds by part until then, or None.

    Args:
        asked: the run.
        experiment: built from its config.
    """

    def __init__(self, asked: Request, experiment: Experiment) -> None:
        self.experiment = experiment
        self.folder = asked.place.folder
        restored = checkpoint.load(self.folder, experiment) if asked.place.interrupted else None
        self.resumed_at: int | None = restored["step"] if restored else None
        self.spent: dict[str, float] | None = restored["spent"] if restored else None
        if restored:
            self._writer = RunWriter.resume(self.folder, restored["events_size"])
        else:
            _clear(self.folder)
            self._writer = RunWriter.begin(self.folder, _header(asked, experiment))
        self._journal: Journal | None = None

    def journal(self, watch: Stopwatch, show: bool) -> Journal:
        """What the loop writes to; ``show`` adds a bar."""
        config = self.experiment.config
        sinks: list[Sink] = [TensorBoardSink(self.folder / paths.TENSORBOARD, config, self.resumed_at)]
        if show:
            sinks.append(Progress(run_title(config), config.train.steps, self.resumed_at or 0))
        self._journal = Journal(self._writer, sinks, watch)
        return self._journal

    def save(self, step: int) -> None:
        """Write a checkpoint after ``step`` updates."""
        assert self._journal is not None
        with self._journal.watch.aside("record"):
            size, spent = self._writer.size(), self._journal.watch.spent()
            checkpoint.save(self.folder, self.experiment, step=step, events_size=size, spent=spent)

    def conclude(self, outcome: Ended) -> RunRecord:
        """Write what is known at the end, the end itself last."""
        assert self._journal is not None
        seconds = self._journal.watch.spent()
        self._writer.size()
        end = summarize(self.experiment, outcome, RunRecord(self.folder).curve("val/accuracy"), seconds)
        for name, probe in self.experiment.probes.items():
            self._writer.arrays(name, probe.arrays())
        self._close(end)
        (self.folder / paths.CHECKPOINT).unlink(missing_ok=True)
        self._writer.end(end)
        return RunRecord(self.folder)

    def abandon(self) -> None:
        """Leave the record as it is, for the same command to continue."""
        self._close({})
        self._writer.close()

    def fail(self, error: Exception) -> None:
        """Say how the run broke down; what it recorded stays."""
        self._close({})
        (self.folder / paths.ERROR).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        self._writer.end({"status": "failed", "reason": f"{type(error).__name__}: {error}"})

    def _close(self, summary: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.close(summary)
            self._journal = None


def _clear(folder: Path) -> None:
    """An attempt without a checkpoint starts anew."""
    for leftover in (paths.EVENTS, paths.TENSORBOARD):
        target = folder / leftover
        shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def _header(asked: Request, experiment: Experiment) -> dict[str, Any]:
    device = next(experiment.model.parameters()).device
    words = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    sizes = {split: len(getattr(experiment, split)) for split in ("train", "validation", "test")}
    data = {"name": experiment.config.dataset.name, "checksum": experiment.data_checksum, **sizes, **experiment.data_facts}
    hashes = {"init": layer_hashes(experiment.model), "order": order_hash(experiment)}
    return header(
        experiment.config, run_id=asked.name, arm_id=asked.arm, overrides=asked.overrides, hashes=hashes, data=data,
        device=words, threads=experiment.threads,
    )  # fmt: skip
