"""Many runs in three files that can be kept under version control: what ``bnexp export`` writes and every reader of runs takes.

``runs.jsonl`` has one line a run, ``arrays.npz`` the arrays of all their probes, ``claims.json`` says which run is which in which
claim. docs/records.md has the formats.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.curves import Curve
from bnexp.records.jsonfile import read_json
from bnexp.records.reader import RunRecord

RUNS, ARRAYS, CLAIMS = "runs.jsonl", "arrays.npz", "claims.json"

#: Budget to claim or variant to its list of runs, as plain dicts.
Cells = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def is_archive(folder: Path) -> bool:
    """Whether a folder holds runs in one file rather than a folder for each."""
    return os.path.isfile(folder / RUNS)  # pathlib's raises for a name that no file can have


def open_record(folder: Path, run_id: str) -> RunRecord:
    """The record of a run in a folder of either kind.

    Of several attempts the first if it is complete, else the newest that is; the first, whatever became of it, where none is.
    """
    first: RunRecord | None
    others: Sequence[RunRecord]
    if is_archive(folder):
        lines = archived_lines(folder)
        first = ArchivedRun(folder / run_id, lines[run_id]) if run_id in lines else None
        retries = (
            []
            if first
            else [name for name in lines if name.startswith(f"{run_id}.") and name[len(run_id) + 1 :].isdecimal()]
        )
        others = [ArchivedRun(folder / name, lines[name]) for name in sorted(retries, key=len)]  # .2 before .10
    else:
        first = RunRecord(folder / run_id)
        # Looking for other attempts means listing the whole folder, for every run.
        others = [] if first.complete else [RunRecord(path) for path in paths.attempts(folder, run_id)]
    done = [record for record in others if record.complete]
    return done[-1] if done else first or RunRecord(folder / run_id)


@dataclass(frozen=True)
class ArchivedRun(RunRecord):
    """A complete run kept in an archive. ``folder`` is the archive and the run's name; there is no such folder.

    Attributes:
        line: what ``runs.jsonl`` says of it.
    """

    line: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def damage(self) -> str:
        """Empty: an archive with a damaged line is not read at all."""
        return ""

    @property
    def header(self) -> dict[str, Any]:
        """What ``run.json`` said."""
        return self.line["header"]

    @property
    def end(self) -> dict[str, Any]:
        """What ``end.json`` said."""
        return self.line["end"]

    def events(self) -> Iterator[dict[str, Any]]:
        """The measurements in the order of their steps."""
        rows = [
            (step, name, value, seconds)
            for name, curve in self.line["curves"].items()
            for step, value, seconds in zip(steps_of(curve["steps"]), curve["values"], self._seconds(curve), strict=True)
        ]
        for step, name, value, seconds in sorted(rows, key=lambda row: row[:2]):
            told = {"value": None, "kind": value} if isinstance(value, str) else {"value": value}
            yield {"step": step, "name": name, **told, "seconds": seconds}

    def curve(self, name: str) -> Curve:
        """All values recorded under ``name``; None where one was not finite."""
        curve = self.line["curves"].get(name, {"steps": "", "values": ()})
        values = tuple(None if isinstance(value, str) else value for value in curve["values"])
        return Curve(steps_of(curve["steps"]), values, tuple(self._seconds(curve)))

    def _seconds(self, curve: Mapping[str, Any]) -> Sequence[float]:
        """The clock of a curve; where it was not kept, steps times the run's own price of a step."""
        price = (self.end.get("step_ms") or 0.0) / 1000
        return curve.get("seconds") or [round(step * price, 3) for step in steps_of(curve["steps"])]

    def probes(self) -> list[str]:
        """Names of the probes that left arrays."""
        return sorted({key.split("/")[1] for key in _keys(self.folder.parent, self.folder.name)})

    def arrays(self, probe: str) -> dict[str, np.ndarray]:
        """A probe's arrays by name."""
        start = f"{self.folder.name}/{probe}/"
        keys = [key for key in _keys(self.folder.parent, self.folder.name) if key.startswith(start)]
        if not keys:
            raise FileNotFoundError(f"{self.folder.name} has no arrays of {probe} in {self.folder.parent / ARRAYS}")
        with np.load(self.folder.parent / ARRAYS, allow_pickle=False) as file:
            return {key.removeprefix(start): file[key] for key in keys}


