"""From words on a command line to checked ``ExperimentConfig`` values.

Hydra composes the YAMLs once for each arm, a choice in every group; single values are put in here, a hundred times as fast.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import GrammarParseError, OmegaConfBaseException

from bnexp.config.meant import HELP, unknown_option
from bnexp.config.paths import check_own, config_dir, file_sweep, own_dir
from bnexp.config.schema import ExperimentConfig
from bnexp.config.values import structure, with_values
from bnexp.config.words import Word, named, read, refuse_too_many
from bnexp.errors import UserError, nearest, unknown_name

_CONFIG = "train"

#: Hydra's flags that may be typed, and what their value may be: None for no value, () for any.
_FLAGS: Mapping[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("-h", "--help", "--hydra-help", "--resolve", "-m", "--multirun"), None),
    **dict.fromkeys(("-c", "--cfg"), ("job", "hydra", "all")),
    **dict.fromkeys(("-i", "--info"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
    **dict.fromkeys(("-p", "--package", "-cd", "--config-dir"), ()),
}
#: Those that only ask for information.
QUESTIONS = {*_FLAGS, "-sc", "--shell-completion"} - {"-m", "--multirun", "-cd", "--config-dir"}

#: What an override that names a user's own config folder begins with.
OWN_DIR = "--config-dir="


def with_file_sweep(overrides: Sequence[str], extra_dir: Path | None = None) -> list[str]:
    """The words with the sweep that the YAML of a named experiment declares, in front of what is typed, which counts.

    Raises:
        UserError: several experiments of which one declares a sweep.
    """
    if not any(word.lstrip("+ ").startswith(("experiment=", "debug=")) for word in overrides):
        return list(overrides)
    words, _ = read(overrides)
    typed, added = {word.key for word in words}, dict[str, str]()
    for word in (named(word, extra_dir) for word in words if word.key in ("experiment", "debug")):
        sweeps = {name: file_sweep(word.key, name, extra_dir) for name in word.values}
        if any(sweeps.values()) and len(sweeps) > 1:
            name = next(name for name, sweep in sweeps.items() if sweep)
            what = f"the YAML of {word.key}={name} declares a sweep, so that it is run by itself"
            raise UserError(what, got=word.typed, todo=f"{word.key}={name}")
        added |= next(iter(sweeps.values()), {})
    return [*(f"{key}={value}" for key, value in added.items() if key not in typed), *overrides]


def compose(overrides: Sequence[str] = (), extra_dir: Path | None = None) -> ExperimentConfig:
    """The one run that these Hydra overrides describe.

    Args:
        overrides: in Hydra's grammar; ``--config-dir=FOLDER`` among them is another way to say ``extra_dir``.
        extra_dir: a user's own config folder.

    Raises:
        UserError: anything a user can get wrong, found before a folder is made.
    """
    folders = [word.removeprefix(OWN_DIR) for word in overrides if word.startswith(OWN_DIR)]
    extra_dir = Path(folders[-1]) if folders else extra_dir
    typed = [word for word in overrides if not word.startswith(OWN_DIR)]
    words, _ = read(with_file_sweep(typed, extra_dir))
    for word in words:
        if word.sweeps:
            raise UserError("one run is wanted here, not a sweep", got=word.typed, todo=word.texts[0])
    return next(_configs(words, extra_dir))


def expand(overrides: Sequence[str], extra_dir: Path | None = None) -> list[ExperimentConfig]:
    """Every run of a sweep (comma lists, ``range()``, ``glob()``, ``choice()``), all checked before the first one starts.

    A key that was given twice is told on standard error.
    """
    words, notes = read(overrides)
    refuse_too_many([named(word, extra_dir) for word in words])
    configs = list(_configs(words, extra_dir))
    for note in notes:
        print(note, file=sys.stderr)
    return configs


def count(overrides: Sequence[str], extra_dir: Path | None = None) -> int:
    """How many runs :func:`expand` gives, without composing them."""
    return math.prod(len(named(word, extra_dir).texts) for word in read(overrides)[0])


def combinations(overrides: Sequence[str], extra_dir: Path | None = None) -> list[tuple[str, ...]]:
    """The overrides of every run of a sweep as Hydra reads them, in the order of :func:`expand`."""
    return list(itertools.product(*(named(word, extra_dir).texts for word in read(overrides)[0])))


def varied_keys(overrides: Sequence[str]) -> tuple[str, ...]:
    """The keys that stand for several values."""
    return tuple(word.key for word in read(overrides)[0] if word.sweeps)


def launcher(words: Sequence[str], extra_dir: Path | None = None) -> dict[str, Any]:
    """Settings of the launcher that these words choose (``hydra/launcher``, ``hydra.launcher.*``), its class as ``_target_``."""
    path = [f"hydra.searchpath=['file://{extra_dir.resolve()}']"] if extra_dir else []
    GlobalHydra.instance().clear()
    with _told(words), hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        whole = hydra.compose(_CONFIG, overrides=[*path, *words], return_hydra_config=True)
        settings = OmegaConf.to_container(whole.hydra.launcher, resolve=True)
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def run_hydra(
    arguments: Sequence[str], task: Callable[[ExperimentConfig], None] | None = None, program: str = "bnexp train"
) -> None:
    """Hand a command line to Hydra itself: ``--help``, ``--cfg``, ``-m`` with any launcher, shell completion.

    ``task`` gets one checked config a job, None for a question, which starts none; ``program`` is what completion is installed for.

    Raises:
        UserError: a flag or an override that is none.
    """
    if not {"-sc", "--shell-completion"} & set(arguments):
        arguments = _checked_arguments(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that errors reach us as exceptions, to be told in our words
    sys.argv = [program, *arguments]

    def job(raw: DictConfig) -> None:
        assert task, "a question to Hydra starts no run"
        task(structure(_resolved(raw)))

    main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=_CONFIG)
    with _told():
        main(job)()


def _checked_arguments(arguments: Sequence[str]) -> list[str]:
    """Hydra's flags as they are and overrides as Hydra reads them; of a sweep that is asked about, the first run."""
    flags: list[str] = []
    words: list[str] = []
    extra_dir = None
    pending = list(arguments)
    while pending:
        word = pending.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in _FLAGS:
            if word == "--json":
                raise UserError("--cfg prints YAML and has no other form", got="--json", todo="leave --json out")
            words.append(word)
            continue
        allowed = _FLAGS[flag]
        if allowed is not None:
            value = value if equals else pending.pop(0) if pending else ""
            if not value or (allowed and value not in allowed):
                guess = nearest(value, allowed) or (allowed or ("FOLDER",))[0]
                options = f" (or {', '.join(one for one in allowed if one != guess)})" if allowed else ""
                raise UserError(f"{flag} needs a value", got=f"{flag} {value}".strip(), todo=f"{flag} {guess}{options}")
        if flag in ("-cd", "--config-dir"):
            extra_dir = own_dir(value)
        flags += [flag] if allowed is None else [flag, value]
    parsed, _ = read(with_file_sweep(words, extra_dir))
    parsed = [named(word, extra_dir) for word in parsed]
    if {"-c", "--cfg"} & set(flags) and "job" in flags:
        config = next(_configs(parsed, extra_dir))  # so that what is wrong is told as it is told of a run
        _check_package(flags, config)
        if any(word.sweeps for word in parsed):
            first = " ".join(word.texts[0] for word in parsed if word.sweeps)
            num_runs = math.prod(len(word.texts) for word in parsed)
            print(f"# the first of {num_runs} runs: {first}", flush=True)
            return [*flags, *(word.texts[0] for word in parsed)]
    # the sweep of an experiment's YAML is among the words already
    own = ["hydra.sweeper.params=null"] if {"-m", "--multirun"} & set(flags) else []
    return [*flags, *(word.typed for word in parsed), *own]


