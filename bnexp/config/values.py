"""Values as a checked config, and a config with other values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

from bnexp.config import checks
from bnexp.config.meant import unknown_option
from bnexp.config.paths import group_files
from bnexp.config.schema import (
    OPTIMIZERS,
    DatasetConfig,
    ExecutionConfig,
    ExperimentConfig,
    ModelConfig,
    NormConfig,
    ScheduleConfig,
    TrainConfig,
)
from bnexp.errors import UserError, unknown_name


def structure(values: Mapping[str, Any]) -> ExperimentConfig:
    """Nested mappings, as Hydra composes them, as a config; unknown, missing and wrong values are UserErrors.

    ``train.targets`` null are those that the data set's YAML suggests; one of a user's own that suggests none is taken for ``npz``.
    With ``train.eval_from`` there are none.
    """
    train, dataset = values.get("train"), values.get("dataset")
    if isinstance(train, Mapping) and isinstance(dataset, Mapping):
        suited = dataset.get("targets") or checks.defaults("dataset", "npz")["targets"]
        values = {**values, "dataset": {key: value for key, value in dataset.items() if key != "targets"}}
        if train.get("targets", ()) is None:
            values["train"] = {**train, "targets": () if train.get("eval_from") else suited}
    kinds: dict[str, Any] = {
        kind.group: kind
        for kind in (ExecutionConfig, TrainConfig, ModelConfig, NormConfig, DatasetConfig, ScheduleConfig)
    }
    sections: dict[str, Any] = {"probes": values.get("probes") or {}, "plugins": values.get("plugins") or ()}
    for name in (*kinds, "optimizer"):
        inner = values.get(name)
        if not isinstance(inner, Mapping):
            got = f"{name}={inner}" if name in values else f"no {name}"
            typed = str(inner or "none")  # an experiment's YAML that says norm: none
            todo = f"defaults: [override /{name}: {typed}]   in the YAML, or {name}={typed} typed"
            if typed not in group_files(name):
                todo = "bnexp train --help   shows the groups"
            raise UserError(f"{name} must be a group of options", got=got, todo=todo)
        if name == "optimizer":
            if inner.get("name") not in OPTIMIZERS:
                raise unknown_name(name, str(inner.get("name")), OPTIMIZERS)
            kinds[name] = OPTIMIZERS[inner["name"]]
        sections[name] = _built(kinds[name], {"placement": "before", **inner} if name == "norm" else inner)
    config: ExperimentConfig = _built(ExperimentConfig, {**values, **sections})
    return config


def _built(kind: Any, values: Mapping[str, Any]) -> Any:
    """Dataclass ``kind`` with every field present; what is no field is an option of the component, or an error."""
    names = [one.name for one in fields(kind)]
    prefix = f"{kind.group}." if kind.group else ""
    given = {name: value for name, value in values.items() if name in names and name != "options"}
    others = {name: value for name, value in values.items() if name not in given}
    if "options" in names:
        given["options"] = others
    elif others:
        name = next(iter(others))
        if name in ("experiment", "debug"):
            raise UserError(
                f"the YAML of {name} puts its values below {name!r}, where nothing reads them",
                todo="# @package _global_   as its first line",
            )
        if "." in str(name):
            head, _, last = str(name).partition(".")
            raise UserError("a dot in a key of a YAML makes no section", got=f"{name}: {others[name]}",
                            todo=f"{head}: {{{last}: {others[name]}}}")  # fmt: skip
        value = others[name] if isinstance(others[name], str | int | float) else "..."
        known = [prefix + one for one in names]
        raise unknown_option(f"{prefix}{name}", str(value), known, lambda _: str(given.get("name", "...")))
    for one in fields(kind):
        if one.name not in given and one.default is MISSING:
            key = prefix + one.name
            raise UserError(f"there is no value for {key}", todo=f"{key}=VALUE, or the line in its YAML")
    return kind(**given)


def with_values(config: Any, changes: Mapping[str, Any]) -> Any:
    """``config`` with the values at dotted keys replaced, all at once; every check of the schema runs again.

    What Hydra overrides would give, a thousand times as fast.

    Example:
        >>> from bnexp.config.schema import NormConfig
        >>> norm = NormConfig(name="ghost", placement="before", options={"ghost_size": 20})
        >>> with_values(norm, {"ghost_size": 10}).options
        {'ghost_size': 10}

    Raises:
        KeyError: there is no such key.
    """
    by_head: dict[str, dict[str, Any]] = {}
    new: dict[str, Any] = {}
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        if rest:
            by_head.setdefault(head, {})[rest] = value
        else:
            new[head] = value
    known = [one.name for one in fields(config)] if is_dataclass(config) else list(config)
    options = getattr(config, "options", {})
    for head in (*new, *by_head):
        if head not in known and head not in options:
            raise KeyError(head)
    for head, inner in by_head.items():
        before = getattr(config, head, None) if is_dataclass(config) else config[head]
        new[head] = with_values(options[head] if head not in known else before, inner)
    if not is_dataclass(config):
        return {**config, **new}
    own = {head: value for head, value in new.items() if head not in known}
    if own:
        new = {head: value for head, value in new.items() if head in known} | {"options": {**options, **own}}
    return replace(config, **new)  # type: ignore[type-var]


def with_value(config: Any, key: str, value: Any) -> Any:
    """:func:`with_values` for one key."""
    return with_values(config, {key: value})
