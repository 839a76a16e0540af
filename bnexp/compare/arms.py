"""Runs grouped into arms by the settings in which they differ, and whether two arms may be compared pair by pair."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bnexp.errors import UserError, nearest
from bnexp.records.curves import Curve
from bnexp.records.names import LOOKS
from bnexp.records.reader import RunRecord

#: Parts of a config that are a choice by name with options of its own.
GROUPS = ("norm", "model", "dataset", "optimizer", "schedule")

#: Of settings that change together the first names the arm: groups, then their options, then these, in this order.
LAST = ("train.batch_size", "train.steps", "dataset.checksum", "version")

#: What is compared within one value of these, unless ``by`` names them: accuracies on two data sets have no common scale.
APART = ("dataset", "dataset.checksum")

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A complete run: its record, its seed, and its settings by key as they are typed (``norm``, ``norm.ghost_size``, ...)."""

    record: RunRecord
    seed: int
    settings: Settings

    @cached_property
    def curve(self) -> Curve:
        """Validation accuracy over training."""
        return self.record.curve("val/accuracy")

    @property
    def score(self) -> float:
        """Final validation accuracy, a share; 0 for a diverged run. What arms are ordered and tuned by."""
        return (self.record.end["validation"]["final"] or 0.0) if self.record.status == "finished" else 0.0


@dataclass(frozen=True)
class Arm:
    """Runs that differ in the seed only.

    Attributes:
        settings: those that tell the arms apart, by key; with the tuned ones.
        runs: by seed.
    """

    settings: Settings
    runs: Mapping[int, Run]

    @property
    def score(self) -> float:
        """Mean of its runs' scores."""
        return sum(run.score for run in self.runs.values()) / len(self.runs)

    def label(self, keys: Sequence[str]) -> str:
        """Its settings as they are typed, e.g. ``norm=none train.batch_size=8``; without the options that its norm, say, lacks."""
        told = [key for key in keys if self.settings[key] != "default" or key.partition(".")[0] not in keys]
        return " ".join(f"{key}={shown(self.settings[key])}" for key in told) or "all runs"


@dataclass(frozen=True)
class Grouping:
    """Arms and how they were found.

    Attributes:
        keys: settings that tell the arms of a block apart.
        apart: settings that tell the blocks apart.
        tuned: settings of which each arm has its own best value.
        tied: settings that change with ``keys`` or ``apart`` and so need no column.
        blocks: settings of a block and its arms, best first.
        notes: sentences about what was left out or chosen.
    """

    keys: tuple[str, ...]
    apart: tuple[str, ...]
    tuned: tuple[str, ...]
    tied: tuple[str, ...]
    blocks: tuple[tuple[Settings, tuple[Arm, ...]], ...]
    notes: tuple[str, ...]


def shown(value: Any) -> str:
    """A setting's value as it is typed.

    Example:
        >>> shown(0.10), shown(None), shown(True), shown([0.9, 0.95])
        ('0.1', 'null', 'true', '[0.9,0.95]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_order(value: Any) -> tuple[bool, float, str]:
    """What values are sorted by: numbers by size, then words."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, shown(value)


def settings_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's config that decide what it computes, by key as typed, seed and probes aside."""
    flat: dict[str, Any] = {"execution.precision": "fp32"}  # records leave it out where it is this
    for section, value in header["config"].items():
        if not isinstance(value, Mapping):
            flat[section] = value
            continue
        for key, inner in value.items():
            if key == "options":
                flat |= {f"{section}.{option}": word for option, word in inner.items()}
            else:
                flat[section if key == "name" else f"{section}.{key}"] = inner
    flat["dataset.checksum"] = str(header.get("data", {}).get("checksum", ""))[:8]
    return {
        key: value
        for key, value in flat.items()
        if key.split(".")[0] not in ("seed", "probes") and key not in LOOKS
    }


def complete_runs(records: Iterable[RunRecord]) -> tuple[list[Run], list[str]]:
    """The newest complete attempt at each run, and sentences about what was left out."""
    runs: dict[str, Run] = {}
    left: dict[str, int] = {}
    for record in records:
        if "config" not in record.header:
            left["measured for claims"] = left.get("measured for claims", 0) + 1
        elif not record.complete:
            left[record.status] = left.get(record.status, 0) + 1
        else:
            run = Run(record, record.header["config"]["seed"], settings_of(record.header))
            name = record.header["run_id"]
            if name not in runs or _created(run) >= _created(runs[name]):
                runs[name] = run
    notes = [f"left out: {', '.join(f'{count:,} {status}' for status, count in left.items())}"] if left else []
    return _versions(list(runs.values())), notes