def _check_package(flags: Sequence[str], config: ExperimentConfig) -> None:
    """Refuse a ``--package`` that is no part of the configuration; Hydra would print a line of its own and leave."""
    for path in [value for flag, value in itertools.pairwise(flags) if flag in ("-p", "--package")]:
        part: Any = asdict(config)
        for place, key in enumerate(path.split(".")):
            known = sorted(part) if isinstance(part, dict) else []
            if key not in known:
                above = ".".join(path.split(".")[:place])
                guess = ".".join(filter(None, [above, nearest(key, known)])) or "optimizer"
                listing = f" (known: {', '.join(known)})" if known else ""
                what = "there is no such part of the configuration"
                raise UserError(what, got=f"--package {path}", todo=f"--package {guess}{listing}")
            part = part[key]


class Arm:
    """Runs of one choice in every group: ``values`` composed by Hydra once, other values put in afterwards."""

    def __init__(self, values: dict[str, Any], settings: Sequence[Word]) -> None:
        self.values = values
        interpolates = any("${" in text for word in settings for text in word.texts) or "${" in str(self.values)
        groups = any(
            isinstance(value, dict) or word.key.endswith(".targets")
            for word in settings
            if word.sweeps
            for value in word.values
        )
        self.anew = interpolates or groups  # every run from its values, because one value may change another
        self.settings = settings
        keys = {word.key for word in settings if word.values != (None,)}
        if "train.steps" in keys and isinstance(self.values.get("train"), dict):
            if "train.epochs" in keys:
                todo = "train.epochs=2, or train.steps=3000, and not both"
                both = " ".join(word.typed for word in settings if word.key in ("train.epochs", "train.steps"))
                raise UserError("train.epochs and train.steps both say how long a run is", got=both, todo=todo)
            self.values["train"]["epochs"] = None  # of a YAML; what is typed counts
        self.first: ExperimentConfig | None = None

    def config(self, changes: Sequence[Any]) -> ExperimentConfig:
        """The run with these values for the settings."""
        if self.first is not None and not self.anew:
            given = {word.key: value for word, value in zip(self.settings, changes, strict=True) if word.sweeps}
            changed: ExperimentConfig = with_values(self.first, given)
            return changed
        values = copy.deepcopy(self.values)
        for word, value in zip(self.settings, changes, strict=True):
            self._put(values, word, value)
        self.first = structure(_resolved(values) if "${" in str(values) else _complete(values))
        return self.first

    def _put(self, values: dict[str, Any], word: Word, value: Any) -> None:
        *path, last = word.key.split(".")
        inner: Any = values
        for name in path:
            inner = inner.get(name) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or (last not in inner and path[:1] != ["probes"]):
            raise self._unknown(word, values)
        is_list = isinstance(inner.get(last), list) or word.key == "train.targets"  # whose default is null
        if word.kind == "delete":
            if last not in inner:
                raise UserError(
                    f"there is no {word.key} to leave out", got=word.texts[0], todo=f"leave {word.texts[0]} out"
                )
            del inner[last]
        elif isinstance(value, dict) and isinstance(inner.get(last), dict):
            inner[last] = _merged(inner[last], value)
        elif is_list and word.sweeps and not any(isinstance(v, list) for v in word.values):
            several = ",".join(text.partition("=")[2] for text in word.texts)
            raise UserError(f"{word.key} must be a list", got=f"{word.key}={several}", todo=f"{word.key}=[{several}]")
        else:
            inner[last] = value

    def _unknown(self, word: Word, values: Mapping[str, Any]) -> UserError:
        flat = [key for key in values if not isinstance(values[key], dict)]
        flat += [f"{key}.{name}" for key, inner in values.items() if isinstance(inner, dict) for name in inner]
        value = ",".join(text.partition("=")[2] for text in word.texts[:10])
        return unknown_option(word.key, value, flat, lambda group: str((values.get(group) or {}).get("name", "...")))


