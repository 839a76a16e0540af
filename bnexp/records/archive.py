"""Many runs in three files that can be kept under version control: what ``bnexp export`` writes and every reader of runs takes.

``runs.jsonl`` has one line a run, after lines of what runs share of their headers; ``arrays.npz`` has the arrays of all their
probes, and ``claims.json`` says which run is which in which claim. docs/records.md has the formats.
"""

from __future__ import annotations

import io
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
from bnexp.records.compact import LOSS_DIGITS, PER, as_shares, few_points, rounded, spans, steps_of
from bnexp.records.curves import Curve
from bnexp.records.jsonfile import loads, read_json, write_text, write_whole
from bnexp.records.reader import MOST_BYTES, Arrays, RunRecord, first_line
from bnexp.records.shape import are_cells, end_misfit, header_misfit, is_name
from bnexp.records.shared import pack, unpack

RUNS, ARRAYS, CLAIMS = "runs.jsonl", "arrays.npz", "claims.json"

#: What a cell of ``claims.json`` says by leaving it out.
USUAL = {"grid": 0, "regime": "own", "value": None}

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

    def points_before(self, name: str) -> int | None:
        """How many points a curve had, where the archive kept a few of them."""
        return self.line["curves"].get(name, {}).get("of")

    def events(self) -> Iterator[dict[str, Any]]:
        """The measurements in the order of their steps."""
        rows = [
            (step, name, value, seconds)
            for name, curve in self.line["curves"].items()
            for step, value, seconds in zip(self._steps(curve), _values(curve), self._seconds(curve), strict=True)
        ]
        for step, name, value, seconds in sorted(rows, key=lambda row: row[:2]):
            told = {"value": None, "kind": value} if isinstance(value, str) else {"value": value}
            yield {"step": step, "name": name, **told, "seconds": seconds}

    def curve(self, name: str) -> Curve:
        """All values recorded under ``name``; None where one was not finite."""
        if name not in self._curves:
            self._curves[name] = (0, 0), self._curve(name)
        return self._curves[name][1]

    def _curve(self, name: str) -> Curve:
        curve = self.line["curves"].get(name, {"steps": "", "values": ()})
        values = tuple(None if isinstance(value, str) else value for value in _values(curve))
        return Curve(self._steps(curve), values, tuple(self._seconds(curve)))

    def _steps(self, curve: Mapping[str, Any]) -> tuple[int, ...]:
        """The steps of a curve, one for each value; a range of any length is written in few characters."""
        try:
            return steps_of(curve["steps"], len(curve["values"]))
        except ValueError as error:
            file = self.folder.parent / RUNS
            raise _damaged(file, f"a curve of {self.folder.name} is damaged: {first_line(error)}") from error

    def _seconds(self, curve: Mapping[str, Any]) -> Sequence[float]:
        """The clock of a curve; where it was not kept, steps times the run's own price of a step."""
        price = (self.end.get("step_ms") or 0.0) / 1000
        return curve.get("seconds") or [round(step * price, 3) for step in self._steps(curve)]

    def probes(self) -> list[str]:
        """Names of the probes that left arrays."""
        file = self.folder.parent / ARRAYS
        return _probes_by_run(file, _stamp(file)).get(self.folder.name, []) if file.is_file() else []

    def arrays(self, probe: str) -> Mapping[str, np.ndarray]:
        """A probe's arrays by name."""
        file, run = self.folder.parent / ARRAYS, self.folder.name
        if probe not in self.probes():
            raise FileNotFoundError(f"{run} has no arrays of {probe} in {file}")

        def damaged(why: str) -> UserError:
            return _damaged(file, f"the arrays of {run} are damaged: {why}")

        try:
            member = _members(file).getinfo(f"{run}/{probe}.npz")
            if member.file_size > MOST_BYTES:
                raise ValueError(f"they would take {member.file_size:,} bytes")
            content = _members(file).read(member)
        except Exception as error:
            raise damaged(first_line(error)) from error
        return Arrays(content, damaged)