def _created(run: Run) -> tuple[str, str]:
    return run.record.header.get("created", ""), run.record.folder.name


def _versions(runs: Sequence[Run]) -> list[Run]:
    """Runs of one config and different names come of different code (an edited plugin, another bnexp): another setting."""
    names: dict[str, set[str]] = {}
    texts = []
    for run in runs:
        config = {key: value for key, value in run.record.header["config"].items() if key != "seed"}
        texts.append(json.dumps([config, run.settings["dataset.checksum"]], sort_keys=True))
        names.setdefault(texts[-1], set()).add(run.record.header["arm_id"])
    if all(len(several) == 1 for several in names.values()):
        return list(runs)
    versions = []
    for run, text in zip(runs, texts, strict=True):
        version = run.record.header["arm_id"].rpartition("-")[2] if len(names[text]) > 1 else ""
        versions.append(Run(run.record, run.seed, {**run.settings, "version": version}))
    return versions


def varied(runs: Sequence[Run]) -> list[str]:
    """The settings in which runs differ, names of groups first. An option counts where it differs at one name of its group."""
    found = []
    for key in dict.fromkeys(key for run in runs for key in run.settings):
        group = key.partition(".")[0]
        by_name: dict[str, set[str]] = {}
        for run in runs:
            name = str(run.settings.get(group)) if group in GROUPS and key != group else ""
            by_name.setdefault(name, set()).add(shown(run.settings.get(key, "default")))
        if any(len(values) > 1 for values in by_name.values()):
            found.append(key)
    return sorted(found, key=_rank)


def _rank(key: str) -> tuple[int, int]:
    if key in GROUPS:
        return 0, GROUPS.index(key)
    if key in LAST:
        return 3, LAST.index(key)
    return (1, GROUPS.index(key.split(".")[0])) if key.split(".")[0] in GROUPS else (2, 0)


def group(
    runs: Sequence[Run],
    by: Sequence[str] = (),
    tune: Sequence[str] = (),
    where: Mapping[str, Sequence[str]] | None = None,
) -> Grouping:
    """Arms of complete runs.

    Args:
        runs: what :func:`complete_runs` found.
        by: settings that make the arms; by default all in which the runs differ. The others then make blocks, each compared in
            itself.
        tune: settings of which each arm takes the value with the best mean final validation accuracy.
        where: key to the values that count; runs with others are left out.

    Raises:
        UserError: no runs, a key that no run has, or one in which the runs do not differ.
    """
    runs = _filtered(runs, where or {})
    differ = varied(runs)
    for name, wanted in (("by", by), ("tune", tune)):
        for key in wanted:
            if key not in differ:
                raise _not_varied(name, key, differ, runs)
    own = [
        key for key in differ if key in by or (key.partition(".")[0] in by and key not in tune)
    ]  # options belong to their name
    first = sorted(own, key=lambda key: (key not in by, own.index(key)))
    first = first or [key for key in differ if key in APART and key not in tune]
    kept: list[str] = []
    for key in [*first, *tune, *(key for key in differ if key not in {*first, *tune})]:
        if key in {*by, *tune} or len(_split(runs, [*kept, key])) > len(_split(runs, kept)):
            kept.append(key)
    apart = tuple(key for key in kept if key not in tune and (key not in own if by else key in APART))
    keys = tuple(key for key in kept if key not in {*apart, *tune})
    notes: list[str] = []
    blocks = []
    for block in _split(runs, apart).values():
        arms = []
        for members in _split(block, keys).values():
            chosen = _best(list(_split(members, tune).values())) if tune else members
            arms.append(_arm(chosen, (*keys, *tune), notes))
        arms.sort(key=lambda arm: arm.score, reverse=True)
        blocks.append(({key: block[0].settings.get(key, "default") for key in apart}, tuple(arms)))
    blocks.sort(key=lambda block: [in_order(one) for one in block[0].values()])
    if tune:
        notes.append(
            f"{', '.join(tune)}: each arm at its best by mean final validation accuracy; the intervals take that choice as given"
        )
    tied = tuple(key for key in differ if key not in kept)
    return Grouping(keys, apart, tuple(tune), tied, tuple(blocks), tuple(dict.fromkeys(notes)))


def _split(runs: Sequence[Run], keys: Sequence[str]) -> dict[tuple[str, ...], list[Run]]:
    parts: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        parts.setdefault(tuple(shown(run.settings.get(key, "default")) for key in keys), []).append(run)
    return parts