def _configs(words: Sequence[Word], extra_dir: Path | None) -> Iterator[ExperimentConfig]:
    """Every run, in the order of typing; each arm is composed when its first run is asked for."""
    words = [named(word, extra_dir) for word in words]
    settings = [word for word in words if word.kind in ("value", "delete")]
    choosing = [word.kind in ("choice", "hydra") for word in words]
    arms: dict[tuple[str, ...], Arm] = {}
    for places in itertools.product(*(range(len(word.texts)) for word in words)):
        picked = list(zip(words, places, choosing, strict=True))
        choices = tuple(word.texts[place] for word, place, chooses in picked if chooses)
        if choices not in arms:
            arms[choices] = Arm(composed(choices, extra_dir), settings)
        yield arms[choices].config([word.values[place] for word, place, chooses in picked if not chooses])


def composed(choices: tuple[str, ...], extra_dir: Path | None) -> dict[str, Any]:
    """What Hydra makes of the YAMLs of these choices, its interpolations as they stand there."""
    if extra_dir is None:
        return copy.deepcopy(_packaged(choices))
    for choice in choices:
        group, _, name = choice.partition("=")
        if not group.startswith("hydra"):
            check_own(group, name, extra_dir)
    return _by_hydra(choices, extra_dir)


@lru_cache(maxsize=512)
def _packaged(choices: tuple[str, ...]) -> dict[str, Any]:
    """By Hydra (80 ms); from the fifth on put together of what it makes of each choice, where each fills its own section alone."""
    groups = [choice.partition("=")[0] for choice in choices]
    if len(choices) > 1 and _packaged.cache_info().misses > 4 and {*groups} <= {*(plain := _packaged(()))}:
        single = {group: _packaged((choice,)) for group, choice in zip(groups, choices, strict=True)}
        if len(single) == len(choices) and all({**one, group: plain[group]} == plain for group, one in single.items()):
            return plain | {group: one[group] for group, one in single.items()}
    return _by_hydra(choices, None)


