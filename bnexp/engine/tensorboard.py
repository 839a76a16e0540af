"""A run's copy for TensorBoard, arranged: tracks that overlay, a chart a layer, histograms, hparams in the run's own folder."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.journal import Sink
from bnexp.probes.base import Observation
from bnexp.records.tags import DIVERGED, SCALARS, TEST_ACCURACY, observation_tag, scalar_tag, target_tag

#: About this many points a tag; TensorBoard itself keeps a random 1,000 of more.
MAX_POINTS = 1000

#: Tags of the lines in the charts of the whole run, on the page of custom scalars.
WHOLE = {
    "accuracy": [SCALARS["val/accuracy"], SCALARS["train/accuracy"]],
    "loss": [SCALARS["val/loss"], SCALARS["train/loss"]],
}


class TensorBoardSink(Sink):
    """Writes events below ``folder``; deleting it loses nothing, and nothing is read back from it.

    Args:
        folder: the run's ``tb/``.
        config: for hparams, and to thin long training curves.
        resumed_at: events after this step, written by the part of the run that was interrupted, are hidden.
    """

    def __init__(self, folder: Path, config: ExperimentConfig, resumed_at: int | None = None) -> None:
        purge = None if resumed_at is None else resumed_at + 1
        quiet_about_the_disk()
        self._writer = SummaryWriter(str(folder), purge_step=purge, max_queue=1000, flush_secs=30)
        self._spacing = config.train.steps / MAX_POINTS
        self._last: dict[str, int] = {}
        self._charts: dict[str, list[str]] = {}
        experiment, start, _ = hparams(hyperparameters(config), dict.fromkeys(metrics(config), 0.0))
        for summary in (experiment, start):
            self._add(summary)

    def scalar(self, step: int, name: str, value: float) -> None:
        """A scalar, unless the last one of its tag is too near."""
        if step - self._last.get(name, -(10**9)) >= self._spacing or step == 0:
            self._writer.add_scalar(scalar_tag(name), value, step)
            self._last[name] = step

    def observation(self, observation: Observation) -> None:
        """Each value as a scalar under a tag that is the same in every arm, so that two runs overlay; histograms as they come."""
        tags = [f"{observation_tag(observation.name)}/{label}" for label in observation.labels]
        for tag, value in zip(tags, observation.values, strict=True):
            self._writer.add_scalar(tag, value, observation.step)
        self._charts.setdefault(observation.name, tags)
        if observation.histogram is not None:
            self._histogram(observation)

    def close(self, summary: Mapping[str, Any]) -> None:
        """The layout of the Custom Scalars page, the end of the hparams session, what came out, a marker where a run diverged.

        A target that was not reached has no steps: the HParams page leaves its cell empty.
        """
        self._layout()
        status = summary.get("status", "interrupted")
        if summary.get("test"):
            self._writer.add_scalar(TEST_ACCURACY, summary["test"]["accuracy"], summary["step"])
        for row in summary.get("targets", ()):
            if row["observed"]:
                self._writer.add_scalar(target_tag(row["target"]), row["steps"], summary["step"])
        if status == "diverged":
            self._writer.add_scalar(DIVERGED, 1.0, summary["step"])
            self._writer.add_text(
                "status", f"diverged: the loss of update {summary['step']} was not finite", summary["step"]
            )
        _, _, end = hparams({}, {})
        self._add(end)
        self._writer.close()

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
        self._writer.add_custom_scalars(pages)

    def _histogram(self, observation: Observation) -> None:
        assert observation.histogram is not None
        counts, edges = observation.histogram
        middles = edges[:-1] / 2 + edges[1:] / 2
        self._writer.add_histogram_raw(
            observation_tag(observation.name), min=float(edges[0]), max=float(edges[-1]), num=int(counts.sum()),
            sum=float((counts * middles).sum()), sum_squares=float((counts * middles**2).sum()),
            bucket_limits=edges[1:].tolist(), bucket_counts=counts.tolist(), global_step=observation.step,
        )  # fmt: skip

    def _add(self, summary: Any) -> None:
        """A summary that ``SummaryWriter`` has no method for."""
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(summary)


@cache
def quiet_about_the_disk() -> None:
    """TensorBoard writes in a thread of its own, whose traceback about a full disk would stand before what the record says."""
    before = threading.excepthook

    def told(failure: threading.ExceptHookArgs) -> None:
        ours = type(failure.thread).__module__.startswith("tensorboard.")
        if not (ours and issubclass(failure.exc_type, OSError)):
            before(failure)

    threading.excepthook = told


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
