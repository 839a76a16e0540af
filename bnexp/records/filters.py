"""Which runs are meant: conditions on settings and measurements, and runs by a part of their names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnexp.config.meant import KEYS
from bnexp.config.paths import group_files, groups, option_owners
from bnexp.errors import UserError, nearest
from bnexp.records import paths
from bnexp.records.archive import archived_runs, is_archive
from bnexp.records.names import LEFT_OUT, shown
from bnexp.records.reader import RunRecord
from bnexp.records.rows import MEASURED, Row

#: How a run may stand, see :attr:`bnexp.records.reader.RunRecord.status`.
STATUSES = ("finished", "diverged", "failed", "interrupted", "damaged")

_WORD = re.compile(r"([A-Za-z_][\w.]*)\s*(!=|>=|<=|==|=|>|<)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """One word such as ``norm=batch,layer`` or ``val.accuracy>0.9``."""

    key: str
    operator: str
    values: tuple[str, ...]
    typed: str

    def holds(self, row: Row) -> bool:
        """Whether a run meets it; one that lacks the key meets ``!=`` and ``=null`` only."""
        value = row.settings[self.key] if self.key in row.settings else row.measured.get(self.key)
        if self.operator in ("=", "!="):
            return any(_same(value, wanted) for wanted in self.values) == (self.operator == "=")
        number, limit = _number(value), _number(self.values[0])
        if number is None or limit is None:
            return False
        return {">": number > limit, ">=": number >= limit, "<": number < limit, "<=": number <= limit}[self.operator]


def is_condition(word: str) -> bool:
    """Whether a word is meant as one."""
    return _WORD.fullmatch(word) is not None


def conditions(words: Sequence[str], rows: Sequence[Row]) -> list[Condition]:
    """Read conditions on ``rows``.

    Raises:
        UserError: a word that is none, a key that no run and no config has, a misspelt value, a comparison with what is no number.
    """
    found = []
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None:
            todo = f"'{word}>0.9'   with quotation marks, because > means something to the shell"
            todo = todo if "." in word else "norm=batch 'val.accuracy>0.9'   (bnexp list --help)"
            raise UserError("a filter is a key, one of = != > >= < <=, and a value", got=word, todo=todo)
        typed, operator, value = match.groups()
        key = known_key(typed, rows, "{}" + f"{operator}{value}".replace("{", "{{").replace("}", "}}"))
        operator = "=" if operator == "==" else operator
        if not value.strip() or (operator not in ("=", "!=") and _number(value) is None):
            what = f"{operator} compares with a number" if value.strip() else "this filter has no value"
            texts = sorted({shown(row.values[key]) for row in rows if _number(row.values.get(key, 0)) is None})
            raise UserError(what, got=word, todo=f"{key}={texts[0]}" if texts else f"'{key}{operator}0.9'")
        values = [value] if value.startswith("[") or operator not in ("=", "!=") else value.split(",")
        meant = tuple(one.strip().strip("'\"") for one in values)
        if operator in ("=", "!="):
            _check_values(key, operator, meant, rows)
        found.append(Condition(key, operator, meant, word))
    return found


def _check_values(key: str, operator: str, values: Sequence[str], rows: Sequence[Row]) -> None:
    """A word that nobody knows, or that is like one of a run's, is a slip of the pen; a known name and a number may have no run.

    Raises:
        UserError: such a word, where the values of this key are words.
    """
    here = list({shown(row.values[key]): row.values[key] for row in rows if key in row.values}.values())
    words = sorted({one for one in here if isinstance(one, str)})
    known = {*group_files(key), *(STATUSES if key == "status" else ())}
    for value in values:
        if not words or value in known or value.lower() in ("null", "none") or _number(value) is not None:
            continue
        guess = nearest(value, words) or (words[0] if known else "")
        if guess and not any(_same(one, value) for one in here):
            more = f", ... ({len(words)} values)" if len(words) > 8 else ""
            advice = f"{key}{operator}{guess}   ({'there are' if len(words) > 1 else 'there is'} {', '.join(words[:8])}{more})"
            raise UserError(f"no run has {key}={value}", got=f"{key}{operator}{','.join(values)}", todo=advice)


def known_key(typed: str, rows: Sequence[Row], todo: str = "{}") -> str:
    """The key that is meant by a word: as typed, without ``.name``, or by another name for it.

    Where there are no runs, ``steps_to.`` any target is a key.

    Raises:
        UserError: no run and no config has it; ``todo`` has a place for the nearest one.
    """
    here = {key for row in rows for key in (*row.settings, *row.measured)}
    known = {*here, *(key.removesuffix(".name") for key in here), *MEASURED, *LEFT_OUT, *option_owners()}
    known |= set() if rows else {*groups()} - {"experiment", "debug"}
    plain = typed.removesuffix(".name")
    if not rows and re.fullmatch(r"steps_to\.0?\.\d+", typed):
        return typed
    for one in (plain, typed, KEYS.get(typed.lower(), "")):
        if one in known:
            return one
    same = sorted(key for key in here if key.split(".")[-1] == typed)
    if len(same) == 1:
        return same[0]
    guess = same[0] if same else nearest(typed, known)
    listing = f"measured: {', '.join(sorted({*MEASURED} & here or MEASURED))}"
    advice = f"{todo.format(guess)}   ({listing})" if guess else listing
    raise UserError(f"no run has {typed}", got=todo.format(typed), todo=advice)


def chosen(rows: Iterable[Row], wanted: Sequence[Condition]) -> list[Row]:
    """The rows that meet every condition."""
    return [row for row in rows if all(condition.holds(row) for condition in wanted)]


def ordered(rows: Sequence[Row], key: str) -> list[Row]:
    """Rows by a setting or measurement, from the smallest on, with a ``-`` before it from the largest; those without it last.

    Raises:
        UserError: no run has it.
    """
    down = key.startswith("-")
    name = known_key(key.lstrip("-"), rows, "sort=-{}" if down else "sort={}")

    def place(row: Row) -> tuple[bool, float, str]:
        value = row.settings[name] if name in row.settings else row.measured.get(name)
        number = _number(value)
        return (number is None, (-number if down else number) if number is not None else 0.0, shown(value))

    return sorted(rows, key=place)


def find_run(word: str, runs_dir: Path, rows: Sequence[str]) -> RunRecord:
    """The one run that a word means: a folder, a name, or any part of a name that no other run has.

    Args:
        word: as typed.
        runs_dir: a runs folder or an export.
        rows: names of the runs in it.

    Raises:
        UserError: none, or several.
    """
    folder = Path(word).expanduser()
    if (folder / paths.HEADER).is_file():
        return RunRecord(Path(*folder.parts[:-1], folder.name) if folder.name else folder.resolve())
    name = folder.name if "/" in word else word
    fitting = [name] if name in rows else [one for one in rows if name and one.endswith(name)]
    fitting = fitting or [one for one in rows if name and name in one]
    if len(fitting) == 1:
        return archived_runs(runs_dir)[fitting[0]] if is_archive(runs_dir) else RunRecord(runs_dir / fitting[0])
    if fitting:
        more = f" and {len(fitting) - 3:,} more" if len(fitting) > 3 else ""
        what = f"{len(fitting):,} runs have this in their names: {', '.join(fitting[:3])}{more}"
        raise UserError(what, got=word, todo=f"more of the name, such as {fitting[0]}")
    guess = nearest(name, rows)
    where = "" if runs_dir == Path("runs") else f" runs_dir={runs_dir}"
    raise UserError(f"there is no such run in {runs_dir}", got=word, todo=guess or f"bnexp list runs{where}")


def _same(value: Any, wanted: str) -> bool:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return shown(value).lower() == wanted.lower() or (value is None and wanted.lower() == "none")
    number, other = _number(value), _number(wanted)
    if number is not None and other is not None:
        return math.isclose(number, other, rel_tol=1e-9)
    return shown(value) == wanted.replace(" ", "")


def _number(value: Any) -> float | None:
    """A number, also as a word or as a percentage; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        share = isinstance(value, str) and value.rstrip().endswith("%")
        number = float(value.rstrip("% ") if isinstance(value, str) else value) / (100 if share else 1)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
