"""A recorded run as a config: as it was, with other settings, and as the words that give it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnexp.config.compose import Arm, compose, composed, flat
from bnexp.config.schema import ExperimentConfig
from bnexp.config.words import named, read, refuse_too_many
from bnexp.errors import UserError


def changed(
    recorded: Mapping[str, Any], overrides: Sequence[str] = (), extra_dir: Path | None = None
) -> list[ExperimentConfig]:
    """The runs that a recorded run becomes with these overrides; without any, the run itself.

    Args:
        recorded: ``config`` of a record's header. A setting that it lacks has its default.
        overrides: values, and choices in the groups that a record has; sweeps too.
        extra_dir: a user's own config folder, for choices.

    Raises:
        UserError: as of :func:`compose`; or an experiment, which says more than a change does.
    """
    words = [named(word, extra_dir) for word in read(overrides)[0]]
    refuse_too_many(words)
    for word in words:
        if word.key in ("experiment", "debug") or word.kind == "hydra":
            todo = f"bnexp train {word.texts[0]}, or single settings such as train.steps=20"
            raise UserError("a run is changed by settings, one by one", got=word.typed, todo=todo)
    start = composed((), None)
    for key, value in recorded.items():
        options = value.get("options") if isinstance(value, Mapping) else None
        if isinstance(options, Mapping):  # whose place in a record is one level below where they are typed
            value = {**{name: one for name, one in value.items() if name != "options"}, **options}
        start[key] = {**start[key], **value} if key in ("train", "execution") else value
    settings = [word for word in words if word.kind != "choice"]
    configs = []
    for places in itertools.product(*(range(len(word.texts)) for word in words)):
        picked = list(zip(words, places, strict=True))
        values = copy.deepcopy(start)
        for word, place in picked:
            if word.kind == "choice":
                values[word.key] = composed((word.texts[place],), extra_dir).get(word.key)
        arm = Arm(values, settings)
        configs.append(arm.config([word.values[place] for word, place in picked if word.kind != "choice"]))
    return configs


def typed_words(config: ExperimentConfig, extra_dir: Path | None = None) -> list[str]:
    """The fewest overrides that give this run: choices and settings that are not the defaults.

    Raises:
        UserError: a choice whose YAML is not there.
    """
    values = _as_composed(config)
    words = [
        f"{group}={values[group]['name']}"
        for group in ("dataset", "model", "norm", "optimizer", "schedule")
        if values[group]["name"] != composed((), None)[group]["name"]
    ]
    if config.probes != compose().probes:
        words.append("probes=none")
        words += [f"probes.{name}={_in_words(options)}" for name, options in config.probes.items()]
    default = _as_composed(compose(words[: len(words) - len(config.probes)] if "probes=none" in words else words, extra_dir))
    for key, value in flat(values):
        if key.split(".")[0] != "probes" and (key, value) not in flat(default):
            words.append(f"{key}={_in_words(value)}")
    return words


def _as_composed(config: ExperimentConfig) -> dict[str, Any]:
    """A run's settings as Hydra would compose them, tuples as lists."""
    values = asdict(config)
    for key, inner in values.items():
        if isinstance(inner, dict) and "options" in inner:
            values[key] = {**{name: one for name, one in inner.items() if name != "options"}, **inner["options"]}
    return values


def _in_words(value: Any) -> str:
    """A value as Hydra's grammar reads it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_in_words(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_in_words, value))}]"
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    return str(value)
