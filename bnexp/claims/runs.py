"""A claim's records, addressed the way its analysis speaks: by arm, by how its tuned value was chosen, by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np

from bnexp.records import archive, paths
from bnexp.records.archive import open_record
from bnexp.records.curves import Duration, time_to_target
from bnexp.records.jsonfile import write_json
from bnexp.records.reader import RunRecord

#: How far below the tuned baseline's own final accuracy a target lies, so that the baseline's time does not depend on a noisy
#: plateau (docs/claims.md, 0.4).
BELOW_BASELINE = 0.005

#: How an arm's tuned value came about: its ``own`` choice, the ``same`` as another arm's, or being tried while ``tuning``.
REGIMES = ("own", "same", "tuning")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of one claim.

    Attributes:
        grid: index of the claim's grid; -1 for a measurement.
        regime: one of ``REGIMES``.
        arm: its overrides in words, e.g. ``"norm=batch"``.
        value: the tuned value, or None.
        seed: the run's seed.
        run_id: the run's folder name.
        command: what does this run alone.
    """

    grid: int
    regime: str
    arm: str
    value: float | None
    seed: int
    run_id: str
    command: str


class Runs:
    """The complete records behind a claim.

    Args:
        cells: every run the claim asks for.
        folder: where the runs are, of either kind: a folder each, or an archive.
    """

    def __init__(self, cells: Sequence[Cell], folder: Path) -> None:
        self.cells = tuple(cells)
        self._records = {cell.run_id: open_record(folder, cell.run_id) for cell in cells}

    def missing(self) -> list[Cell]:
        """Cells whose run has no complete record."""
        return [cell for cell in self.cells if not self._records[cell.run_id].complete]

    def record(self, cell: Cell) -> RunRecord:
        """The record of a cell."""
        return self._records[cell.run_id]

    def arms(self, grid: int = 0) -> tuple[str, ...]:
        """Names of the arms of a grid, in the order they were declared."""
        return tuple(dict.fromkeys(cell.arm for cell in self.cells if cell.grid == grid))

    def reported(self, arm: str, regime: str = "own", grid: int = 0) -> dict[int, RunRecord]:
        """Seed to record of an arm's reported runs, by seed."""
        chosen = [c for c in self.cells if (c.grid, c.arm, c.regime) == (grid, arm, regime)]
        return {cell.seed: self.record(cell) for cell in sorted(chosen, key=lambda cell: cell.seed)}

    def tuning(self, arm: str, grid: int = 0) -> dict[float, list[RunRecord]]:
        """Tuned value to the records of its tuning runs, in increasing order of the value."""
        tried: dict[float, list[RunRecord]] = {}
        for cell in sorted(self.cells, key=lambda cell: (cell.value or 0.0, cell.seed)):
            if (cell.grid, cell.arm, cell.regime) == (grid, arm, "tuning") and cell.value is not None:
                tried.setdefault(cell.value, []).append(self.record(cell))
        return tried

    def chosen(self, arm: str, regime: str = "own", grid: int = 0) -> float | None:
        """The tuned value an arm's reported runs used."""
        return next((c.value for c in self.cells if (c.grid, c.arm, c.regime) == (grid, arm, regime)), None)

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        """The arrays of the claim's measurement at a seed."""
        cell = next(cell for cell in self.cells if cell.grid == -1 and cell.seed == seed)
        return self.record(cell).arrays("measure")

    def seeds(self) -> tuple[int, ...]:
        """The seeds of the claim's measurement."""
        return tuple(cell.seed for cell in self.cells if cell.grid == -1)


def final_accuracy(record: RunRecord) -> float:
    """Mean of the last five validation accuracies, in [0, 1]; 0 for a diverged run. What tuning selects by."""
    if record.status != "finished":
        return 0.0
    return fmean(value or 0.0 for value in record.curve("val/accuracy").values[-5:])


def test_points(record: RunRecord) -> float:
    """Test accuracy after the last step in percentage points, with running statistics; 0 for a diverged run."""
    return 100 * record.end["test"]["accuracy"] if record.end["test"] else 0.0


def probed(record: RunRecord, *path: str) -> float:
    """A number of the record's end, by the path below ``probes``.

    Raises:
        ValueError: it is None, as it is where the run diverged.
    """
    found = record.end["probes"]
    for name in path:
        found = found[name]
    if found is None:
        raise ValueError(f"{record.folder.name} {record.status} and has no {' '.join(path)}")
    return found


def all_measured(runs: Runs) -> dict[str, np.ndarray]:
    """The arrays of a claim's measurement with those of all its seeds joined along the first axis."""
    measured = [runs.measured(seed) for seed in runs.seeds()]
    return {name: np.concatenate([np.atleast_1d(arrays[name]) for arrays in measured]) for name in measured[0]}


def tuned_target(runs: Runs, arm: str, grid: int = 0) -> float:
    """A validation accuracy in [0, 1] that an arm reaches by its own tuning: the median at its chosen value, less a margin."""
    best = runs.tuning(arm, grid)[runs.chosen(arm, grid=grid) or 0.0]
    return median(final_accuracy(record) for record in best) - BELOW_BASELINE


def times_to(records: Iterable[RunRecord], target: float) -> list[Duration]:
    """How long each run took to a validation accuracy in [0, 1]."""
    return [time_to_target(record.curve("val/accuracy"), target) for record in records]


def select(tried: Mapping[float, Sequence[RunRecord]]) -> float:
    """The value with the highest mean :func:`final_accuracy`; the smaller of two equals."""
    return max(sorted(tried), key=lambda value: fmean(final_accuracy(record) for record in tried[value]))


def write_cells(file: Path, cells: Sequence[Cell]) -> None:
    """Keep which run is which, so that a report needs neither Hydra nor today's configs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"cells": [asdict(cell) for cell in cells]})


def cells_file(folder: Path, budget: str, claim_id: str) -> Path:
    """Where a claim's list of runs is kept."""
    return folder / paths.CLAIMS / budget / f"{claim_id}.json"


def kept_cells(folder: Path, budget: str) -> dict[str, list[Cell]]:
    """Claim to its runs, of every claim reproduced with this budget in a folder of either kind."""
    return {claim: [Cell(**row) for row in rows] for claim, rows in archive.read_cells(folder).get(budget, {}).items()}
