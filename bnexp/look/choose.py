"""Which runs are looked at, from the words of the command, and how each is called beside the others."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bnexp.errors import UserError, nearest
from bnexp.records import paths
from bnexp.records.archive import is_archive
from bnexp.records.names import LOOKS
from bnexp.records.reader import RunRecord, find_runs

#: Runs on one page at most: more are no picture any more, and the page has to stay light.
MOST_RUNS = 20

#: The probe whose arrays are drawn.
PROBE = "layer_inputs"

_MAKE = "bnexp demo   (or: bnexp train norm=none,batch)"


def choose(words: Sequence[str], runs_dir: Path) -> list[RunRecord]:
    """The runs that the words mean, without a norm first, then by norm, learning rate and seed.

    Args:
        words: each the folder or the name of a run, the beginning of names, the name of a norm, a ``key=value,value`` of the
            config, or a folder of runs, which takes the place of ``runs_dir``. Names add up, values narrow down. Without any: the
            newest run and all that differ from it in norm and seed only.
        runs_dir: a runs folder or an archive.

    Raises:
        UserError: a word means no run, or no run of those that were meant has recorded what its layers received.
    """
    named: list[RunRecord] = []
    values: list[str] = []
    names: list[str] = []
    for word in words:
        folder = Path(word)
        if (folder / paths.HEADER).is_file():
            named.append(_sound(RunRecord(folder)))
        elif is_archive(folder) or (folder.is_dir() and any(folder.glob(f"*/{paths.HEADER}"))):
            runs_dir = folder
        else:
            (values if "=" in word else names).append(word)
    runs = _readable(runs_dir) if names or values or not named else []
    for name in names:
        named += _by_name(name, runs, runs_dir)
    found = list({run.folder: run for run in (named or runs)}.values())
    for word in values:
        found = _by_value(word, found)
    looked_at = [run for run in found if PROBE in run.probes()]
    if not looked_at:
        raise _nothing(found, runs_dir)
    typed = {*words}
    for run in found:
        if typed & {run.folder.name, str(run.folder)} and run not in looked_at:
            raise _nothing([run], runs_dir)
    if not named and not values:
        looked_at = _newest_comparison(looked_at)
    return in_order(looked_at)


def in_order(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs without a norm first, those with BN next."""
    return sorted(runs, key=_place)