def _values(curve: Mapping[str, Any]) -> list[Any]:
    """Numbers and words of a curve, from shares where it is written in these."""
    per = curve.get("per")
    return [one / per if isinstance(one, int) else one for one in curve["values"]] if per else curve["values"]


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
    lines: dict[str, dict[str, Any]] = {}
    parts: dict[str, Any] = {}
    for number, text in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            line = loads(text)
            if "part" in line:
                parts[line["part"]] = line["is"]
                continue
            run, header = line["run"], line["header"]
            if "shared" in line:  # an archive of an older bnexp has whole headers
                header = unpack(line["shared"], header, run, parts)
            if not is_run(run, header, line["end"], line["curves"]):
                raise ValueError
            lines[run] = {"header": header, "end": line["end"], "curves": line["curves"]}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise _damaged(file, f"line {number} of {file.name} is not a run") from None
    return lines


def is_run(name: Any, header: Any, end: Any, curves: Any) -> bool:
    """Whether this is what a line may say of a run."""
    if not (is_name(name) and isinstance(header, dict) and isinstance(end, dict) and isinstance(curves, dict)):
        return False
    if header_misfit(header) or end_misfit(end, header) or not isinstance(end.get("status"), str):
        return False
    return all(
        isinstance(curve["values"], list) and isinstance(curve["steps"], str | list) and curve.get("per", PER) == PER
        for curve in curves.values()
    )


@lru_cache(maxsize=4)
def _probes_by_run(file: Path, stamp: tuple[int, int]) -> dict[str, list[str]]:  # noqa: ARG001 - as above
    probes: dict[str, list[str]] = {}
    for member in sorted(_members(file).namelist()):
        run, _, probe = member.removesuffix(".npz").rpartition("/")
        probes.setdefault(run, []).append(probe)
    return probes


def _members(file: Path) -> zipfile.ZipFile:
    """The open ``arrays.npz``: reading its list of thousands of members takes longer than reading one of them."""
    return _opened(file, _stamp(file), os.getpid())


