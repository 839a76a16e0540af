"""Runs that were never trained: records with the numbers that a test says, kept as an archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnexp.records.archive import RUNS
from bnexp.records.reader import RunRecord, find_runs


def line(
    seed: int = 0, *, norm: str = "batch", lr: float = 0.1, batch_size: int = 50, steps: int = 100, test: float = 0.9,
    arrives: int | None = 40, status: str = "finished", recomputed: float | None = None, step_ms: float = 1.0,
    order: str = "same", init: str = "same", schedule: str = "constant", stop: float | None = None,
    arm: str | None = None, created: str = "1", **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """A line of ``runs.jsonl``. Validation accuracy jumps from 10 % to ``test`` + 1 % at step ``arrives``; None: it never does."""
    high = test + 0.01 if arrives is not None else 0.1
    grid = list(range(0, steps + 1, 10))
    values = [high if arrives is not None and step >= arrives else 0.1 for step in grid]
    name = f"{norm}-{lr}-{batch_size}-{steps}-{sorted(options.items())}".replace("/", "_").replace("\\", "_")
    config = {
        "seed": seed,
        "train": {
            "steps": steps,
            "batch_size": batch_size,
            "targets": [0.8],
            "log_every": 50,
            "stop_at_accuracy": stop,
        },
        "norm": {"name": norm, "placement": "before", "options": options},
        "model": {"name": "mlp", "options": {"depth": 3}},
        "dataset": {"name": "digits", "options": {}},
        "optimizer": {"name": "sgd", "lr": lr},
        "schedule": {"name": schedule},
        "probes": {},
        "plugins": [],
    }
    header = {
        "run_id": f"{name}-s{seed}-{arm}", "arm_id": f"{name}-{arm}", "config": config, "created": created,
        "data": {"checksum": "abc"},
        "hashes": {"init": {"hidden1": f"{seed}{init}"}, "order": f"{seed}{order}"},
    }  # fmt: skip
    scores = {"num_examples": 1000, "accuracy": test, "recomputed_accuracy": recomputed}
    end = {
        "status": status, "step": steps, "test": scores if status == "finished" else None, "validation": {"final": values[-1]},
        "targets": [{"target": 0.8}], "step_ms": step_ms, "peak_memory_mb": 500, "seconds": {"train": 1.0},
    }  # fmt: skip
    if stop is not None:
        end["stopped_at"] = steps
        config["train"]["steps"] = 2 * steps
    curve = {"steps": grid, "values": values, "seconds": [step * step_ms / 1000 for step in grid]}
    return {"run": f"{name}-s{seed}-{arm}-{created}", "header": header, "end": end, "curves": {"val/accuracy": curve}}


@pytest.fixture
def keep(tmp_path: Path) -> Callable[..., Path]:
    """``keep(line(...), ...)``: a folder with these runs."""

    def write(*lines: dict[str, Any]) -> Path:
        folder = tmp_path / "kept"
        folder.mkdir(exist_ok=True)
        (folder / RUNS).write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def run() -> Callable[..., dict[str, Any]]:
    """:func:`line`, for tests."""
    return line


@pytest.fixture
def records(keep: Callable[..., Path]) -> Callable[..., list[RunRecord]]:
    """``records(line(...), ...)``: these runs, read."""
    return lambda *lines: find_runs(keep(*lines))
