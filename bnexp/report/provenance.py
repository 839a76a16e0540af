"""Where numbers come from: machine, versions and code of the runs, their commands and names, and where the code deviates."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bnexp.claims.judge import Judged
from bnexp.claims.repetitions import in_words
from bnexp.claims.runs import Cell
from bnexp.records.reader import RunRecord
from bnexp.report.words import cost_words, seconds_spent
from bnexp.stats.verdict import counted

PACKAGE = Path(__file__).resolve().parent.parent

#: Group of a run's config to the folder of the package in which each of its names is a file.
_FOLDERS = {"model": "models", "norm": "norms", "dataset": "data"}

#: A word with one of these cannot be made part of a comma list without quoting.
_UNFIT = set(",[]{}()'\" ")

_ROLES = {"own": "reported", "same": "reported, at the same value", "tuning": "tuning, every value tried"}


def provenance(judged: Sequence[Judged]) -> list[tuple[str, str]]:
    """Heading and words of each line; where runs differ, each answer with its number of runs, the commonest first."""
    records = complete_records(judged)
    headers = [record.header for record in records]
    budgets = ", ".join(sorted({one.budget for one in judged}))
    diverged = sum(record.status == "diverged" for record in records)
    return [
        ("Budget", budgets),
        (
            "Runs",
            f"{len(records):,} complete, {diverged} of them diverged; {cost_words(seconds_spent(judged))} of computing",
        ),
        ("Machine", _answers(map(_machine, headers))),
        ("Data", _answers(header["data"]["name"] for header in headers if header.get("data"))),
        ("Versions", _answers(map(_versions, headers))),
        ("Code", _answers(map(_commit, headers))),
        *(("Repetition", words) for words in in_words({one.claim.key: one.primary for one in judged if one.primary})),
    ]


def complete_records(judged: Sequence[Judged]) -> list[RunRecord]:
    """Every complete run once, however many claims share it."""
    records = {cell.run_id: one.runs.record(cell) for one in judged for cell in one.runs.cells}
    return [record for record in records.values() if record.complete]


def _answers(answers: Any) -> str:
    counts = Counter(answers).most_common()
    if len(counts) == 1:
        return str(counts[0][0])
    return "; ".join(f"{answer} ({counted(count, 'run')})" for answer, count in counts) or "not recorded"


def _machine(header: dict[str, Any]) -> str:
    machine = header.get("machine") or {}
    parts = [
        machine.get("system"),
        machine.get("processor"),
        machine.get("cores") and counted(machine["cores"], "core"),
    ]
    device = header.get("device")
    return ", ".join(str(part) for part in [*parts, device and f"device {device}"] if part) or "not recorded"


def _versions(header: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in (header.get("versions") or {}).items()) or "not recorded"


def _commit(header: dict[str, Any]) -> str:
    git = header.get("git")
    if not git:
        return "installed package, no commit"
    return f"commit {git['commit'][:12]}" + ("" if git["clean"] else ", with uncommitted changes")


@dataclass(frozen=True)
class Series:
    """Runs that differ in nothing but the seed (and, while tuning, the value tried).

    Attributes:
        name: arm and what the runs are for.
        count: how many runs, and which seeds.
        commands: what does them all; more than one only where they do not fit into one sweep.
        runs: names of those that are there, in braces as a shell takes them apart.
        num_runs: how many these are.
        num_diverged, num_missing: how many ended so, and how many are not there.
    """

    name: str
    count: str
    commands: tuple[str, ...]
    runs: tuple[str, ...]
    num_runs: int
    num_diverged: int
    num_missing: int


def series(judged: Judged) -> list[Series]:
    """All series of a claim, in the order of its plan, reported ones first; those of the very same runs once."""
    groups: dict[tuple[int, str, str], list[Cell]] = {}
    for cell in judged.runs.cells:
        groups.setdefault((cell.grid, cell.regime, cell.arm), []).append(cell)
    ordered = sorted(groups.items(), key=lambda item: (item[0][1] == "tuning", item[0][0]))
    distinct: dict[frozenset[str], tuple[tuple[int, str, str], list[Cell]]] = {}
    for key, cells in ordered:
        distinct.setdefault(frozenset(cell.run_id for cell in cells), (key, cells))
    return [_series(judged, key, cells) for key, cells in distinct.values()]


def _series(judged: Judged, key: tuple[int, str, str], cells: Sequence[Cell]) -> Series:
    grid, regime, arm = key
    records = [judged.runs.record(cell) for cell in cells]
    names = [record.folder.name for record in records if record.complete]
    return Series(
        name="measurement" if grid == -1 else f"{arm}: {_role(judged, grid, regime, cells[0].value)}",
        count=f"{counted(len(cells), 'run')}, {seed_words([cell.seed for cell in cells])}",
        commands=merged([cell.command for cell in cells]),
        runs=in_braces(names),
        num_runs=len(names),
        num_diverged=sum(record.status == "diverged" for record in records),
        num_missing=sum(not record.complete for record in records),
    )


def _role(judged: Judged, grid: int, regime: str, value: float | None) -> str:
    """What runs are for, with the tuned value they use, and which grid they are of where there are several."""
    grids = judged.claim.grids
    tuning = grids[grid].tuning if grid < len(grids) else None
    used = f", {tuning.key}={value:g}" if tuning and value is not None and regime != "tuning" else ""
    return _ROLES[regime] + used + (f" (grid {grid + 1})" if len(grids) > 1 else "")


def merged(commands: Sequence[str]) -> tuple[str, ...]:
    """Commands that differ in one value as one sweep with a comma list, as far as that asks for the same runs.

    Example:
        >>> merged(["bnexp train norm=batch seed=0", "bnexp train norm=batch seed=1"])
        ('bnexp train norm=batch seed=0,1',)
        >>> merged(["bnexp train lr=1 seed=0", "bnexp train lr=1 seed=1", "bnexp train lr=2 seed=1"])
        ('bnexp train lr=1 seed=0,1', 'bnexp train lr=2 seed=1')
    """
    rows = list(dict.fromkeys(tuple(command.split(" ")) for command in commands))
    for place in reversed(range(max(map(len, rows), default=0))):
        groups: dict[tuple[tuple[str, ...], str, tuple[str, ...]], list[str]] = {}
        for row in rows:
            key, _, value = row[place].partition("=") if place < len(row) else ("", "", "")
            fits = value and not set(value) & _UNFIT
            groups.setdefault((row[:place], key, row[place + 1 :]) if fits else (row, "", ()), []).append(value)
        rows = [
            (*before, f"{key}={','.join(values)}", *after) if key else before
            for (before, key, after), values in groups.items()
        ]
    return tuple(" ".join(row) for row in rows)


def in_braces(names: Sequence[str]) -> tuple[str, ...]:
    """Names of runs that differ behind the seed's letter only, as one word of a shell.

    Example:
        >>> in_braces(["mlp-none-s0-01ab", "mlp-none-s1-23cd", "mlp-batch-s0-45ef"])
        ('mlp-none-s{0-01ab,1-23cd}', 'mlp-batch-s0-45ef')
    """
    groups: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found = re.fullmatch(r"(.*-s)(\d+-\w+)", name)
        groups.setdefault(found[1] if found else name, []).append(found[2] if found else "")
    return tuple(f"{start}{{{','.join(ends)}}}" if len(ends) > 1 else start + ends[0] for start, ends in groups.items())


def seed_words(seeds: Sequence[int]) -> str:
    """Seeds, with runs of neighbours shortened.

    Example:
        >>> seed_words([3, 0, 1, 2]), seed_words([1000, 1000]), seed_words([0, 2])
        ('seeds 0 to 3', 'seed 1000', 'seeds 0, 2')
    """
    distinct = sorted(set(seeds))
    if len(distinct) == 1:
        return f"seed {distinct[0]}"
    if len(distinct) > 2 and distinct[-1] - distinct[0] == len(distinct) - 1:
        return f"seeds {distinct[0]} to {distinct[-1]}"
    return f"seeds {', '.join(map(str, distinct))}"


def deviations_of(records: Sequence[RunRecord]) -> list[str]:
    """One line for each deviation of the models, norms, data and probes that these runs used."""
    files = {file for record in records for file in _files(record.header.get("config") or {})}
    return [f"{file}: {text}" for file in sorted(files) for text in deviation_lines(PACKAGE / file)]


@cache
def deviation_lines(file: Path) -> tuple[str, ...]:
    """The text after each ``Deviation:`` in the docstrings of a source file, on one line; nothing where there is no such file."""
    if not file.is_file():
        return ()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    found = [
        text for docstring in docstrings for text in re.findall(r"^Deviation: (.+(?:\n(?!\s*\n).+)*)", docstring, re.M)
    ]
    return tuple(" ".join(text.split()).replace("``", "") for text in found)


def _files(config: dict[str, Any]) -> list[str]:
    named = [f"{_FOLDERS[group]}/{config[group]['name']}.py" for group in _FOLDERS if group in config]
    return [*named, *(f"probes/{probe}.py" for probe in config.get("probes") or {})]
