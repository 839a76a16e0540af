"""A claim's own measurement as a run: the same folder, header and end as a training run."""

from __future__ import annotations

import time
from pathlib import Path

from bnexp.claims.base import Budget, Claim
from bnexp.records.header import measurement_header
from bnexp.records.reader import RunRecord
from bnexp.records.writer import RunWriter
from bnexp.runs.folder import find_place, occupied, told_if_disk_refuses


def measure(claim: Claim, budget: Budget, seed: int, run_id: str, runs_dir: Path) -> RunRecord:
    """Carry out a claim's measurement at a seed, unless its record is complete."""
    assert claim.measurement is not None
    place = find_place(runs_dir, run_id, force=False)
    if place.complete:
        return place.complete
    import torch

    torch.set_num_threads(1)
    with occupied(place), told_if_disk_refuses(place.folder):
        header = measurement_header(run_id=run_id, claim=claim.id, budget=budget.name, seed=seed)
        writer = RunWriter.begin(place.folder, header)
        start = time.perf_counter()
        writer.arrays("measure", claim.measurement.measure(seed, budget.name))
        writer.end({"status": "finished", "seconds": {"measure": round(time.perf_counter() - start, 3)}})
    return RunRecord(place.folder)
