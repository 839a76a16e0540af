"""One run from config to complete record: skip it, resume it or start it; finish it or say how it failed."""

from __future__ import annotations

import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bnexp.config.identity import arm_id, run_id
from bnexp.config.plugins import import_plugins
from bnexp.config.schema import ExperimentConfig
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import data_fingerprint
from bnexp.engine import checkpoint
from bnexp.engine.build import Experiment, build, order_hash
from bnexp.engine.journal import Journal, Progress, Sink, Stopwatch, run_title
from bnexp.engine.loop import train
from bnexp.engine.processes import any_of, joined, share_refusal, told
from bnexp.engine.tensorboard import TensorBoardSink
from bnexp.engine.weights import Keeper
from bnexp.models.init import layer_hashes
from bnexp.records import paths
from bnexp.records.ended import Ended
from bnexp.records.header import header
from bnexp.records.reader import RunRecord
from bnexp.records.writer import RunWriter, ShortRecord
from bnexp.runs.folder import Place, done_before, find_place, occupied, refusal, tell_damaged, told_if_disk_refuses
from bnexp.runs.settle import settled
from bnexp.runs.stop import Stop, stoppable
from bnexp.runs.summary import summarize

#: Wall-clock seconds between checkpoints; when they are taken changes nothing in the record.
CHECKPOINT_SECONDS = 5.0

#: What is shown of a run: a bar, nothing, or whatever a counter of finished steps adds up.
Show = bool | Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A run that is asked for.

    Attributes:
        config: what to run, with nothing left to ``auto`` that changes what is computed.
        name, arm: the run's and its arm's.
        overrides: what was typed.
    """

    config: ExperimentConfig
    name: str
    arm: str
    overrides: tuple[str, ...]

    @property
    def where(self) -> tuple[Path, str, bool]:
        """The runs folder, the run's name, and whether it is run again even if it is complete."""
        return Path(self.config.runs_dir), self.name, self.config.force


def request(config: ExperimentConfig, overrides: Sequence[str] = (), hashes: dict[str, str] | None = None) -> Request:
    """Name a run; creates nothing. ``hashes`` are those of users' data files that other runs looked at.

    Raises:
        UserError: a plugin or data that is not there.
    """
    import_plugins(config.plugins)
    config = settled(config)
    if config.execution.precision == "auto":  # net and processor decide what it is, and the run's name says it
        config = build(config).config
    fingerprint = data_fingerprint(config.dataset, resolve_data_dir(config.data_dir), hashes)
    return Request(
        config=config, name=run_id(config, fingerprint), arm=arm_id(config, fingerprint), overrides=tuple(overrides)
    )


def execute(config: ExperimentConfig, overrides: Sequence[str] = (), show: Show = True, wait: bool = False) -> Ended:
    """Bring a run to its end, unless it is there already. Of several processes (``execution.ddp``) this is what process 0 does.

    Args:
        config: the run.
        overrides: what was typed, for the header.
        show: a bar, nothing, or what is told the number of steps as they are done.
        wait: for another process that is at this run.

    Returns:
        How it ended; ``failed`` if it broke down (our bug or a plugin's), and its folder then holds ``error.txt``.

    Raises:
        UserError: found before a folder is made, or a disk that refuses to take the record.
        KeyboardInterrupt: Ctrl-C or SIGTERM, with words that say where the same command continues.
    """
    with joined(config) as config, stoppable() as stop:
        if config.execution.ddp:
            stop.share(any_of)
        asked = request(config, overrides)
        if (complete := find_place(*asked.where).complete) and not config.execution.ddp:
            return done_before(complete)
        experiment = build(asked.config)
        share_refusal(None)
        with occupied(*asked.where, wait) as place:
            if place.complete:
                told(None)
                return done_before(place.complete)
            with told_if_disk_refuses(place.folder):
                recording = Recording(asked, experiment, place, stop)
                with kept([recording]):
                    told((str(place.folder), recording.resumed_at))
                    journal = recording.journal(Stopwatch(recording.spent), show)
                    stop.gently = True
                    recording.conclude(train(recording.experiment, journal, recording.offer, recording.resumed_at))
                return recording.ended