def _best(candidates: Sequence[list[Run]]) -> list[Run]:
    """The value with the best mean score among those tried on the most seeds."""
    most = max(len({run.seed for run in members}) for members in candidates)
    full = [members for members in candidates if len({run.seed for run in members}) == most]
    return max(full, key=lambda members: sum(run.score for run in members) / len(members))


def _arm(members: Sequence[Run], keys: Sequence[str], notes: list[str]) -> Arm:
    by_seed: dict[int, Run] = {}
    for run in sorted(members, key=_created):
        by_seed[run.seed] = run
    if len(by_seed) < len(members):
        notes.append("runs that differ only in probes, targets or plugins count once, the newest of them")
    return Arm({key: members[0].settings.get(key, "default") for key in keys}, dict(sorted(by_seed.items())))


def _filtered(runs: Sequence[Run], where: Mapping[str, Sequence[str]]) -> list[Run]:
    kept = list(runs)
    for key, wanted in where.items():
        found = [run.seed if key == "seed" else run.settings.get(key, "default") for run in kept]
        if set(found) == {"default"}:
            raise UserError(
                f"no run has a setting {key!r}",
                got=f"{key}={','.join(wanted)}",
                todo=f"{nearest_key(key, runs) or 'norm'}={','.join(wanted)}",
            )
        values = {same_number(value) for value in wanted}
        known = list(dict.fromkeys(shown(one) for one in sorted(found, key=in_order)))
        if missing := [value for value in values if value not in known]:
            todo = f"{key}={nearest(missing[0], known) or known[0]} (there are {', '.join(known)})"
            raise UserError("no complete run has this setting", got=f"{key}={missing[0]}", todo=todo)
        kept = [run for run, one in zip(kept, found, strict=True) if shown(one) in values]
    return kept


def same_number(word: str) -> str:
    """A typed value as :func:`shown` writes it.

    Example:
        >>> same_number("1e-1"), same_number("none"), same_number("08")
        ('0.1', 'none', '8')
    """
    try:
        return f"{float(word):g}" if "." in word or "e" in word.lower() else str(int(word))
    except ValueError:
        return word


def nearest_key(key: str, runs: Sequence[Run]) -> str | None:
    """The setting that a word most likely means: one that ends in it, or one that is spelled like it."""
    names = sorted({name for run in runs for name in run.settings})
    ends = [name for name in names if name.split(".")[-1] == key]
    return ends[0] if len(ends) == 1 else nearest(key, names)


def _not_varied(name: str, key: str, differ: Sequence[str], runs: Sequence[Run]) -> UserError:
    listing = f"they differ in {', '.join(differ)}" if differ else "they differ in the seed only"
    if any(key in run.settings for run in runs):
        what = f"the runs do not differ in {key}: all have {shown(runs[0].settings.get(key))}"
        todo = f"{name}={differ[0]} ({listing})" if differ else f"leave {name}= out: {listing}"
        return UserError(what, got=f"{name}={key}", todo=todo)
    guess = nearest_key(key, runs)
    guess = guess if guess in differ else nearest(key, differ) or (differ[0] if differ else None)
    todo = f"{name}={guess} ({listing})" if guess else f"leave {name}= out: {listing}"
    return UserError(f"the runs have no setting {key!r}", got=f"{name}={key}", todo=todo)


def why_not_paired(arm: Arm, base: Arm) -> str:
    """Why two arms cannot be compared seed by seed; empty where they can.

    Runs of a seed are a pair where the records say that both saw the same data in the same order and began with the same weights in
    the layers that both have.
    """
    common = sorted(arm.runs.keys() & base.runs.keys())
    if not common:
        return "they have no seed in common"
    for seed in common:
        one, other = (side.runs[seed].record.header for side in (arm, base))
        ours, theirs = one.get("hashes") or {}, other.get("hashes") or {}
        if not (ours.get("init") and theirs.get("init")):
            return f"the records of seed {seed} hold no hashes of the initial weights"
        if one.get("data", {}).get("checksum") != other.get("data", {}).get("checksum"):
            return f"at seed {seed} they saw other data"
        if ours.get("order") != theirs.get("order"):
            return f"at seed {seed} they saw other batches"
        both = ours["init"].keys() & theirs["init"].keys()
        if not both:
            return f"at seed {seed} they have no layer in common"
        if unlike := sorted(layer for layer in both if ours["init"][layer] != theirs["init"][layer]):
            return f"at seed {seed} they began with other weights in {unlike[0]}"
    return ""
