"""``bnexp export``: runs as three files that can be kept under version control; imports no torch."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from bnexp.claims.base import Claim
from bnexp.claims.runs import Cell, Runs, kept_cells
from bnexp.cli.main import DONE
from bnexp.cli.report import told_if_unwritable
from bnexp.cli.settings import Parser, as_flags
from bnexp.cli.table import columns, program
from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.archive import ARRAYS, CLAIMS, RUNS, read_cells, write_archive
from bnexp.records.curves import Curve
from bnexp.records.reader import RunRecord, find_runs
from bnexp.stats.verdict import counted

#: Curves of which an export with budget= keeps so many points; what analyses read it keeps whole, other curves not at all.
SHOWN_CURVES, POINTS = ("train/loss", "val/accuracy"), 8

#: A run's name, a probe and the name of an array; or a run's name, ``""`` and the name of a curve.
Read = set[tuple[str, str, str]]


def main(argv: list[str]) -> int:
    """Write the archive and say what is in it."""
    parser = Parser(
        "bnexp export",
        usage="bnexp export RUNS OUT [budget=smoke|quick|full]",
        description="Complete runs as text that a diff can show (runs.jsonl), their arrays (arrays.npz), and the claims' lists of "
        "runs (claims.json). bnexp report OUT judges them again.",
        epilog="With budget=, only the runs of that budget's claims, of their curves and arrays what verdicts and figures rest "
        f"on, to 12 bits, and {POINTS} points of every other training loss and validation accuracy; else every complete run with "
        "all it recorded.",
        allow_abbrev=False,
    )
    parser.add_argument("runs", type=Path, metavar="RUNS", help="a runs folder, or an archive")
    parser.add_argument("out", type=Path, metavar="OUT", help="where to write; the three files there are replaced")
    parser.add_argument("--budget", metavar="NAME", help="only this budget's claims; the same as budget=NAME")
    arguments = parser.parse_intermixed_args(as_flags("export", argv, ("budget",)))
    source, out = arguments.runs.expanduser(), arguments.out.expanduser()
    _check_out(source, out)
    records, cells, budget = _complete(source), read_cells(source), arguments.budget
    everything = f"{program()} export {shlex.quote(str(source))} {shlex.quote(str(out))}"
    if budget is not None and budget not in cells:
        what = "no claim was reproduced with this budget here" + (f", but with {', '.join(cells)}" if cells else "")
        todo = f"{everything} budget={list(cells)[-1]}" if cells else everything
        raise UserError(what, got=f"budget={budget}", todo=todo)
    keep: Callable[..., bool] | None = None
    curves: Callable[[str, str], float] | None = None
    if budget is not None:
        records, read = _evidence(source, budget, kept_cells(source, budget), everything)
        cells, keep = {budget: cells[budget]}, lambda *array: array in read
        curves = lambda run, name: math.inf if (run, "", name) in read else POINTS * (name in SHOWN_CURVES)  # noqa: E731
    with told_if_unwritable(out, f"{program()} export {shlex.quote(str(source))} OUT, a folder you may write to"):
        write_archive(out, records, cells, keep, curves)
    print(_told(source, out, records))
    return DONE


def _complete(source: Path) -> list[RunRecord]:
    if source.is_file():
        todo = f"{program()} export {shlex.quote(str(source.parent))} OUT"
        raise UserError("the runs are read from a folder, and this is a file", got=source, todo=todo)
    found = find_runs(source)
    complete = [record for record in found if record.complete]
    if not complete:
        raise UserError(
            f"there is no complete run in this folder ({len(found)} that are not)"
            if found
            else "there is no run in this folder",
            got=source,
            todo=f"{program()} train runs_dir={shlex.quote(str(source))}",
        )
    return complete


def _check_out(source: Path, out: Path) -> None:
    """An archive inside a runs folder would hide its runs."""
    if out.resolve() == source.resolve() or any(out.glob(f"*/{paths.HEADER}")):
        raise UserError(
            "the export needs a folder of its own",
            got=out,
            todo=f"{program()} export {shlex.quote(str(source))} {shlex.quote(f'{out}-export')}",
        )
    if out.exists() and not out.is_dir():
        raise UserError("the export needs a folder, and this is a file", got=out, todo="the name of a folder")


class _WatchedArrays(Mapping[str, np.ndarray]):
    """A probe's arrays, with a note of each that is looked at."""

    def __init__(self, record: RunRecord, probe: str, read: Read) -> None:
        self._arrays, self._run, self._probe, self._read = record.arrays(probe), record.folder.name, probe, read

    def __getitem__(self, name: str) -> np.ndarray:
        self._read.add((self._run, self._probe, name))
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class _WatchedRun:
    """A record, with a note of each array and curve that is looked at."""

    def __init__(self, record: RunRecord, read: Read) -> None:
        self._record, self._read = record, read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._record, name)

    def arrays(self, probe: str) -> _WatchedArrays:
        return _WatchedArrays(self._record, probe, self._read)

    def curve(self, name: str) -> Curve:
        self._read.add((self._record.folder.name, "", name))
        return self._record.curve(name)


