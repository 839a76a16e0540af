"""A sweep: many runs through Hydra and whichever launcher it was given; one failure never stops the rest."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from bnexp.config.compose import run_hydra, varied_keys
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.runs.execute import RunFailed, execute
from bnexp.runs.folder import make_runs_dir, told_if_disk_refuses


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
class Job:
    """What each of Hydra's jobs does, in whatever process: a run, and a line about it in the sweep's manifest."""

    manifest: Path
    num_jobs: int
    started: float
    varied: tuple[str, ...]

    def __call__(self, config: ExperimentConfig) -> None:
        overrides = tuple(HydraConfig.get().overrides.task)
        row = _carry_out(config, overrides)
        with self.manifest.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(row)) + "\n")
        print(self._line(row), file=sys.stderr, flush=True)

    def _line(self, row: Row) -> str:
        done = len(read_manifest(self.manifest))
        left = (time.time() - self.started) / done * (self.num_jobs - done)
        name = " ".join(override for override in row.overrides if override.split("=")[0] in self.varied)
        words = row.reason or ("was complete already" if row.skipped else row.status)
        return f"[{done}/{self.num_jobs}] {name}: {words}" + (
            f"; about {left:.0f} s left" if done < self.num_jobs else ""
        )


def sweep(configs: Sequence[ExperimentConfig], overrides: Sequence[str], extra_dir: Path | None) -> list[Row]:
    """Carry out every run of a sweep; returns a row for each, in the order they ended.

    Args:
        configs: the runs, already checked.
        overrides: what was typed, sweeps unexpanded.
        extra_dir: a user's own config folder.
    """
    runs_dir = Path(configs[0].runs_dir)
    make_runs_dir(runs_dir)
    folder = runs_dir / "sweeps"
    manifest = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.jsonl"
    with told_if_disk_refuses(folder):
        folder.mkdir(exist_ok=True)
        manifest.touch()
    if any(override.startswith("hydra/launcher=") for override in overrides):
        os.environ.setdefault("BNEXP_THREADS", "1")
    own_folder = ["--config-dir", str(extra_dir)] if extra_dir else []
    run_hydra(["--multirun", *own_folder, *overrides], Job(manifest, len(configs), time.time(), varied_keys(overrides)))
    return read_manifest(manifest)


def read_manifest(manifest: Path) -> list[Row]:
    """The rows written so far."""
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    return [Row(**{**row, "overrides": tuple(row["overrides"])}) for row in rows]


def _carry_out(config: ExperimentConfig, overrides: tuple[str, ...]) -> Row:
    try:
        result = execute(config, overrides)
    except UserError as error:
        return Row(overrides, "refused", reason=" ".join(str(error).split()))
    except RunFailed as error:
        return Row(overrides, "failed", reason=f"{error.reason} (see {error.folder})")
    except Exception as error:  # one run's bug must not cost the others their turn
        return Row(overrides, "failed", reason=f"{type(error).__name__}: {error}")
    return Row(overrides, result.record.status, skipped=result.skipped, folder=str(result.record.folder))
