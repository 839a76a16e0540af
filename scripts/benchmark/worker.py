"""One process of the benchmark: trains a turn, says how long it took, waits for its next turn.

It reads a job as JSON from the first line of its input; every later line is a go. It answers in lines of JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, TextIO

from benchmark.job import Unavailable, from_json
from benchmark.modes import MODES
from bnexp.cli.main import be_kind_to_other_processes


@dataclass(frozen=True)
class Line:
    """The line to the parent."""

    stream: TextIO

    def say(self, **message: Any) -> None:
        """One message."""
        self.stream.write(json.dumps(message) + "\n")
        self.stream.flush()

    def took(self, seconds: float) -> None:
        """A turn is over; returns when the next may start, and ends the process when there is none."""
        self.say(seconds=seconds)
        if not sys.stdin.readline():
            sys.exit()


def main() -> None:
    """Carry out the job."""
    line = Line(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # whatever libraries print goes to the log
    warnings.simplefilter("ignore")
    job = from_json(json.loads(sys.stdin.readline()))
    module, _, function = MODES[job.mode].function.partition(":")
    if module == "benchmark.ours":  # as the command has it
        be_kind_to_other_processes()
    try:
        getattr(importlib.import_module(module), function)(job, line.took)
    except Unavailable as reason:
        line.say(skipped=str(reason))


if __name__ == "__main__":
    main()
