"""A claim's records, addressed the way its analysis speaks: by arm, by how its tuned value was chosen, by seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.tuning import at_edge
from bnexp.errors import UserError
from bnexp.records import archive, paths
from bnexp.records.archive import open_record
from bnexp.records.jsonfile import write_json
from bnexp.records.reader import RunRecord, first_line
from bnexp.stats.gates import Gate
from bnexp.stats.sample import Side

if TYPE_CHECKING:
    from bnexp.claims.base import Claim

INSIDE = "every tuned value lies inside its list, which grew as far as it may"
FINISHED = "in every arm behind the primary endpoint, runs of at most one reported seed in eight diverged"

#: How an arm's tuned value came about: its ``own`` choice, the ``same`` as another arm's, or being tried while ``tuning``.
REGIMES = ("own", "same", "tuning")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of one claim.

    Attributes:
        grid: index of the claim's grid; -1 for a measurement.
        regime: one of ``REGIMES``.
        arm: the name of its arm, e.g. ``"subject"``.
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
        claim: whose runs they are.
        budget: of the runs.
        cells: every run the claim asks for.
        folder: where the runs are, of either kind: a folder each, or an archive.
        opened: records by name that other claims have read already; those of this one are added.
    """

    def __init__(
        self,
        claim: Claim,
        budget: str,
        cells: Sequence[Cell],
        folder: Path,
        opened: MutableMapping[str, RunRecord] | None = None,
    ) -> None:
        self.claim, self.budget, self.cells = claim, budget, tuple(cells)
        self._records = {} if opened is None else opened
        for name in {cell.run_id for cell in cells} - self._records.keys():
            self._records[name] = open_record(folder, name)
        self._measured: dict[int, Mapping[str, np.ndarray]] = {}

    def missing(self) -> list[Cell]:
        """Cells whose run has no complete record."""
        return [cell for cell in self.cells if not self._records[cell.run_id].complete]

    def record(self, cell: Cell) -> RunRecord:
        """The record of a cell."""
        return self._records[cell.run_id]

    def arms(self, grid: int = 0) -> tuple[str, ...]:
        """Names of the arms of a grid, in the order they were declared."""
        return tuple(dict.fromkeys(cell.arm for cell in self.cells if cell.grid == grid))

    def absent(self, grid: int) -> str:
        """Why a grid has no runs, where its data were not on the machine; empty where it has."""
        if self.arms(grid) or not self.claim.grids[grid].needs:
            return ""
        return f"dataset={self.claim.grids[grid].needs} was not on the machine that made these runs (bnexp data list)."

    def out_of_reach(self, start: str, why: str) -> dict[str, str]:
        """The claim's endpoints whose names start so, all for one reason: for ``Evidence.out_of_reach``."""
        return {name: why for name in self.claim.endpoints if name.startswith(start)}

    def candidates(self, arm: str, regime: str = "own", grid: int = 0) -> dict[float | None, dict[int, RunRecord]]:
        """An arm's reported runs: chosen value (increasing; None where nothing is tuned) to seed to record."""
        found: dict[float | None, dict[int, RunRecord]] = {}
        for cell in sorted(self.cells, key=lambda cell: (cell.value or 0.0, cell.seed)):
            if (cell.grid, cell.arm, cell.regime) == (grid, arm, regime):
                found.setdefault(cell.value, {})[cell.seed] = self.record(cell)
        return found

    def reported(self, arm: str, regime: str = "own", grid: int = 0) -> list[RunRecord]:
        """Every reported run of an arm, by chosen value and seed."""
        return [record for by_seed in self.candidates(arm, regime, grid).values() for record in by_seed.values()]

    def typical(self, arm: str, regime: str = "own", grid: int = 0) -> list[RunRecord]:
        """The runs of the chosen value with the best mean tuning score, by seed: what a figure shows of an arm."""
        return list(self.candidates(arm, regime, grid)[self.best(arm, regime, grid)].values())

    def best(self, arm: str, regime: str = "own", grid: int = 0) -> float | None:
        """The chosen value with the best mean tuning score; None where nothing is tuned."""
        scores = self.scores(self._chooser(arm, regime, grid), grid)
        found = self.candidates(arm, regime, grid)
        return max(found, key=lambda value: fmean(scores[value].values()) if value in scores else 0.0)

    def tuning(self, arm: str, grid: int = 0) -> dict[float, dict[int, RunRecord]]:
        """Tuned value to seed to the record of its tuning runs, in increasing order of the value."""
        tried: dict[float, dict[int, RunRecord]] = {}
        for cell in sorted(self.cells, key=lambda cell: (cell.value or 0.0, cell.seed)):
            if (cell.grid, cell.arm, cell.regime) == (grid, arm, "tuning") and cell.value is not None:
                tried.setdefault(cell.value, {})[cell.seed] = self.record(cell)
        return tried

    def scores(self, arm: str, grid: int = 0) -> dict[float, dict[int, float]]:
        """Tuned value to seed to the judged quantity of its tuning run."""
        tuning = self.claim.grids[grid].tuning
        tried = self.tuning(arm, grid).items() if tuning else ()
        return {
            value: {seed: tuning.by.score(record, self.budget) for seed, record in records.items()}
            for value, records in tried
            if tuning
        }

    def side(self, read: Callable[[RunRecord], float], arm: str, regime: str = "own", grid: int = 0) -> Side:
        """One arm of a comparison: what ``read`` says of every reported run, with the tuning scores behind the choice."""
        found = self.candidates(arm, regime, grid)
        values_CS = tuple(tuple(read(record) for record in by_seed.values()) for by_seed in found.values())
        scores = self.scores(self._chooser(arm, regime, grid), grid)
        if not scores:
            return Side(values_CS)
        return Side(values_CS, tuple(tuple(scores[value].values()) for value in found if value is not None))

    def chosen(self, arm: str, regime: str = "own", grid: int = 0) -> tuple[float, ...]:
        """The tuned values that an arm's reported runs used."""
        return tuple(value for value in self.candidates(arm, regime, grid) if value is not None)

    def tuning_gate(self) -> dict[str, bool | Gate]:
        """Whether every chosen value lies inside its list, as far as the list could grow."""
        inside = True
        for index, grid in enumerate(self.claim.grids):
            for arm in self.arms(index) if grid.tuning else ():
                inside &= not at_edge(self.scores(arm, index), list(self.chosen(arm, grid=index)))
        return {INSIDE: inside} if any(grid.tuning for grid in self.claim.grids) else {}

    def finished_gate(self, *grids: int) -> dict[str, bool | Gate]:
        """Whether nearly all reported runs finished, in the arm in which fewest did; what one that diverged counts for, its
        readers say.

        Args:
            grids: those that the primary endpoint is judged on; all of them unless said.
        """
        finished: dict[tuple[int, str, str], dict[int, bool]] = {}
        for cell in self.cells:
            if cell.regime != "tuning" and (not grids or cell.grid in grids):
                by_seed = finished.setdefault((cell.grid, cell.arm, cell.regime), {})
                by_seed[cell.seed] = by_seed.get(cell.seed, True) and self.record(cell).status == "finished"
        return {FINISHED: Gate.most(min((list(by_seed.values()) for by_seed in finished.values()), key=fmean, default=[True]))}

    def measured(self, seed: int) -> Mapping[str, np.ndarray]:
        """The arrays of the claim's measurement at a seed."""
        if seed not in self._measured:
            cell = next(cell for cell in self.cells if cell.grid == -1 and cell.seed == seed)
            self._measured[seed] = self.record(cell).arrays("measure")
        return self._measured[seed]

    def seeds(self) -> tuple[int, ...]:
        """The seeds of the claim's measurement."""
        return tuple(cell.seed for cell in self.cells if cell.grid == -1)

    def _chooser(self, arm: str, regime: str, grid: int) -> str:
        """The arm whose tuning decides an arm's values."""
        tuning = self.claim.grids[grid].tuning
        return tuning.same_as if regime == "same" and tuning and tuning.same_as else arm


