"""Commands as people type them, timed from outside: wall-clock seconds, processor seconds, and what their records say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexp.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[1]

#: The program that is ``bnexp`` here.
BNEXP = (sys.executable, "-m", "bnexp")


@dataclass(frozen=True)
class Timed:
    """What a command took: seconds by the clock, and seconds of all cores together."""

    seconds: float
    processor: float
    output: str


def timed(command: Sequence[str]) -> Timed:
    """Carry out a command in a process of its own.

    Raises:
        UserError: it failed.
    """
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log, tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        out.seek(0)
        if process.returncode:
            words = (log.read().strip().splitlines() or ["no reason given"])[-1]
            raise UserError(
                "a command of the benchmark failed", got=f"{' '.join(command[1:])}: {words}", todo="bnexp doctor"
            )
        return Timed(seconds, usage.ru_utime + usage.ru_stime, out.read())


def spent(runs_dir: Path) -> dict[str, float]:
    """Seconds by part (train, eval, probe, record, compile, measure) of all runs in a folder, added up; and their steps."""
    total: Counter[str] = Counter()
    for file in runs_dir.glob("*/end.json"):
        end = json.loads(file.read_text(encoding="utf-8"))
        total.update(end.get("seconds", {}))
        total["steps"] += end.get("step", 0)
        total["runs"] += 1
    return dict(total)


def useful(parts: Mapping[str, float]) -> float:
    """Seconds of what runs and measurements are for: training, evaluation, probing, measuring."""
    return sum(parts.get(name, 0.0) for name in ("train", "eval", "probe", "measure"))
