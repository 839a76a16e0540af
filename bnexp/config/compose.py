"""From words on a command line to checked ``ExperimentConfig`` values: the only module that touches Hydra."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bnexp.config.options import unknown_key
from bnexp.config.paths import config_dir, group_files
from bnexp.config.schema import (
    OPTIMIZERS,
    SCHEDULES,
    DatasetConfig,
    ExecutionConfig,
    ExperimentConfig,
    ModelConfig,
    NormConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
)
from bnexp.errors import UserError, unknown_name

_CONFIG = "train"


def compose(overrides: Sequence[str] = (), extra_dir: Path | None = None) -> ExperimentConfig:
    """The one run that these Hydra overrides describe.

    Raises:
        UserError: anything a user can get wrong, found before a folder is made.
    """
    with _hydra(extra_dir) as search_path:
        return to_experiment(_compose([*search_path, *overrides]))


def expand(overrides: Sequence[str], extra_dir: Path | None = None) -> list[ExperimentConfig]:
    """Every run of a sweep (comma lists, ``range()``, ``glob()``, ``choice()``), all checked before the first one starts."""
    with _hydra(extra_dir) as search_path:
        return [to_experiment(_compose([*search_path, *words])) for words in combinations(overrides, extra_dir)]


def combinations(overrides: Sequence[str], extra_dir: Path | None = None) -> list[tuple[str, ...]]:
    """The overrides of every run of a sweep, in the order of :func:`expand`."""
    with _told(overrides):
        return list(itertools.product(*(_choices(override, extra_dir) for override in _parse(overrides))))


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether any override stands for several values."""
    return bool(varied_keys(overrides))


def varied_keys(overrides: Sequence[str]) -> tuple[str, ...]:
    """The keys that stand for several values."""
    return tuple(override.get_key_element() for override in _parse(overrides) if override.is_sweep_override())


