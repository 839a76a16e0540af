"""The command behind each series of runs, and where its records are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bnexp.claims.judge import Judged
from bnexp.claims.runs import Cell
from bnexp.stats.verdict import counted

#: A word with one of these cannot be made part of a comma list without quoting.
_UNFIT = set(",[]{}()'\" ")

_ROLES = {"own": "reported", "same": "reported, at the same value", "tuning": "tuning, every value tried"}


@dataclass(frozen=True)
class Series:
    """Runs that differ in nothing but the seed (and, while tuning, the value tried).

    Attributes:
        name: arm and what the runs are for.
        count: how many runs, and which seeds.
        commands: what does them all; more than one only where they do not fit into one sweep.
        folders: run's name to the path of its folder, seen from the page.
        num_diverged, num_missing: how many ended so, and how many are not there.
    """

    name: str
    count: str
    commands: tuple[str, ...]
    folders: dict[str, str]
    num_diverged: int
    num_missing: int


def series(judged: Judged, page_folder: Path) -> list[Series]:
    """All series of a claim, in the order of its plan, reported ones first; those of the very same runs once."""
    groups: dict[tuple[int, str, str], list[Cell]] = {}
    for cell in judged.runs.cells:
        groups.setdefault((cell.grid, cell.regime, cell.arm), []).append(cell)
    ordered = sorted(groups.items(), key=lambda item: (item[0][1] == "tuning", item[0][0]))
    distinct: dict[frozenset[str], tuple[tuple[int, str, str], list[Cell]]] = {}
    for key, cells in ordered:
        distinct.setdefault(frozenset(cell.run_id for cell in cells), (key, cells))
    return [_series(judged, key, cells, page_folder) for key, cells in distinct.values()]


def _series(judged: Judged, key: tuple[int, str, str], cells: Sequence[Cell], page_folder: Path) -> Series:
    grid, regime, arm = key
    records = [judged.runs.record(cell) for cell in cells]
    return Series(
        name="measurement" if grid == -1 else f"{arm}: {_role(judged, grid, regime, cells[0].value)}",
        count=f"{counted(len(cells), 'run')}, {seed_words([cell.seed for cell in cells])}",
        commands=merged([cell.command for cell in cells]),
        folders={record.folder.name: relative(record.folder, page_folder) for record in records if record.complete},
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
    """Commands that differ in some values as one sweep with comma lists; as they are where that would ask for other runs.

    Example:
        >>> merged(["bnexp train norm=batch seed=0", "bnexp train norm=batch seed=1"])
        ('bnexp train norm=batch seed=0,1',)
        >>> merged(["bnexp train lr=1 seed=0", "bnexp train lr=2 seed=1"])
        ('bnexp train lr=1 seed=0', 'bnexp train lr=2 seed=1')
    """
    different = tuple(dict.fromkeys(commands))
    words = [command.split(" ") for command in different]
    if len({len(row) for row in words}) > 1:
        return different
    combined, size = [], 1
    for column in zip(*words, strict=True):
        choices = list(dict.fromkeys(column))
        keys = {word.partition("=")[0] for word in choices}
        values = [word.partition("=")[2] for word in choices]
        if len(choices) > 1 and (len(keys) > 1 or any(not value or set(value) & _UNFIT for value in values)):
            return different
        size *= len(choices)
        combined.append(choices[0] if len(choices) == 1 else f"{keys.pop()}={','.join(values)}")
    return (" ".join(combined),) if size == len(different) else different


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


def relative(folder: Path, page_folder: Path) -> str:
    """The way from the page to a folder, as a link; the whole path where the two are on different drives."""
    try:
        return Path(os.path.relpath(folder, page_folder)).as_posix() + "/"
    except ValueError:
        return folder.resolve().as_uri()
