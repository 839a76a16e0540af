"""Processes that take turns (A B C A B C ...), so that a busy machine slows all of them, and ratios within a round are fair."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmark.job import Job
from benchmark.modes import MODES

SCRIPTS = Path(__file__).resolve().parents[1]

#: ``ru_maxrss`` is in kibibytes, on macOS in bytes.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Result:
    """What a contestant did.

    Attributes:
        job: its (first) job.
        processes: how many did it at the same time.
        seconds: of each counted turn; the slowest process's.
        memory: largest resident set of each process, in bytes.
        skipped: why it could not be run, or empty.
    """

    job: Job
    processes: int
    seconds: tuple[float, ...]
    memory: tuple[int, ...]
    skipped: str = ""

    def as_json(self) -> dict[str, Any]:
        """For ``bench.json``; what only this machine knows (folders) stays out."""
        places = {"data_dir", "images"}
        job = {key: value for key, value in asdict(self.job).items() if key not in places}
        return {
            **job,
            "processes": self.processes,
            "seconds": self.seconds,
            "memory": self.memory,
            "skipped": self.skipped,
        }


class Worker:
    """One process, started and through its warm-up turn once :meth:`turn` has returned for the first time."""

    def __init__(self, job: Job) -> None:
        paths = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = {} if job.threads is None else {"OMP_NUM_THREADS": str(job.threads)}
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmark.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True, env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        self._send(json.dumps(asdict(job)))

    def go(self) -> None:
        """Let it train another turn."""
        self._send("go")

    def turn(self) -> float:
        """Seconds of the turn it is at, once that is over.

        Raises:
            Skipped: it cannot be run here, or broke down.
        """
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        if not answer:
            raise Skipped(f"failed: {self._last_words()}")
        message = json.loads(answer)
        if "skipped" in message:
            raise Skipped(message["skipped"])
        return message["seconds"]

    def close(self) -> int:
        """Let it end; its largest resident set in bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._log.close()
        return usage.ru_maxrss * RSS_UNIT

    def _send(self, words: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # whoever waits for its answer hears of its end
            self._process.stdin.write(words + "\n")
            self._process.stdin.flush()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "no reason given"


class Skipped(Exception):  # noqa: N818 - a result, not an error
    """A contestant that takes no part; the message says why."""


class Contestant:
    """A mode in one or several processes that take every turn at the same time."""

    def __init__(self, job: Job) -> None:
        self.job, self.processes = job, MODES[job.mode].processes
        self.seconds: list[float] = []
        self.skipped = ""
        self.memory: tuple[int, ...] = ()
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Start the processes and see them through the warm-up turn."""
        jobs = [replace(self.job, seed=self.job.seed + place * self.job.seeds) for place in range(self.processes)]
        self._workers = [Worker(job) for job in jobs]
        self._take()

    def turn(self) -> None:
        """One counted turn."""
        if self.skipped:
            return
        for worker in self._workers:
            worker.go()
        seconds = self._take()
        if seconds is not None:
            self.seconds.append(seconds)

    def _take(self) -> float | None:
        try:
            return max([worker.turn() for worker in self._workers])
        except Skipped as reason:
            self.skipped = str(reason)
            return None

    def close(self) -> None:
        """End the processes."""
        self.memory = tuple(worker.close() for worker in self._workers)

    def result(self) -> Result:
        """What it did."""
        return Result(self.job, self.processes, tuple(self.seconds), self.memory, self.skipped)


def hold(jobs: Sequence[Job], tell: Callable[[str], None]) -> list[Result]:
    """All jobs' turns but the warm-up, interleaved; ``tell(words)`` hears how far it is."""
    contestants = [Contestant(job) for job in jobs]
    rounds = max(job.turns for job in jobs) - 1
    with ExitStack() as stack, ThreadPoolExecutor(os.cpu_count()) as pool:
        for contestant in contestants:
            stack.callback(contestant.close)
        for place, _ in enumerate(pool.map(Contestant.start, contestants), start=1):
            tell(f"started {place} of {len(contestants)}")
        for place in range(rounds):
            tell(f"round {place + 1} of {rounds}")
            for contestant in contestants:
                contestant.turn()
    return [contestant.result() for contestant in contestants]
