"""A sweep: many runs on all cores, or through Hydra and whichever launcher it was given; one failure never stops the rest."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from bnexp.config.compose import run_hydra, varied_keys
from bnexp.config.schema import ExperimentConfig
from bnexp.runs.folder import make_runs_dir, told_if_disk_refuses
from bnexp.runs.parallel import Ended, attempt, count_processes, count_side_by_side, in_parallel


@dataclass(frozen=True)
class Row:
    """One run of a sweep.

    Attributes:
        overrides: what tells it from the others, and what they share.
        status: ``finished``, ``diverged``, ``failed`` or ``refused``.
        skipped: it had been complete before.
        folder: its record; empty for a refused one.
        reason: why it failed or was refused, in one line.
    """

    overrides: tuple[str, ...]
    status: str
    skipped: bool = False
    folder: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Manifest:
    """The file that says how each run of a sweep ended, a line each, whichever process writes it."""

    file: Path
    num_runs: int
    started: float
    varied: tuple[str, ...]

    def add(self, overrides: Sequence[str], ended: Ended) -> None:
        """Write a line to the file, and tell it."""
        row = Row(tuple(overrides), ended.status, ended.skipped, ended.folder, ended.reason)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")
        print(self._line(row), file=sys.stderr, flush=True)

    def rows(self) -> list[Row]:
        """The rows written so far."""
        rows = [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]
        return [Row(**{**row, "overrides": tuple(row["overrides"])}) for row in rows]

    def _line(self, row: Row) -> str:
        done = len(self.rows())
        left = (time.time() - self.started) / done * (self.num_runs - done)
        name = " ".join(override for override in row.overrides if override.split("=")[0] in self.varied)
        words = row.reason or ("was complete already" if row.skipped else row.status)
        return f"[{done}/{self.num_runs}] {name}: {words}" + (
            f"; about {left:.0f} s left" if done < self.num_runs else ""
        )


def sweep(configs: Sequence[ExperimentConfig], words: Sequence[Sequence[str]], typed: Sequence[str]) -> list[Row]:
    """Carry out every run of a sweep; returns a row for each, in the order they ended.

    Args:
        configs: the runs, already checked.
        words: what would have to be typed for each run alone.
        typed: what was typed, sweeps unexpanded; a launcher or sweeper of Hydra's among it is left to Hydra.
    """
    overrides = [word for word in typed if not word.startswith("-")]
    manifest = Manifest(_new_file(Path(configs[0].runs_dir)), len(configs), time.time(), varied_keys(overrides))
    if any(override.startswith(("hydra/", "hydra.")) for override in overrides):
        os.environ.setdefault("BNEXP_THREADS", "1")
        flags = tuple(word for word in typed if word.startswith("-"))
        run_hydra(["--multirun", *typed], partial(_hydra_job, manifest, flags))
    else:
        _on_all_cores(configs, words, manifest)
    return manifest.rows()


def _on_all_cores(configs: Sequence[ExperimentConfig], words: Sequence[Sequence[str]], manifest: Manifest) -> None:
    from bnexp.runs.together import stacks

    num_processes = count_processes(configs, configs[0].execution.jobs)
    groups = stacks(configs, count_side_by_side(configs, num_processes))
    asked = [[(configs[place], words[place]) for place in group] for group in groups]
    tasks = [partial(attempt, group, show=num_processes == 1) for group in asked]
    for number, answers in in_parallel(tasks, num_processes):
        for (_, overrides), ended in zip(asked[number], answers, strict=True):
            manifest.add(overrides, ended)


def _hydra_job(manifest: Manifest, flags: Sequence[str], config: ExperimentConfig) -> None:
    """What each of Hydra's jobs does, in whatever process."""
    overrides = (*flags, *HydraConfig.get().overrides.task)
    (ended,) = attempt([(config, overrides)], show=True)
    manifest.add(overrides, ended)


def _new_file(runs_dir: Path) -> Path:
    make_runs_dir(runs_dir)
    folder = runs_dir / "sweeps"
    file = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.jsonl"
    with told_if_disk_refuses(folder):
        folder.mkdir(exist_ok=True)
        file.touch()
    return file