@contextmanager
def kept(recordings: Sequence[Recording]) -> Iterator[None]:
    """Whatever stops the runs inside: an interrupted record can be continued, a failed one says why.

    Raises:
        KeyboardInterrupt: with words that say where the same command continues.
        OSError: the disk's.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        open_ones = [one for one in recordings if not one.ended.complete]
        disk = isinstance(error, OSError) and refusal(error, recordings[0].folder.parent)
        for one in open_ones:
            if disk or isinstance(error, KeyboardInterrupt):
                one.abandon()
            else:
                one.fail(error)
        if isinstance(error, KeyboardInterrupt):
            why = f"{error}; " if str(error) else ""
            raise KeyboardInterrupt(f"{why}{recordings[0].continues()}") from None
        if disk:
            raise


class Recording:
    """The record of a run that trains; the folder is ours already.

    Attributes:
        experiment: at step 0, or as the checkpoint of an interrupted attempt left it.
        resumed_at: that checkpoint's step, or None.
        spent: seconds by part until then, or None.
        ended: how the run ended, once it has.
        alone: it shares its program with no other run.

    Args:
        asked: the run.
        experiment: built from its config.
        place: its folder.
        stop: asked wherever the run can be saved.
    """

    def __init__(self, asked: Request, experiment: Experiment, place: Place, stop: Stop) -> None:
        self.experiment, self.folder = experiment, place.folder
        self.resumed_at: int | None = None
        self.spent: dict[str, float] | None = None
        self.ended = Ended(status="interrupted", folder=str(place.folder), overrides=asked.overrides)
        self._asked, self._stop = asked, stop
        self._journal: Journal | None = None
        self._last_save = self._started = time.monotonic()
        self._saved_at: int | None = None
        self._stopping, self.alone = False, True
        for torn in [*self.folder.glob(".*.[0-9]*"), *self.folder.glob(paths.ERROR)]:  # what a killed attempt was writing
            torn.unlink()
        self._writer = self._resumed() if place.interrupted else self._begun()

    def _resumed(self) -> RunWriter:
        """Take up what an interrupted attempt left, or start anew where that cannot be used, and say so."""
        try:
            restored = checkpoint.load(self.folder, self.experiment)
            if restored is None:
                return self._begun()
            writer = RunWriter.resume(self.folder, restored["events_size"])
        except (checkpoint.Unreadable, ShortRecord) as error:
            what = str(error) if isinstance(error, ShortRecord) else f"{paths.CHECKPOINT} cannot be used"
            print(f"{self.folder}: {what}; the run starts anew", file=sys.stderr)
            self.experiment = build(self._asked.config)  # half restored
            return self._begun()
        self.resumed_at = self._saved_at = restored["step"]
        self.spent = restored["spent"]
        return writer

    def _begun(self) -> RunWriter:
        """A new record, in place of whatever an attempt without a checkpoint left."""
        tell_damaged(*self._asked.where[:2])
        for leftover in (paths.CHECKPOINT, paths.EVENTS, paths.WEIGHTS, paths.TENSORBOARD):
            target = self.folder / leftover
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        return RunWriter.begin(self.folder, self._header())

    def _header(self) -> dict[str, Any]:
        experiment = self.experiment
        device = next(experiment.model.parameters()).device
        words = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        sizes = {split: len(getattr(experiment, split)) for split in ("train", "validation", "test")}
        data = {"name": experiment.config.dataset.name, "checksum": experiment.data_checksum, **sizes}
        data |= experiment.data_facts
        hashes = {"init": layer_hashes(experiment.model), "order": order_hash(experiment)}
        return header(
            experiment.config, run_id=self._asked.name, arm_id=self._asked.arm, overrides=self._asked.overrides,
            hashes=hashes, data=data, device=words, threads=experiment.threads,
        )  # fmt: skip

    def journal(self, watch: Stopwatch, show: Show) -> Journal:
        """What the loop writes to, and what is shown of it."""
        config = self.experiment.config
        sinks: list[Sink] = [Copy(TensorBoardSink(self.folder / paths.TENSORBOARD, config, self.resumed_at))]
        if callable(show):
            sinks.append(Steps(show))
        elif show and sys.stderr is not None:  # it is None where it was closed
            if self.resumed_at is not None:
                print(f"{self.folder}: continues from step {self.resumed_at:,}", file=sys.stderr)
            sinks.append(Copy(Progress(run_title(config), config.train.steps, self.resumed_at or 0)))
        self._journal = Journal(self._writer, sinks, watch)
        return self._journal

    def offer(self, step: int) -> None:
        """The run can be saved after this step: it is when some time has passed, and when it is told to stop.

        Raises:
            KeyboardInterrupt: it has been saved and may stop.
        """
        if self._stop.at(step):
            if not self._stopping:
                self.save(step)
                self._stopping = True
            if (
                self.alone or self._saved_at != step
            ):  # the other runs of a program are to be saved first, at this same step
                raise KeyboardInterrupt
        elif time.monotonic() - self._last_save > CHECKPOINT_SECONDS:
            self.save(step)

    def save(self, step: int) -> None:
        """Write a checkpoint after ``step`` updates."""
        assert self._journal is not None
        with self._journal.watch.aside("record"):
            size, spent = self._writer.size(), self._journal.watch.spent()
            checkpoint.save(self.folder, self.experiment, step=step, events_size=size, spent=spent)
        self._last_save, self._saved_at = time.monotonic(), step

    def continues(self) -> str:
        """From where the same command goes on."""
        if self._saved_at is None:
            return "the same command starts it again"
        return f"the same command continues from step {self._saved_at:,}"

    def conclude(self, ended: Ended) -> None:
        """Write what is known at the end, the end itself last; the checkpoint goes when the end is on disk."""
        assert self._journal is not None
        self._writer.flush()
        end = summarize(self.experiment, ended, RunRecord(self.folder), self._journal.watch)
        if self.experiment.config.train.keep != "none":
            keeper = Keeper(self.experiment, self.folder)
            if ended.status == "finished":
                keeper.ended(ended.step)
            end["weights"] = {"keep": self.experiment.config.train.keep, "step": keeper.step}
        for name, probe in self.experiment.probes.items():
            self._writer.arrays(name, probe.arrays())
        self._close(end)
        self._writer.end(end)
        (self.folder / paths.CHECKPOINT).unlink(missing_ok=True)
        took = time.monotonic() - self._started
        self.ended = replace(ended, folder=str(self.folder), overrides=self._asked.overrides, seconds=took)

    def abandon(self) -> None:
        """Leave the record as it is, for the same command to continue."""
        with suppress(OSError):  # whatever stopped the run is what is told
            self._close({})
            self._writer.close()

    def fail(self, error: Exception) -> None:
        """Say how the run broke down; what it recorded stays."""
        self._close({})
        (self.folder / paths.ERROR).write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        reason = f"{type(error).__name__}: {error}"
        self._writer.end({"status": "failed", "reason": reason})
        self.ended = replace(self.ended, status="failed", reason=reason, seconds=time.monotonic() - self._started)

    def _close(self, summary: dict[str, Any]) -> None:
        if self._journal is not None:
            self._journal.close(summary)
            self._journal = None


class Copy(Sink):
    """A sink whose loss costs nothing but itself: a terminal that was closed, a TensorBoard file that cannot be written."""

    def __init__(self, sink: Sink) -> None:
        self._sink: Sink | None = sink

    def scalar(self, step: int, name: str, value: float) -> None:
        """A measurement."""
        self._try(lambda sink: sink.scalar(step, name, value))

    def observation(self, observation: Any) -> None:
        """What a probe saw."""
        self._try(lambda sink: sink.observation(observation))

    def close(self, summary: Mapping[str, Any]) -> None:
        """The run is over."""
        self._try(lambda sink: sink.close(summary))

    def _try(self, do: Callable[[Sink], None]) -> None:
        if self._sink is not None:
            try:
                do(self._sink)
            except (OSError, ValueError):  # ValueError: a stream that is closed
                self._sink = None


class Steps(Sink):
    """A sink that counts the steps of a run, for whoever shows many runs at once."""

    def __init__(self, add: Callable[[int], None]) -> None:
        self._add, self._done = add, 0

    def scalar(self, step: int, name: str, value: float) -> None:  # noqa: ARG002 - a sink's signature
        """Each point of the training curve."""
        if name == "train/loss" and step > self._done:
            self._add(step - self._done)
            self._done = step