class _WatchedRuns(Runs):
    """A claim's records, with a note of each array that its analysis and its figure look at."""

    def __init__(self, claim: Claim, budget: str, cells: Sequence[Cell], folder: Path) -> None:
        super().__init__(claim, budget, cells, folder)
        self.read: Read = set()

    def record(self, cell: Cell) -> RunRecord:
        return cast(RunRecord, _WatchedRun(super().record(cell), self.read))


def _evidence(
    source: Path, budget: str, claims: Mapping[str, Sequence[Cell]], instead: str
) -> tuple[list[RunRecord], Read]:
    """The runs of these claims, and every array that analysing and drawing the claims reads.

    Raises:
        UserError: runs are missing, or an analysis breaks down, so that nobody can say what it reads; with ``instead`` as advice.
    """
    from matplotlib.figure import Figure

    from bnexp.claims import CLAIMS
    from bnexp.claims.variants import variant_of
    from bnexp.rng import numpy_stream

    records: dict[str, RunRecord] = {}
    read: Read = set()
    for name, cells in claims.items():
        own, *words = name.split(" ")
        if own not in CLAIMS:
            todo = f"{instead} plugins=[...], with the module that brings it"
            raise UserError(f"the claim {own} is not known here", got=name, todo=todo)
        claim = variant_of(CLAIMS[own], words)
        runs = _WatchedRuns(claim, budget, cells, source)
        if missing := runs.missing():
            raise UserError(
                f"runs of {name} are missing ({len(missing)}); without budget= every complete run is exported",
                got=missing[0].run_id,
                todo=instead,
            )
        try:
            evidence = claim.analyse(runs, numpy_stream(0, f"claims/{claim.id}"))
        except Exception as error:
            raise UserError(
                f"the analysis of {name} breaks down; without budget= every complete run is exported",
                got=error,
                todo=instead,
            ) from error
        with contextlib.suppress(Exception):  # what a figure that cannot be drawn would have read is not needed
            claim.draw(evidence, Figure())
        read |= runs.read
        for cell in cells:
            record = Runs.record(runs, cell)
            records[record.folder.name] = record
    return list(records.values()), read


def _told(source: Path, out: Path, records: Sequence[RunRecord]) -> str:
    """What was written, what was left out, and what reads it."""
    names = [name for name in (RUNS, ARRAYS, CLAIMS) if (out / name).is_file()]
    rows = [[str(out / name), f"{(out / name).stat().st_size / 1e6:.1f} MB"] for name in names]
    left = len(find_runs(source)) - len(records)
    lines = [
        f"{counted(len(records), 'run')} exported"
        + (f", {left} left out (not complete, or of no claim)" if left else ""),
        columns(rows),
    ]
    if CLAIMS in names:
        lines.append(f"judged again by: {program()} report {out}")
    return "\n".join(lines)
