"""Commands as people type them, timed from outside: wall-clock seconds, processor seconds, and what their records say."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexp.errors import UserError

SCRIPTS = Path(__file__).resolve().parents[1]

#: The program that is ``bnexp`` here.
BNEXP = (sys.executable, "-m", "bnexp")


#: Linux's ``PR_SET_CHILD_SUBREAPER``: processes whose parent ends become ours.
ADOPT = 36

#: Where ``bnexp`` starts a process that ends a moment after it.
LEAVES_BEHIND = sys.platform == "linux" and sys.version_info >= (3, 11)


@dataclass(frozen=True)
class Timed:
    """What a command took: seconds by the clock, and seconds of all cores together."""

    seconds: float
    processor: float
    output: str


def timed(command: Sequence[str]) -> Timed:
    """Carry out a command in a process of its own, and wait for those that it leaves behind: they count, but not by the clock.

    Raises:
        UserError: it failed.
    """
    if LEAVES_BEHIND:
        ctypes.CDLL(None).prctl(ADOPT, 1)
    paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log, tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        start = time.perf_counter()
        # a group and no session: Linux may give each session as much of the machine as any other, whatever runs in it
        process = subprocess.Popen(
            command, stdout=out, stderr=log, stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, **{"process_group": 0} if LEAVES_BEHIND else {},
        )  # fmt: skip
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
            processor = usage.ru_utime + usage.ru_stime + sum(_left_behind(process.pid))
        except KeyboardInterrupt:
            process.terminate()
            raise
        log.seek(0)
        out.seek(0)
        if process.returncode:
            words = (log.read().strip().splitlines() or ["no reason given"])[-1]
            raise UserError(
                "a command of the benchmark failed", got=f"{' '.join(command[1:])}: {words}", todo="bnexp doctor"
            )
        return Timed(seconds, processor, out.read())


def _left_behind(group: int) -> Iterator[float]:
    """Processor seconds of each process of a group whose parent has ended, when it has ended too."""
    while True:
        try:
            _, _, usage = os.wait4(-group, 0)
        except ChildProcessError:
            return
        yield usage.ru_utime + usage.ru_stime


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
