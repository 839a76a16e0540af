"""What a run says while it trains and who listens: the record on disk first, then its copies (TensorBoard, the bar).

``Ledger`` keeps the losses of the steps until somebody needs them, ``Stopwatch`` knows where the time goes, ``Journal`` writes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from bnexp.config.schema import ExperimentConfig
from bnexp.probes.base import Observation
from bnexp.records.writer import RunWriter

#: Seconds between lines of progress where there is no terminal.
LINE_SECONDS = 10.0


class Sink:
    """A copy of the record for people to look at; losing it loses nothing. What it does not care for it need not define."""

    def scalar(self, step: int, name: str, value: float) -> None:
        """A measurement."""

    def observation(self, observation: Observation) -> None:
        """What a probe saw."""

    def close(self, summary: Mapping[str, Any]) -> None:
        """The run is over; ``summary`` is empty when it was interrupted."""


class Journal:
    """One run's measurements, timed with the same stopwatch, written as they happen.

    Args:
        writer: the record.
        sinks: its copies.
        watch: gives each event its training seconds; writing itself counts as ``record``.
    """

    def __init__(self, writer: RunWriter, sinks: Sequence[Sink], watch: Stopwatch) -> None:
        self.writer, self.watch = writer, watch
        self._sinks = sinks
        self._timed = watch.train_seconds()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Measurements after ``step`` updates, by name (``split/quantity``)."""
        with self.watch.aside("record"):
            seconds = self.watch.train_seconds()
            for name, value in values.items():
                self.writer.event(step, name, value, seconds)
                for sink in self._sinks:
                    sink.scalar(step, name, value)

    def step_time(self, step: int, num_steps: int) -> None:
        """Training time per step since the last call, for the sinks only: on record it is in the differences of ``seconds``."""
        seconds = self.watch.train_seconds()
        milliseconds = 1e3 * (seconds - self._timed) / num_steps
        self._timed = seconds
        with self.watch.aside("record"):
            for sink in self._sinks:
                sink.scalar(step, "clock/step_ms", milliseconds)

    def observations(self, probe: str, seen: Sequence[Observation]) -> None:
        """What a probe saw: for the sinks only, since the probe's own arrays go to disk at the end.

        Its name stands before what it saw: several probes have a cosine or the norm of a gradient.
        """
        with self.watch.aside("record"):
            for one in seen:
                named = one if one.name.startswith(f"{probe}/") else replace(one, name=f"{probe}/{one.name}")
                for sink in self._sinks:
                    sink.observation(named)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Let the sinks finish."""
        for sink in self._sinks:
            sink.close(summary)


@dataclass(frozen=True)
class Reading:
    """The steps since the last reading.

    Attributes:
        num_steps: how many updates.
        loss: mean of their mini-batch losses.
        accuracy: mean of their mini-batch accuracies (train mode, before the update).
        diverged_at: number of the first update (from 1) whose loss was not finite, or None.
    """

    num_steps: int
    loss: float
    accuracy: float
    diverged_at: int | None


class Ledger:
    """Collects one loss and one count of correct answers a step; reading it is the only moment the device is waited for."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._losses: list[float | Tensor] = []
        self._correct: list[float | Tensor] = []

    def add(self, loss: Tensor, correct: Tensor) -> None:
        """Shape: both ``[]``, or ``[K]`` for K steps at once; ``loss`` float, ``correct`` int.

        The next step may write into both. On a CPU their numbers are there to be taken; on a GPU that would wait for the step.
        """
        if not loss.is_cpu:
            self._losses.append(loss.clone())
            self._correct.append(correct.clone())
        elif loss.ndim:
            self._losses.extend(loss.tolist())
            self._correct.extend(correct.tolist())
        else:
            self._losses.append(loss.item())
            self._correct.append(correct.item())

    def broken(self) -> bool:
        """Whether a loss since the last reading was not finite; waits for the device."""
        return bool(self._losses) and not bool(_numbers(self._losses).isfinite().all())

    def read(self, step: int) -> Reading | None:
        """The steps since the last reading, which end after ``step`` updates; None if there were none."""
        if not self._losses:
            return None
        losses, correct = _numbers(self._losses), _numbers(self._correct)
        self._losses.clear()
        self._correct.clear()
        broken = (~losses.isfinite()).nonzero()
        diverged_at = step - len(losses) + 1 + int(broken[0]) if len(broken) else None
        return Reading(len(losses), losses.mean().item(), correct.mean().item() / self._batch_size, diverged_at)


