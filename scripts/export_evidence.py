#!/usr/bin/env python
"""Copy what verdicts rest on from a runs folder into results/: headers, ends, validation curves, measurements.

    scripts/export_evidence.py quick [--runs-dir runs] [CLAIM ...]

A run that was copied before is copied again, to the same bytes unless a claim now asks for more of it. The copy is a runs folder
like any other: ``bnexp report --runs-dir results/quick --budget quick`` judges it again.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS
from bnexp.claims.fig1_stability import TRACK
from bnexp.claims.pinned_moments import kept_arrays
from bnexp.claims.runs import Cell, Runs, cells_file, read_cells, write_cells
from bnexp.records import paths
from bnexp.records.reader import RunRecord

RESULTS = Path(__file__).resolve().parent.parent / "results"


def main() -> None:
    """Export every claim of a budget whose runs are complete."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("budget", choices=sorted(BUDGETS))
    parser.add_argument("claims", nargs="*", default=list(CLAIMS))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    target = arguments.results / arguments.budget
    for name in arguments.claims:
        file = cells_file(arguments.runs_dir, arguments.budget, name)
        if file.is_file():
            export(read_cells(file), arguments.runs_dir, target)
            write_cells(cells_file(target, arguments.budget, name), read_cells(file))


def export(cells: list[Cell], runs_dir: Path, target: Path) -> None:
    """Copy the runs of a claim; an incomplete one is an error."""
    runs = Runs(cells, runs_dir)
    if runs.missing():
        raise SystemExit(f"{len(runs.missing())} runs are not complete, for example {runs.missing()[0].run_id}")
    reported = {cell.run_id for cell in cells if cell.regime != "tuning"}
    compared = {cell.run_id for cell in cells if cell.regime == "same"}
    for cell in {cell.run_id: cell for cell in cells}.values():
        folder = target / cell.run_id
        folder.mkdir(parents=True, exist_ok=True)
        tracks = cell.seed == 0 and cell.run_id in reported
        copy(runs.record(cell), folder, tracks=tracks, moments=cell.run_id in compared)


def copy(record: RunRecord, folder: Path, *, tracks: bool, moments: bool) -> None:
    """The header, the end, the validation curve; a measurement whole, of ``layer_inputs`` what is drawn or judged."""
    for name in (paths.HEADER, paths.END):
        shutil.copy(record.folder / name, folder / name)
    with (folder / paths.EVENTS).open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(event) + "\n" for event in record.events() if event["name"] == "val/accuracy")
    probes = record.folder / paths.PROBES
    if (probes / "measure.npz").is_file():
        (folder / paths.PROBES).mkdir(exist_ok=True)
        shutil.copy(probes / "measure.npz", folder / paths.PROBES / "measure.npz")
    if (tracks or moments) and (probes / "layer_inputs.npz").is_file():
        (folder / paths.PROBES).mkdir(exist_ok=True)
        kept = kept_arrays(record) if moments else {}
        if tracks:
            arrays = record.arrays("layer_inputs")
            kept |= {name: arrays[name] for name in ("steps", TRACK) if name in arrays}
        np.savez_compressed(folder / paths.PROBES / "layer_inputs.npz", **kept)


if __name__ == "__main__":
    main()