def archived_runs(folder: Path) -> dict[str, ArchivedRun]:
    """Name to run of an archive, sorted by name.

    Raises:
        UserError: a line of ``runs.jsonl`` is damaged.
    """
    return {name: ArchivedRun(folder / name, line) for name, line in archived_lines(folder).items()}


def archived_lines(folder: Path) -> dict[str, dict[str, Any]]:
    """Name to what stands of a run in an archive, sorted by name; read once and not to be changed.

    Raises:
        UserError: as :func:`archived_runs`.
    """
    return _lines(folder / RUNS, _stamp(folder / RUNS))


@lru_cache(maxsize=4)
def _lines(file: Path, stamp: tuple[int, int]) -> dict[str, dict[str, Any]]:  # noqa: ARG001 - a changed file is read again
    lines = {}
    for number, text in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            line = json.loads(text)
            lines[line["run"]] = {key: line[key] for key in ("header", "end", "curves")}
        except (ValueError, KeyError, TypeError):
            raise _damaged(file, f"line {number} of {file.name} is not a run") from None
    return lines


def _keys(folder: Path, name: str) -> list[str]:
    """The keys of ``arrays.npz`` that belong to a run."""
    file = folder / ARRAYS
    return _keys_by_run(file, _stamp(file)).get(name, []) if file.is_file() else []


@lru_cache(maxsize=4)
def _keys_by_run(file: Path, stamp: tuple[int, int]) -> dict[str, list[str]]:  # noqa: ARG001 - as above
    keys: dict[str, list[str]] = {}
    try:
        with zipfile.ZipFile(file) as members:
            for member in members.namelist():
                keys.setdefault(member.split("/")[0], []).append(member.removesuffix(".npy"))
    except zipfile.BadZipFile:
        raise _damaged(file, f"{file.name} is not an npz file") from None
    return keys


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


def _damaged(file: Path, why: str) -> UserError:
    return UserError(why, got=file, todo="the file as it was committed, or bnexp export again")


