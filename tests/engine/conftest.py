"""A run without its folder business: built and trained in this process, its events kept, its weights to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import Experiment, build
from bnexp.engine.journal import Journal, Stopwatch
from bnexp.engine.loop import train
from bnexp.records.curves import Curve
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord
from bnexp.records.writer import CLOCK_KEYS, RunWriter


@dataclass(frozen=True)
class Trained:
    """An experiment after its last step, how it ended and what it recorded."""

    experiment: Experiment
    ended: Ended
    record: RunRecord

    def curve(self, name: str) -> Curve:
        return self.record.curve(name)

    def events(self) -> list[dict[str, Any]]:
        """All events less what the clock said."""
        return [{k: v for k, v in event.items() if k not in CLOCK_KEYS} for event in self.record.events()]


@pytest.fixture
def trained(tmp_path: Path) -> Callable[[ExperimentConfig], Trained]:
    """Builds and trains what a config asks for."""
    numbers = count()

    def carry_out(config: ExperimentConfig) -> Trained:
        folder = tmp_path / f"trained{next(numbers)}"
        folder.mkdir()
        writer = RunWriter.begin(folder, {})
        experiment = build(config)
        ended = train(experiment, Journal(writer, [], Stopwatch()), save=lambda _: None)
        writer.close()
        return Trained(experiment, ended, RunRecord(folder))

    return carry_out