def _numbers(held: list[float | Tensor]) -> Tensor:
    """What a ledger holds as one ``[steps]`` of float64 on the CPU."""
    tensors = [one for one in held if isinstance(one, Tensor)]
    return torch.hstack(tensors).double().cpu() if tensors else torch.tensor(held, dtype=torch.float64)


class Stopwatch:
    """Seconds spent in evaluation, probes, records and compiling, and, as the rest, in training.

    Args:
        spent: seconds by part that an interrupted run had already spent.
    """

    PARTS = ("train", "eval", "probe", "record", "compile")

    def __init__(self, spent: dict[str, float] | None = None) -> None:
        self._spent = dict.fromkeys(self.PARTS, 0.0) | (spent or {})
        self._started = time.perf_counter()
        self._aside = 0.0

    @contextmanager
    def aside(self, part: str) -> Iterator[None]:
        """Time inside counts as ``part`` and not as training."""
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            self._spent[part] += elapsed
            self._aside += elapsed

    def train_seconds(self) -> float:
        """Seconds of training so far, interrupted parts of the run included."""
        return self._spent["train"] + time.perf_counter() - self._started - self._aside

    def spent(self) -> dict[str, float]:
        """Seconds by part so far."""
        return self._spent | {"train": self.train_seconds()}


class ShareOfStopwatch(Stopwatch):
    """One run's part of the time of ``count`` runs that train as one program: an equal share of their training and compiling.

    Its own evaluation, probes and records are its alone, and are nobody's training time.
    """

    def __init__(self, whole: Stopwatch, count: int, spent: dict[str, float] | None = None) -> None:
        super().__init__(spent)
        self._whole, self._count = whole, count

    @contextmanager
    def aside(self, part: str) -> Iterator[None]:
        """Time inside counts as ``part`` of this run, and as training of none."""
        start = time.perf_counter()
        with self._whole.aside(part):
            yield
        self._spent[part] += time.perf_counter() - start

    def train_seconds(self) -> float:
        """This run's share of the training time so far."""
        return self._spent["train"] + self._whole.train_seconds() / self._count

    def spent(self) -> dict[str, float]:
        """Seconds by part so far."""
        compiling = self._spent["compile"] + self._whole.spent()["compile"] / self._count
        return self._spent | {"train": self.train_seconds(), "compile": compiling}


def run_title(config: ExperimentConfig) -> str:
    """A few words for a run."""
    return f"{config.dataset.name} {config.model.name} {config.norm.name} s{config.seed}"


class Progress(Sink):
    """What a run shows on stderr while it trains: a tqdm bar with loss, accuracy, steps/s and time left; on no terminal, lines.

    Args:
        title: stands before the bar.
        steps: the run's length.
        done: steps an interrupted run had already done.
    """

    def __init__(self, title: str, steps: int, done: int = 0) -> None:
        self._title, self._steps = title, steps
        # 80 columns hold all of it and some bar.
        shape = "{desc} |{bar}| {n_fmt}/{total_fmt} {rate_fmt}, {remaining} left{postfix}"
        bar = {"total": steps, "initial": done, "desc": title, "unit": "", "dynamic_ncols": True, "leave": False}
        self._bar = tqdm(**bar, bar_format=shape, disable=None, postfix="preparing")  # a first compilation takes 15 s
        self._known: dict[str, float] = {}
        self._first, self._started = done, 0.0
        self._last_line = time.monotonic()

    def scalar(self, step: int, name: str, value: float) -> None:
        """Take the newest loss and accuracy, and move on."""
        self._known[name] = value
        if name == "train/loss":
            self._advance(step)

    def close(self, summary: Mapping[str, Any]) -> None:  # noqa: ARG002 - a sink's signature
        """Remove the bar; the table that follows says the rest."""
        self._bar.close()

    def _advance(self, step: int) -> None:
        words = {"loss": self._known.get("train/loss"), "acc": self._known.get("val/accuracy")}
        shown = {name: f"{value:.3f}" for name, value in words.items() if value is not None}
        now = time.monotonic()
        begins = not self._started
        if begins:  # compiling and the first looks are behind us, and say nothing of what is to come
            self._first, self._started, self._last_line = step, now, now
            self._bar.unpause()
        if not self._bar.disable:
            self._bar.set_postfix_str(" ".join(f"{name} {value}" for name, value in shown.items()), refresh=False)
            self._bar.update(step - self._bar.n)
        elif not begins and now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            rate = (step - self._first) / (now - self._started)
            left = (self._steps - step) / rate if rate else float("inf")
            losses = ", ".join(f"{name} {value}" for name, value in shown.items())
            line = f"{self._title}: step {step}/{self._steps}, {losses}, {rate:.0f} steps/s, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