def read_cells(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Budget to claim to its list of runs, of a folder of either kind; nothing where no claim was reproduced.

    Raises:
        UserError: a list cannot be read.
    """
    if is_archive(folder):
        return _json(folder / CLAIMS) if (folder / CLAIMS).is_file() else {}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for file in sorted((folder / paths.CLAIMS).glob("*/*.json")):
        content = _json(file)
        found.setdefault(file.parent.name, {})[content.get("claim", file.stem)] = content.get("cells", [])
    return found


def _json(file: Path) -> dict[str, Any]:
    read = read_json(file)
    if read.problem:
        raise _damaged(file, read.problem)
    return read.content


def write_archive(
    out: Path,
    records: Sequence[RunRecord],
    cells: Cells,
    keep: Callable[[str, str, str], bool] | None = None,
    curves: Callable[[str, str], bool] | None = None,
) -> None:
    """Write the three files into ``out``; the same records give the same bytes.

    Args:
        out: a folder, made if it is not there; other files in it are left alone.
        records: complete runs, of either kind.
        cells: which run is which, see :func:`read_cells`.
        keep: called with a run's name, a probe and an array's name; what it keeps is rounded (:func:`rounded`). None keeps every
            array, bits unchanged.
        curves: called with a run's name and a curve's; what it keeps loses its clock, and training losses all but 5 digits. None
            keeps every curve whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    ordered = sorted(records, key=lambda record: record.folder.name)
    lines = (json.dumps(_line(record, curves), separators=(",", ":"), allow_nan=False) + "\n" for record in ordered)
    _write(out / RUNS, lambda file: file.write_text("".join(lines), encoding="utf-8"))
    _write(out / ARRAYS, lambda file: _write_arrays(file, ordered, keep))
    if cells:
        _write(out / CLAIMS, lambda file: file.write_text(_claims_text(cells), encoding="utf-8"))
    else:
        (out / CLAIMS).unlink(missing_ok=True)


def _write(file: Path, write: Callable[[Path], object]) -> None:
    """Under a temporary name first: a reader sees the old file or the new one."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        write(temporary)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


#: float64 arrays from this many numbers on hold the rounding errors of algebra, case by case; smaller ones are measurements.
MANY = 1000

#: Significant digits that a kept training loss has, which is the mean of one mini-batch.
LOSS_DIGITS = 5


def rounded(array: np.ndarray) -> np.ndarray:
    """float32 numbers, and many float64 ones, to 12 bits, a relative error of at most 2^-12; others as they are.

    What probes record in float32 are moments and percentiles of some hundred examples, whose own error is a hundred times larger.

    Source: Zender 2016 and Kouznetsov 2021 (Geoscientific Model Development), rounding of mantissas.

    Example:
        >>> rounded(np.array([1.0001, 3.14159265], np.float32)).tolist()
        [1.0, 3.1416015625]
    """
    if array.dtype != np.float32 and not (array.dtype == np.float64 and array.size >= MANY):
        return array
    mantissa, exponent = np.frexp(array)
    nearest = np.ldexp(np.round(mantissa * 2**12) / 2**12, exponent).astype(array.dtype)
    return np.where(np.isfinite(array), nearest, array)


def spans(steps: Sequence[int]) -> str:
    """Steps, increasing, as people write them down; :func:`steps_of` reads them.

    Example:
        >>> spans([1, 2, 3, 4, 6, 8, 10, 15, 20, 100])
        '1-4 6-10/2 15 20 100'
    """
    words, place = [], 0
    while place < len(steps):
        end, stride = place + 1, steps[place + 1] - steps[place] if place + 1 < len(steps) else 0
        while end < len(steps) and steps[end] - steps[end - 1] == stride:
            end += 1
        if end - place < 3:
            words.append(str(steps[place]))
            place += 1
        else:
            words.append(f"{steps[place]}-{steps[end - 1]}" + (f"/{stride}" if stride != 1 else ""))
            place = end
    return " ".join(words)


def steps_of(written: str | Sequence[int]) -> tuple[int, ...]:
    """The steps that :func:`spans` wrote, or a list of them as it is."""
    if not isinstance(written, str):
        return tuple(written)
    return _steps_of(written)


@lru_cache(maxsize=1024)
def _steps_of(written: str) -> tuple[int, ...]:
    steps: list[int] = []
    for word in written.split():
        first, _, rest = word.partition("-")
        last, _, stride = rest.partition("/")
        steps += range(int(first), int(last or first) + 1, int(stride or 1))
    return tuple(steps)


def _line(record: RunRecord, kept: Callable[[str, str], bool] | None) -> dict[str, Any]:
    curves: dict[str, dict[str, Any]] = {}
    for event in record.events():
        if kept is None or kept(record.folder.name, event["name"]):
            curve = curves.setdefault(event["name"], {"steps": [], "values": []})
            curve["steps"].append(event["step"])
            value = event.get("kind", event["value"])
            if kept is not None and event["name"] == "train/loss" and isinstance(value, float):
                value = float(f"{value:.{LOSS_DIGITS}g}")
            curve["values"].append(value)
            if kept is None:
                curve.setdefault("seconds", []).append(event["seconds"])
    for curve in curves.values():
        curve["steps"] = spans(curve["steps"])
    sorted_curves = dict(sorted(curves.items()))
    return {"run": record.folder.name, "header": record.header, "end": record.end, "curves": sorted_curves}


def _write_arrays(file: Path, records: Sequence[RunRecord], keep: Callable[[str, str, str], bool] | None) -> None:
    """An npz of all runs, array by array, since all of them together may not fit into memory."""
    with zipfile.ZipFile(file, "w") as members:
        for record in records:
            for probe in record.probes():
                for name, array in sorted(record.arrays(probe).items()):
                    if keep is None or keep(record.folder.name, probe, name):
                        # dated 1980: the same bytes
                        member = zipfile.ZipInfo(f"{record.folder.name}/{probe}/{name}.npy")
                        member.compress_type = zipfile.ZIP_LZMA
                        with members.open(member, "w", force_zip64=True) as stream:
                            np.lib.format.write_array(stream, array if keep is None else rounded(array), allow_pickle=False)


def _claims_text(cells: Cells) -> str:
    """JSON with a line for each run of a claim, so that a difference shows which."""
    budgets = []
    for budget, claims in sorted(cells.items()):
        lists = []
        for claim, rows in sorted(claims.items()):
            lines = ",\n".join(json.dumps(dict(row)) for row in rows)
            lists.append(f"{json.dumps(claim)}: [\n{lines}\n]")
        budgets.append(f"{json.dumps(budget)}: {{\n" + ",\n".join(lists) + "\n}")
    return "{\n" + ",\n".join(budgets) + "\n}\n"
