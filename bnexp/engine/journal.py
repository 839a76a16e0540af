"""Everything a run says, to everyone who listens: the record on disk first, then its copies (TensorBoard, the bar)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from bnexp.engine.stopwatch import Stopwatch
from bnexp.probes.base import Observation
from bnexp.records.writer import RunWriter


class Sink(Protocol):
    """A copy of the record for people to look at; losing it loses nothing."""

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

    def observations(self, seen: Sequence[Observation]) -> None:
        """What a probe saw: for the sinks only, since the probe's own arrays go to disk at the end."""
        with self.watch.aside("record"):
            for observation in seen:
                for sink in self._sinks:
                    sink.observation(observation)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Let the sinks finish."""
        for sink in self._sinks:
            sink.close(summary)
