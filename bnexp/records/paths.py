"""Where each part of a run's record is."""

from __future__ import annotations

from pathlib import Path

HEADER = "run.json"
EVENTS = "events.jsonl"
END = "end.json"
CHECKPOINT = "checkpoint.pt"
PROBES = "probes"
TENSORBOARD = "tb"
ERROR = "error.txt"
LOCK = ".lock"

#: Where, below a runs folder, each budget's lists of runs are: ``claims/<budget>/<claim>.json``.
CLAIMS = "claims"


def attempts(runs_dir: Path, run_id: str) -> list[Path]:
    """The folders of a run, oldest first: ``<run_id>``, then ``<run_id>.2``, ``.3``, ... from ``force=true`` or after a failure."""
    found = [path for path in runs_dir.glob(f"{run_id}*") if path.is_dir() and attempt_number(path, run_id) is not None]
    return sorted(found, key=lambda path: attempt_number(path, run_id) or 0)


def attempt_number(folder: Path, run_id: str) -> int | None:
    """1 for ``<run_id>``, k for ``<run_id>.k``, None for another run's folder."""
    if folder.name == run_id:
        return 1
    prefix, _, number = folder.name.rpartition(".")
    return int(number) if prefix == run_id and number.isdigit() else None
