"""Where each part of a run's record is."""

from __future__ import annotations

import os
from pathlib import Path

HEADER = "run.json"
EVENTS = "events.jsonl"
END = "end.json"
CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
PROBES = "probes"
TENSORBOARD = "tb"
ERROR = "error.txt"
LOCK = ".lock"

#: Where, below a runs folder, each budget's lists of runs are: ``claims/<budget>/<claim>.json``.
CLAIMS = "claims"

#: Where, below a runs folder, it is kept how the runs of each sweep ended.
SWEEPS = "sweeps"


def attempts(runs_dir: Path, run_id: str) -> list[Path]:
    """The folders of a run, oldest first: ``<run_id>``, then ``<run_id>.2``, ``.3``, ... from ``force=true`` or after a failure."""
    return all_attempts(runs_dir, run_id).get(run_id, [])


def all_attempts(runs_dir: Path, prefix: str = "") -> dict[str, list[Path]]:
    """Run's name to its folders, oldest first, of all runs whose name begins with ``prefix``: the folder is listed once."""
    found: dict[str, list[tuple[int, Path]]] = {}
    try:
        entries = [e for e in os.scandir(runs_dir) if e.name.startswith(prefix) and e.is_dir()]
    except OSError:  # whoever is to write there will say why it cannot be
        return {}
    for entry in entries:
        name, dot, number = entry.name.rpartition(".")
        if dot and number.isdecimal():
            found.setdefault(name, []).append((int(number), runs_dir / entry.name))
        found.setdefault(entry.name, []).append((1, runs_dir / entry.name))
    return {name: [path for _, path in sorted(rows)] for name, rows in found.items()}


def attempt_number(folder: Path, run_id: str) -> int:
    """1 for ``<run_id>``, k for ``<run_id>.k``."""
    return 1 if folder.name == run_id else int(folder.name.rpartition(".")[2])
