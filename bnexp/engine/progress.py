"""What a run shows while it runs: one bar on a terminal, a line now and then elsewhere. On stderr, both."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from bnexp.probes.base import Observation

#: Seconds between lines where there is no terminal.
LINE_SECONDS = 10.0


class Progress:
    """A tqdm bar with loss, accuracy, steps/s and time left; lines instead of a bar when stderr is not a terminal.

    Args:
        title: stands before the bar.
        steps: the run's length.
        done: steps an interrupted run had already done.
    """

    def __init__(self, title: str, steps: int, done: int = 0) -> None:
        self._title, self._steps = title, steps
        self._bar = tqdm(
            total=steps, initial=done, desc=title, unit="step", disable=None, dynamic_ncols=True, leave=False
        )
        self._known: dict[str, float] = {}
        self._started = self._last_line = time.monotonic()
        self._first = done

    def scalar(self, step: int, name: str, value: float) -> None:
        """Take the newest loss and accuracy, and move on."""
        self._known[name] = value
        if name == "train/loss":
            self._advance(step)

    def observation(self, observation: Observation) -> None:
        """Nothing to show."""

    def close(self, summary: Mapping[str, Any]) -> None:  # noqa: ARG002 - a sink's signature
        """Remove the bar; the table that follows says the rest."""
        self._bar.close()

    def _advance(self, step: int) -> None:
        words = {"loss": self._known.get("train/loss"), "val acc": self._known.get("val/accuracy")}
        shown = {name: f"{value:.3f}" for name, value in words.items() if value is not None}
        if not self._bar.disable:
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(step - self._bar.n)
        elif time.monotonic() - self._last_line >= LINE_SECONDS:
            self._line(step, shown)

    def _line(self, step: int, shown: dict[str, str]) -> None:
        self._last_line = time.monotonic()
        rate = (step - self._first) / (self._last_line - self._started)
        left = (self._steps - step) / rate if rate else float("inf")
        words = ", ".join(f"{name} {value}" for name, value in shown.items())
        print(
            f"{self._title}: step {step}/{self._steps}, {words}, {rate:.0f} steps/s, {left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
