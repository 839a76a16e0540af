"""A run's copy for TensorBoard, arranged: tracks that overlay, a chart a layer, histograms, hparams in the run's own folder."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import custom_scalars, histogram_raw, hparams, text

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.journal import Sink
from bnexp.probes.base import Observation
from bnexp.records.tags import DIVERGED, SCALARS, TEST_ACCURACY, observation_tag, scalar_tags, target_tag

#: About this many points a tag; TensorBoard itself keeps a random 1,000 of more.
MAX_POINTS = 1000

#: Tags of the lines in the charts of the whole run, on the page of custom scalars.
WHOLE = {
    "accuracy": [SCALARS["val/accuracy"], SCALARS["train/accuracy"]],
    "loss": [SCALARS["val/loss"], SCALARS["train/loss"]],
}


#: What a file begins with, so that it is known for one of events.
VERSION = "brain.Event:2"

#: Tells the files of a process apart.
_numbers = count()

#: Seconds after which what was added is written to the disk.
FLUSH = 30.0


class TensorBoardSink(Sink):
    """Writes events below ``folder``; deleting it loses nothing, and nothing is read back from it.

    Without torch's ``SummaryWriter``, whose thread takes turns with the training step: there a scalar took six times as long.

    Args:
        folder: the run's ``tb/``.
        config: for hparams, and to thin long training curves.
        resumed_at: events after this step, written by the part of the run that was interrupted, are hidden.

    Raises:
        OSError: the file cannot be written; so do all methods.
    """

    def __init__(self, folder: Path, config: ExperimentConfig, resumed_at: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._file = RecordWriter((folder / name).open("xb"))
        self._written = time.monotonic()
        now = time.time()
        self._write(Event(wall_time=now, file_version=VERSION))
        if resumed_at is not None:
            self._write(Event(wall_time=now, step=resumed_at + 1, session_log=SessionLog(status=SessionLog.START)))
        self._event = Event(wall_time=now)
        self._spacing = config.train.steps / MAX_POINTS
        self._last: dict[str, int] = {}
        self._charts: dict[str, list[str]] = {}
        experiment, start, _ = hparams(hyperparameters(config), dict.fromkeys(metrics(config), 0.0))
        for summary in (experiment, start):
            self._add(0, summary)

    def scalar(self, step: int, name: str, value: float) -> None:
        """A scalar, unless the last one of its tag is too near."""
        if step - self._last.get(name, -(10**9)) >= self._spacing or step == 0:
            for tag in scalar_tags(name):
                self._scalar(step, tag, value)
            self._last[name] = step

    def observation(self, observation: Observation) -> None:
        """Each value as a scalar under a tag that is the same in every arm, so that two runs overlay; histograms as they come."""
        tags = [f"{observation_tag(observation.name)}/{label}" for label in observation.labels]
        for tag, value in zip(tags, observation.values, strict=True):
            self._scalar(observation.step, tag, value)
        self._charts.setdefault(observation.name, tags)
        if observation.histogram is not None:
            self._histogram(observation)

    def close(self, summary: Mapping[str, Any]) -> None:
        """The layout of the Custom Scalars page, the end of the hparams session, what came out, a marker where a run diverged.

        A target that was not reached has no steps: the HParams page leaves its cell empty.
        """
        self._layout()
        status, last = summary.get("status", "interrupted"), summary.get("step", 0)
        if summary.get("test"):
            self._scalar(last, TEST_ACCURACY, summary["test"]["accuracy"])
        for row in summary.get("targets", ()):
            if row["observed"]:
                self._scalar(last, target_tag(row["target"]), row["steps"])
        if status == "diverged":
            self._scalar(last, DIVERGED, 1.0)
            self._add(last, text("status", f"diverged: the loss of update {last} was not finite"))
        _, _, end = hparams({}, {})
        self._add(last, end)
        self._write(self._event)
        self._file.close()

    def _layout(self) -> None:
        """One chart a layer, of lines, because a filled band is cut off where a chart ignores outliers."""
        pages: dict[str, dict[str, list[Any]]] = {
            "1 How fast it learns": {name: ["Multiline", tags] for name, tags in WHOLE.items()}
        }
        for name, tags in self._charts.items():
            probe, _, place = name.partition("/")
            if probe == "layer_inputs":
                point, _, site = place.partition("/")
                pages.setdefault(LAYERS[point], {})[site] = ["Multiline", tags]
        pages = dict(sorted(pages.items()))
        self._add(0, custom_scalars(pages))

    def _histogram(self, observation: Observation) -> None:
        assert observation.histogram is not None
        counts, edges = observation.histogram
        middles = edges[:-1] / 2 + edges[1:] / 2
        drawn = histogram_raw(
            observation_tag(observation.name), min=float(edges[0]), max=float(edges[-1]), num=int(counts.sum()),
            sum=float((counts * middles).sum()), sum_squares=float((counts * middles**2).sum()),
            bucket_limits=edges[1:].tolist(), bucket_counts=counts.tolist(),
        )  # fmt: skip
        self._add(observation.step, drawn)

    def _scalar(self, step: int, tag: str, value: float) -> None:
        self._at(step).summary.value.add(tag=tag, simple_value=float(value))

    def _add(self, step: int, summary: Any) -> None:
        self._at(step).summary.value.extend(summary.value)

    def _at(self, step: int) -> Event:
        """The event that takes everything about a step; the one before it goes to the file."""
        if step != self._event.step:
            self._write(self._event)
            self._event = Event(wall_time=time.time(), step=step)
        return self._event

    def _write(self, event: Event) -> None:
        self._file.write(event.SerializeToString())
        if time.monotonic() - self._written > FLUSH:
            self._file.flush()
            self._written = time.monotonic()


#: Point of observation to the title of its charts.
LAYERS = {
    "pre_norm": "2 Inputs before the norm (15th, 50th, 85th percentile)",
    "post_norm": "3 Inputs after the norm (15th, 50th, 85th percentile)",
    "next_input": "4 Inputs of the next layer (15th, 50th, 85th percentile)",
}


def metrics(config: ExperimentConfig) -> list[str]:
    """Tags that the HParams page lists beside the settings: test accuracy, steps to each target."""
    return [TEST_ACCURACY, *(target_tag(target) for target in config.train.targets)]


def hyperparameters(config: ExperimentConfig) -> dict[str, str | float]:
    """The settings the HParams page shows: the same keys and types in every run, or the page comes up empty.

    The page sorts them by name and shows the first five, so those most often varied have the plain names.
    """
    return {
        "dataset": config.dataset.name,
        "lr": float(config.optimizer.lr),
        "model": config.model.name,
        "norm": config.norm.name,
        "seed": float(config.seed),
        "setting.batch_size": float(config.train.batch_size),
        "setting.init": config.model.init,
        "setting.init_scale": float(config.model.init_scale),
        "setting.optimizer": config.optimizer.name,
        "setting.placement": config.norm.placement,
        "setting.schedule": config.schedule.name,
        "setting.steps": float(config.train.steps),
        "setting.weight_decay": float(config.optimizer.weight_decay),
    }