def test_points(record: RunRecord) -> float:
    """Test accuracy after the last step in percentage points, with running statistics; 0 for a diverged run."""
    return 100 * record.end["test"]["accuracy"] if record.end["test"] else 0.0


def recomputed_points(record: RunRecord) -> float:
    """As :func:`test_points` with statistics recomputed on the trained net, where it has any."""
    recomputed = record.end["test"] and record.end["test"]["recomputed_accuracy"]
    return test_points(record) if recomputed is None else 100 * recomputed


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


def stacked(runs: Runs, name: str) -> np.ndarray:
    """An array of a claim's measurement at all its seeds, which are the first axis. Shape ``[S, ...]``."""
    return np.array([runs.measured(seed)[name] for seed in runs.seeds()])


def first_measured(runs: Runs) -> Mapping[str, np.ndarray]:
    """The arrays of a claim's measurement at its first seed."""
    return runs.measured(runs.seeds()[0])


def write_cells(folder: Path, budget: str, claim: Claim, cells: Sequence[Cell]) -> None:
    """Keep which run is which, so that a report needs neither Hydra nor today's configs; a file for each claim and variant."""
    words = [re.sub(r"[^A-Za-z0-9=.,+-]+", "_", word) for word in (claim.id, *claim.variant)]
    file = folder / paths.CLAIMS / budget / f"{'@'.join(words)}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"claim": claim.key, "cells": [asdict(cell) for cell in cells]})


def kept_cells(folder: Path, budget: str) -> dict[str, list[Cell]]:
    """Claim or variant (see ``Claim.key``) to its runs, of all that were reproduced with this budget in a folder of either kind.

    Raises:
        UserError: a list is damaged.
    """
    kept = archive.read_cells(folder).get(budget, {})
    try:
        return {key: [Cell(**row) for row in rows] for key, rows in kept.items()}
    except TypeError as error:
        todo = f"bnexp reproduce all budget={budget} runs_dir={folder}"
        raise UserError("a claim's list of runs lacks something", got=first_line(error), todo=todo) from error