def run_hydra(arguments: Sequence[str], task: Callable[[ExperimentConfig], None], program: str = "bnexp train") -> None:
    """Hand a command line to Hydra itself: ``--help``, ``--cfg``, ``-m`` with any launcher, shell completion.

    ``task`` gets one checked config a job; ``program`` is what completion is installed for.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach us as exceptions, to be told in our words
    sys.argv = [program, *arguments]

    def job(raw: DictConfig) -> None:
        task(to_experiment(raw))

    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=_CONFIG)
    with _told(_overrides_in(arguments)):
        main(job)()


def to_experiment(raw: DictConfig) -> ExperimentConfig:
    """Hydra's composed config as our frozen schema; unknown and missing keys are errors."""
    try:
        values = OmegaConf.to_container(raw, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(
            f"the configuration cannot be resolved: {_first_line(error)}", todo="bnexp train --cfg job"
        ) from error
    assert isinstance(values, dict)
    _require_groups(values)
    sections = {
        "execution": _section(ExecutionConfig, "execution", values["execution"]),
        "train": _section(TrainConfig, "train", values["train"]),
        "model": _component(ModelConfig, "model", values["model"]),
        "norm": _component(NormConfig, "norm", {"placement": "before", **values["norm"]}),
        "dataset": _component(DatasetConfig, "dataset", values["dataset"]),
        "optimizer": _optimizer(values["optimizer"]),
        "schedule": _schedule(values["schedule"]),
        "probes": values.get("probes") or {},
        "plugins": values.get("plugins") or (),
    }
    return _section(ExperimentConfig, "", {**values, **sections})


def _section(kind: type, key: str, values: Any) -> Any:
    """Build dataclass ``kind`` from a mapping, with every field present and no other; lists become tuples."""
    names = [field.name for field in fields(kind)]
    prefix = f"{key}." if key else ""
    for name in values:
        if name not in names:
            raise unknown_key(f"{prefix}{name}", [prefix + n for n in names], key or "the configuration")
    for field in fields(kind):
        if field.name not in values and field.default is MISSING:
            name = prefix + field.name
            raise UserError(f"there is no value for {name}", todo=f"{name}=VALUE, or the line in its YAML")
    floats = {field.name for field in fields(kind) if field.type == "float"}
    return kind(**{name: _plain(value, name in floats) for name, value in values.items()})


def _plain(value: Any, is_float: bool) -> Any:
    """Lists as tuples, and 1 as 1.0 where a float is meant: ``optimizer.lr=1`` and ``=1.0`` are one run."""
    if is_float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def _require_groups(values: Mapping[Any, Any]) -> None:
    """What ``~model`` or ``train=3`` leaves without its values is refused by name."""
    for name in ("execution", "train", "model", "norm", "dataset", "optimizer", "schedule"):
        if not isinstance(values.get(name), dict):
            got = f"{name}={values[name]}" if name in values else f"no {name}"
            raise UserError(f"{name} must be a group of options", got=got, todo="bnexp train --help   shows the groups")


def _component(kind: type, group: str, values: Mapping[str, Any]) -> Any:
    """A component's config: the fields every component of the group has, and its own options."""
    shared = {field.name for field in fields(kind)} - {"options"}
    options = {name: value for name, value in values.items() if name not in shared}
    return _section(kind, group, {**{n: v for n, v in values.items() if n in shared}, "options": options})


def _optimizer(values: Mapping[str, Any]) -> OptimizerConfig:
    if values["name"] not in OPTIMIZERS:
        raise unknown_name("optimizer", values["name"], OPTIMIZERS)
    return _section(OPTIMIZERS[values["name"]], "optimizer", values)


def _schedule(values: Mapping[str, Any]) -> ScheduleConfig:
    if values["name"] not in SCHEDULES:
        raise unknown_name("schedule", values["name"], SCHEDULES)
    return _section(ScheduleConfig, "schedule", values)


@contextmanager
def _hydra(extra_dir: Path | None) -> Iterator[list[str]]:
    """An initialised Hydra; yields the override that adds a user's config folder, if there is one."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        yield [f"hydra.searchpath=['file://{extra_dir.resolve()}']"] if extra_dir else []


def _compose(overrides: Sequence[str]) -> DictConfig:
    with _told(overrides):
        try:
            return hydra.compose(_CONFIG, overrides=list(overrides))
        except ValueError as error:  # Hydra's word for norm=null or =3
            raise UserError(_first_line(error), todo="bnexp train --help   shows groups, keys and values") from error


@contextmanager
def _told(overrides: Sequence[str]) -> Iterator[None]:
    """Hydra's and OmegaConf's exceptions, told as UserErrors."""
    try:
        yield
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if not group or error.options is None:
            raise UserError(_first_line(error), todo="bnexp train --help") from error
        raise unknown_name(group, name, error.options) from error
    except (HydraException, OmegaConfBaseException) as error:
        raise _refusal(error, overrides) from error


def _refusal(error: Exception, overrides: Sequence[str]) -> UserError:
    for override in overrides:
        key = override.lstrip("+~").split("=")[0]
        if f"'{key}'" in str(error) and "Could not override" in str(error):
            return unknown_key(key, _known_keys([o for o in overrides if o != override], key), "the configuration")
    return UserError(_first_line(error), todo="bnexp train --help   shows groups, keys and values")


def _known_keys(overrides: Sequence[str], key: str) -> list[str]:
    """Keys beside a misspelt one: those of its section where the section exists, else all sections and top-level keys."""
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        try:
            raw = hydra.compose(_CONFIG, overrides=list(overrides))
        except HydraException:
            raw = hydra.compose(_CONFIG)
    values = OmegaConf.to_container(raw)
    assert isinstance(values, dict)
    section = key.split(".")[0]
    if isinstance(values.get(section), dict):
        return [f"{section}.{name}" for name in values[section]]
    return [str(name) for name in values]


def _parse(overrides: Sequence[str]) -> list[Override]:
    try:
        return OverridesParser.create().parse_overrides(overrides=list(overrides))
    except OverrideParseException as error:
        raise UserError(
            f"{error.override!r} is not a Hydra override: {_first_line(error)}",
            todo="key=value, for example norm=batch",
        ) from error


def _choices(override: Override, extra_dir: Path | None) -> list[str]:
    if not override.is_sweep_override():
        return [str(override.input_line)]
    key = override.get_key_element()
    value = override.value()
    if isinstance(value, Glob):
        names = value.filter(list(group_files(override.key_or_group, extra_dir)))
    else:
        names = list(override.sweep_string_iterator())
    return [f"{key}={name}" for name in names]


def _overrides_in(arguments: Sequence[str]) -> list[str]:
    return [argument for argument in arguments if "=" in argument and not argument.startswith("-")]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