@lru_cache(maxsize=2)
def _opened(file: Path, stamp: tuple[int, int], process: int) -> zipfile.ZipFile:  # noqa: ARG001 - as above
    # A forked process has its parent's open files, and the place that each is read at, in common with it: it opens its own.
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise _damaged(file, f"{file.name} is not an npz file") from None


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
        cells = _json(folder / CLAIMS) if (folder / CLAIMS).is_file() else {}
        for budget, claims in cells.items():
            try:
                claims.update({claim: [USUAL | row for row in rows] for claim, rows in claims.items()})
            except (AttributeError, TypeError):
                raise _damaged(folder / CLAIMS, f"the lists of runs for budget={budget} are damaged") from None
            if not all(map(are_cells, claims.values())):
                raise _damaged(folder / CLAIMS, f"the lists of runs for budget={budget} are damaged")
        for row in (row for claims in cells.values() for rows in claims.values() for row in rows):
            if row.get("command") is None:
                line = archived_lines(folder).get(row["run_id"])
                if line is None:
                    raise _damaged(folder / CLAIMS, f"{row['run_id']} is in no line of {RUNS}")
                row["command"] = line["header"].get("command", "")
        return cells
    found: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for file in sorted((folder / paths.CLAIMS).glob("*/*.json")):
        content = _json(file)
        claim, rows = content.get("claim", file.stem), content.get("cells", [])
        if not isinstance(claim, str) or not are_cells(rows):
            raise _damaged(file, f"{file.name} is no list of a claim's runs")
        found.setdefault(file.parent.name, {})[claim] = rows
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
    curves: Callable[[str, str], float] | None = None,
) -> None:
    """Write the three files into ``out``; the same records give the same bytes.

    Args:
        out: a folder, made if it is not there; other files in it are left alone.
        records: complete runs, of either kind.
        cells: which run is which, see :func:`read_cells`.
        keep: called with a run's name, a probe and an array's name; what it keeps is rounded (:func:`rounded`). None keeps every
            array, bits unchanged.
        curves: called with a run's name and a curve's; how many points to keep of it at most (:func:`few_points`), 0 for none. What
            is kept loses its clock, and training losses all but 5 digits. None keeps every curve whole.
    """
    out.mkdir(parents=True, exist_ok=True)
    ordered = sorted(records, key=lambda record: record.folder.name)
    parts: dict[str, Any] = {}
    lines = [_line(record, curves, parts) for record in ordered]
    shared = [{"part": name, "is": content} for name, content in sorted(parts.items())]
    text = "".join(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n" for line in (*shared, *lines))
    write_text(out / RUNS, text)
    write_whole(out / ARRAYS, lambda file: _write_arrays(file, ordered, keep))
    if cells:
        commands = {record.folder.name: record.header.get("command", "") for record in ordered}
        write_text(out / CLAIMS, _claims_text(cells, commands))
    else:
        (out / CLAIMS).unlink(missing_ok=True)


def _line(record: RunRecord, most: Callable[[str, str], float] | None, parts: dict[str, Any]) -> dict[str, Any]:
    run = record.folder.name
    events: dict[str, list[dict[str, Any]]] = {}
    for event in record.events():
        events.setdefault(event["name"], []).append(event)
    curves = {
        name: _curve(record, name, events[name], most(run, name) if most else None)
        for name in sorted(events)
        if most is None or most(run, name)
    }
    shared, own = pack(record.header, run, parts)
    end = {key: value for key, value in record.end.items() if key != "events"}  # the bytes of a file that is not kept
    return {"run": run, "shared": shared, "header": own, "end": end, "curves": curves}


def _curve(record: RunRecord, name: str, events: Sequence[Mapping[str, Any]], most: float | None) -> dict[str, Any]:
    """A curve of at most so many points, without a clock; whole and with one where ``most`` is None."""
    before = record.points_before(name)
    if most is not None and before is None and len(events) > most:
        steps, values, seconds = ([event[key] for event in events] for key in ("step", "value", "seconds"))
        targets = kept_targets(record) if name == "val/accuracy" else []
        kept = few_points(Curve(tuple(steps), tuple(values), tuple(seconds)), int(most), targets)
        before = len(events)
        events = [events[place] for place in kept]
    curve: dict[str, Any] = {"steps": spans([event["step"] for event in events])}
    curve["values"] = [event.get("kind", event["value"]) for event in events]
    if most is None:
        curve["seconds"] = [event["seconds"] for event in events]
    elif name == "train/loss":
        curve["values"] = [float(f"{one:.{LOSS_DIGITS}g}") if isinstance(one, float) else one for one in curve["values"]]
    elif (shares := as_shares(curve["values"])) is not None:
        curve |= {"values": shares, "per": PER}
    return curve | ({"of": before} if before else {})


def kept_targets(record: RunRecord) -> list[float]:
    """The validation accuracies that a run was recorded with, or was to stop at: what an archive can say of them is exact."""
    goal = record.header.get("config", {}).get("train", {}).get("stop_at_accuracy")
    return [*(row["target"] for row in record.end.get("targets") or ()), *([goal] if goal else [])]


def _write_arrays(file: Path, records: Sequence[RunRecord], keep: Callable[[str, str, str], bool] | None) -> None:
    """Each probe of each run as an npz of its own, packed as a whole: the names of its arrays take more room than many of them."""
    with zipfile.ZipFile(file, "w") as members:
        for record in records:
            for probe in record.probes():
                arrays = {
                    name: array if keep is None else rounded(array)
                    for name, array in sorted(record.arrays(probe).items())
                    if keep is None or keep(record.folder.name, probe, name)
                }
                if arrays:
                    inner = io.BytesIO()
                    np.savez(inner, **arrays)  # type: ignore[arg-type]
                    member = zipfile.ZipInfo(f"{record.folder.name}/{probe}.npz")  # dated 1980: the same bytes
                    members.writestr(member, inner.getbuffer(), zipfile.ZIP_LZMA)


def _claims_text(cells: Cells, commands: Mapping[str, str]) -> str:
    """JSON with a line for each run of a claim, so that a difference shows which; without ``USUAL`` values and commands that the
    runs' headers have."""

    def shorter(row: Mapping[str, Any]) -> dict[str, Any]:
        known = USUAL | {"command": commands.get(row.get("run_id", ""))}
        return {key: value for key, value in row.items() if key not in known or value != known[key]}

    budgets = []
    for budget, claims in sorted(cells.items()):
        lists = []
        for claim, rows in sorted(claims.items()):
            lines = ",\n".join(json.dumps(shorter(row), separators=(",", ":")) for row in rows)
            lists.append(f"{json.dumps(claim)}: [\n{lines}\n]")
        budgets.append(f"{json.dumps(budget)}: {{\n" + ",\n".join(lists) + "\n}")
    return "{\n" + ",\n".join(budgets) + "\n}\n"
