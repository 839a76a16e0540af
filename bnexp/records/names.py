"""What a run is called where people read: the settings in which it differs from the runs beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bnexp.config.identity import LATER
from bnexp.records.reader import RunRecord

#: Settings of a run whose header leaves them out where they have their default.
LEFT_OUT = {**LATER, "execution.precision": "fp32"}

#: Settings that say how a run is looked at and what is kept of it, not what it computes: they name no arm.
LOOKS = ("train.targets", "train.log_every", "train.eval_every", "train.keep", "plugins")

#: Settings that people vary, in the order in which they are shown; others follow, the seed stands last.
FIRST = ("dataset", "model", "norm", "optimizer", "optimizer.lr", "train.batch_size", "train.steps")


def settings(header: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings by the keys that one types: ``norm`` for its name, ``norm.ghost_size``; of a measurement what it measured.

    Example:
        >>> settings({"config": {"seed": 0, "norm": {"name": "ghost", "options": {"ghost_size": 4}}}})["norm.ghost_size"]
        4
    """
    config = header.get("config")
    if not isinstance(config, Mapping):
        measurement = header.get("measurement")
        return dict(measurement) if isinstance(measurement, Mapping) else {}
    found: dict[str, Any] = dict(LEFT_OUT)
    for key, value in config.items():
        if key == "probes" and isinstance(value, dict):
            found[key] = ",".join(sorted(value)) or "none"
            found |= {f"probes.{name}.{one}": inner[one] for name, inner in value.items() for one in inner or ()}
        elif isinstance(value, dict):
            for name, inner in value.items():
                if name == "name":
                    found[key] = inner
                elif name == "options":
                    found |= {f"{key}.{option}": one for option, one in inner.items()}
                else:
                    found[f"{key}.{name}"] = inner
        else:
            found[key] = value
    return found


def differing(records: Iterable[RunRecord]) -> dict[str, dict[str, Any]]:
    """Name of each run's folder to the settings in which runs among ``records`` differ; one that a run lacks is left out."""
    return differing_settings({record.folder.name: settings(record.header) for record in records})


def differing_settings(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """:func:`differing` for settings that were read before.

    A setting differs if two runs that have it have other values: options that come with another norm do not count.
    """
    first: dict[str, Any] = {}
    several: set[str] = set()
    for found in runs.values():
        new = [key for key, value in found.items() if key not in first or first[key] != value]
        several.update(key for key in new if key in first)
        first |= {key: found[key] for key in new if key not in first}
    keys = sorted(several, key=_place)
    return {name: {key: found[key] for key in keys if key in found} for name, found in runs.items()}


def label(differs: Mapping[str, Any]) -> str:
    """The settings that differ as a name, e.g. ``batch lr=0.1 batch_size=20 s3``; empty where nothing differs.

    Names of choices stand by themselves, numbers after the last part of their key.
    """
    short = dict(zip(differs, short_keys(list(differs)), strict=True))
    words = []
    for key, value in differs.items():
        if key == "seed":
            words.append(f"s{value}")
        else:
            words.append(shown(value) if "." not in key and isinstance(value, str) else f"{short[key]}={shown(value)}")
    return " ".join(words)


def short_keys(keys: Sequence[str]) -> list[str]:
    """The last part of each key; the whole of those that share it.

    Example:
        >>> short_keys(["optimizer.lr", "model.name", "norm.name"])
        ['lr', 'model.name', 'norm.name']
    """
    lasts = [key.split(".")[-1] for key in keys]
    return [last if lasts.count(last) == 1 else key for key, last in zip(keys, lasts, strict=True)]


def shown(value: Any) -> str:
    """A setting as one types it.

    Example:
        >>> shown(0.1), shown([0.9, 0.95]), shown(True), shown(None)
        ('0.1', '[0.9,0.95]', 'true', 'null')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}: {shown(one)}" for key, one in value.items()) + "}"
    return str(value)


def _place(key: str) -> tuple[int, str]:
    if key == "seed":
        return len(FIRST) + 1, key
    return FIRST.index(key) if key in FIRST else len(FIRST), key