def _by_hydra(choices: Sequence[str], extra_dir: Path | None) -> dict[str, Any]:
    path = [f"hydra.searchpath=['file://{extra_dir.resolve()}']"] if extra_dir else []
    GlobalHydra.instance().clear()
    with _told(choices), hydra.initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        values = OmegaConf.to_container(hydra.compose(_CONFIG, overrides=[*path, *choices]), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _resolved(raw: Any) -> dict[str, Any]:
    """A composed config as plain values, ``${...}`` replaced by what it stands for."""
    try:
        values = OmegaConf.to_container(OmegaConf.create(raw), resolve=True)
    except GrammarParseError as error:
        got = ", ".join(f"{key}={value}" for key, value in flat(raw) if "${" in str(value))
        todo = "${KEY} or ${oc.env:NAME}, closed by }"
        raise UserError("a ${...} of the configuration cannot be read", got=got, todo=todo) from error
    except OmegaConfBaseException as error:
        if found := re.search(r"Environment variable '([^']*)' not found", str(error)):
            name = found[1]
            what = f"the environment variable {name} is not set"
            raise UserError(what, got=f"${{oc.env:{name}}}", todo=f"export {name}=VALUE") from error
        where = f" (in {error.full_key})" if getattr(error, "full_key", "") else ""
        raise UserError(
            f"a ${{...}} of the configuration has no value{where}: {_first_line(error)}", todo=HELP
        ) from error
    return _complete(values)


def flat(values: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested dicts."""
    for key, value in values.items():
        yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]


def _complete(values: Any, prefix: str = "") -> dict[str, Any]:
    """``values``, if none of them is missing: Hydra writes ``???`` for that."""
    complete: dict[str, Any] = values
    for key, value in complete.items():
        if value == "???":
            raise UserError(f"there is no value for {prefix}{key}", todo=f"{prefix}{key}=VALUE")
        if isinstance(value, dict):
            _complete(value, f"{prefix}{key}.")
    return complete


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(old[key], new[key]) for key in old if isinstance(old[key], dict) and isinstance(new.get(key), dict)
    }
    return {**old, **new, **both}


@contextmanager
def _told(words: Sequence[str] = ()) -> Iterator[None]:
    """Hydra's, OmegaConf's and YAML's exceptions, told as UserErrors; ``words`` are those that chose."""
    try:
        yield
    except MissingConfigException as error:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        if not group or error.options is None:
            raise UserError(_first_line(error), todo=HELP) from error
        if name.startswith("submitit") and not any(option.startswith("submitit") for option in error.options):
            what = f"{group}={name} needs hydra-submitit-launcher, which is not installed"
            raise UserError(what, got=f"{group}={name}", todo=f"{sys.executable} -m pip install hydra-submitit-launcher") from error
        raise unknown_name(group, name, error.options) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{mark.name}, line {mark.line + 1}" if mark else "a YAML of --config-dir"
        tab = "\\t" in str(error.problem)
        todo = "blanks instead of the tab" if tab else f"mend that line; bnexp's own are in {config_dir()}"
        raise UserError(f"this YAML cannot be read: {error.problem}", got=place, todo=todo) from error
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        todo = HELP
        if unknown := re.search(r"'hydra\.launcher\.([\w.]+)'", str(error)):
            todo = _meant_of_launcher(unknown[1], words)
        elif re.search("defaults|Multiple values|Could not override", str(error)):
            todo = "defaults: [override /norm: none]   in the YAML; the slash belongs to it"
        raise UserError("the configuration cannot be composed", got=_first_line(error), todo=todo) from error


def _meant_of_launcher(key: str, words: Sequence[str]) -> str:
    """What works in place of ``hydra.launcher.<key>``, which the chosen launcher does not have."""
    chosen = [word for word in words if word.startswith("hydra/launcher=")]
    if not chosen:
        return "hydra/launcher=joblib hydra.launcher.n_jobs=2" if key == "n_jobs" else "hydra/launcher=submitit_slurm beside it"
    known = sorted(set(launcher(chosen)) - {"_target_"})
    return f"hydra.launcher.{nearest(key, known) or known[0]}=VALUE (known: {', '.join(known)})"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