def fewer(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """At most ``MOST_RUNS`` of them: the first seed of every arm, then the second, and so on."""
    seen: dict[str, int] = {}
    ranked = []
    for run in runs:
        seen[arm(run)] = seen.get(arm(run), -1) + 1
        ranked.append((seen[arm(run)], run))
    return in_order([run for _, run in sorted(ranked, key=lambda pair: pair[0])[:MOST_RUNS]])


def labels(runs: Sequence[RunRecord]) -> list[str]:
    """Each run in a few words: its norm, and of the rest what differs between the runs.

    The same words for two attempts at one run get a number.
    """
    flat = [dict(_leaves(run.header["config"])) for run in runs]
    keys = sorted({key for one in flat for key in one})
    differ = [key for key in keys if len({repr(one.get(key)) for one in flat}) > 1]
    # Options of a norm that the others lack say nothing beside its name.
    shown = [key for key in differ if not key.startswith("norm.") and key not in ("seed", *LOOKS)]
    same_norm = [one.get("norm.name") for one in flat]
    shown += [
        key
        for key in differ
        if key.startswith("norm.options.")
        and any(
            repr(a.get(key)) != repr(b.get(key))
            for i, a in enumerate(flat)
            for j, b in enumerate(flat)
            if i < j and same_norm[i] == same_norm[j]
        )
    ]
    shown += ["seed"] if "seed" in differ else []
    texts: list[str] = []
    for one in flat:
        norm = str(one.get("norm.name"))
        parts = [norm_words(norm)]
        parts += [f"{_short(key)} {_word(one.get(key))}" for key in shown if key in one]
        text = ", ".join(parts)
        again = sum(other == text or other.startswith(f"{text} (") for other in texts)
        texts.append(f"{text} ({again + 1})" if again else text)
    return texts


def norm_words(norm: str) -> str:
    """What an arm is called after its norm.

    Example:
        >>> norm_words("none"), norm_words("batch"), norm_words("ghost")
        ('without BN', 'with BN', 'with ghost norm')
    """
    return {"none": "without BN", "batch": "with BN"}.get(norm, f"with {norm} norm")


def arm(run: RunRecord) -> str:
    """What runs share that differ in the seed only."""
    return str(run.header.get("arm_id") or run.folder.name)


def _readable(runs_dir: Path) -> list[RunRecord]:
    if runs_dir.exists() and not runs_dir.is_dir():
        raise UserError("runs_dir is a file, not a folder", got=runs_dir, todo="bnexp look runs_dir=FOLDER")
    found = [run for run in find_runs(runs_dir) if run.complete and "config" in run.header]
    if not found:
        raise UserError("there is no complete run to look at", got=runs_dir, todo=_MAKE)
    return found


def _sound(run: RunRecord) -> RunRecord:
    if not run.complete or "config" not in run.header:
        what = "this run is not complete" if run.status in ("interrupted", "failed") else "this run cannot be drawn"
        todo = str(run.header.get("command", _MAKE))
        raise UserError(f"{what} ({run.damage or run.status})", got=run.folder, todo=todo)
    return run


def _by_name(name: str, runs: Sequence[RunRecord], runs_dir: Path) -> list[RunRecord]:
    """The run of this name, those with this norm, or those whose names begin so."""
    tests = (
        lambda run: run.folder.name == name,
        lambda run: run.header["config"]["norm"]["name"] == name,
        lambda run: run.folder.name.startswith(name),
    )
    for test in tests:
        if found := [run for run in runs if test(run)]:
            return found
    known = [run.folder.name for run in runs] + sorted({run.header["config"]["norm"]["name"] for run in runs})
    guess = nearest(name, known)
    todo = f"bnexp look {shlex.quote(guess)}" if guess else f"bnexp list runs runs_dir={shlex.quote(str(runs_dir))}"
    raise UserError(f"there is no run and no arm {name!r} in {runs_dir}", got=name, todo=todo)


def _by_value(word: str, runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs whose config has one of these values."""
    key, _, text = word.partition("=")
    wanted = [value.strip() for value in text.strip("[]").split(",")]
    there = [_value(run.header["config"], key) for run in runs]
    if all(value is _ABSENT for value in there):
        every = {name for run in runs for name in _keys(run.header["config"])}
        known = sorted(name for name in every if ("." in name) == ("." in key))
        guess = nearest(key, known)
        todo = f"{guess}={text}" if guess else "norm=none,batch"
        raise UserError("none of these runs has such a setting", got=word, todo=todo)
    found = [run for run, value in zip(runs, there, strict=True) if any(_same(value, one) for one in wanted)]
    if not found:
        seen = ",".join(dict.fromkeys(_word(value) for value in there if value is not _ABSENT))
        raise UserError("none of these runs has this value", got=word, todo=f"{key}={seen}")
    return found


def _nothing(runs: Sequence[RunRecord], runs_dir: Path) -> UserError:
    one = runs[0]
    what = "this run has not" if len(runs) == 1 else f"none of these {len(runs):,} runs has"
    what += " recorded what its layers received (probes=none, or no hidden layer)"
    words = [
        word for word in shlex.split(str(one.header.get("command", "bnexp train"))) if not word.startswith("probes=")
    ]
    todo = shlex.join([*words, "probes=light"])
    return UserError(what, got=one.folder if len(runs) == 1 else runs_dir, todo=todo)


def _newest_comparison(runs: Sequence[RunRecord]) -> list[RunRecord]:
    newest = max(runs, key=lambda run: str(run.header.get("created", "")))

    def rest(run: RunRecord) -> dict[str, Any]:
        config = run.header["config"]
        return {key: value for key, value in config.items() if key not in ("norm", "seed", "plugins")}

    return [run for run in runs if rest(run) == rest(newest)]


def _place(run: RunRecord) -> tuple[Any, ...]:
    config = run.header["config"]
    norm = config["norm"]["name"]
    first = {"none": 0, "batch": 1}.get(norm, 2)
    return first, norm, config["optimizer"]["lr"], arm(run), config["seed"], run.folder.name


_ABSENT = object()


def _value(config: Mapping[str, Any], key: str) -> Any:
    """``norm`` is a section's name, ``norm.ghost_size`` an option of it, ``optimizer.lr`` a field."""
    part: Any = config
    for name in key.split("."):
        inside = part if isinstance(part, Mapping) else {}
        options = inside.get("options")
        part = (
            inside[name] if name in inside else options.get(name, _ABSENT) if isinstance(options, Mapping) else _ABSENT
        )
    return part.get("name", _ABSENT) if isinstance(part, Mapping) else part


def _keys(config: Mapping[str, Any]) -> Iterator[str]:
    for key, _ in _leaves(config):
        yield key.removesuffix(".name").replace(".options.", ".")


def _leaves(part: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in part.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _same(value: Any, word: str) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(word) == value
        except ValueError:
            return False
    return str(value).lower() == word.lower()


def _short(key: str) -> str:
    return {"optimizer.lr": "lr", "dataset.name": "data", "model.name": "net"}.get(key, key.split(".")[-1])


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
