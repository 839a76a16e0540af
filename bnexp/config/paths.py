"""Where the YAML files are, and what is wrong with one of a user's own.

They are beside the package in a checkout and inside it when installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bnexp.errors import UserError

_PACKAGE = Path(__file__).resolve().parent.parent


def config_dir() -> Path:
    """The folder that holds ``train.yaml`` and the config groups."""
    installed = _PACKAGE / "configs"
    return installed if installed.is_dir() else _PACKAGE.parent / "configs"


@cache
def groups() -> tuple[str, ...]:
    """The config groups, e.g. ``norm``."""
    return tuple(sorted(folder.name for folder in config_dir().iterdir() if folder.is_dir()))


def group_files(group: str, extra: Path | None = None) -> dict[str, Path]:
    """Name to YAML of every choice of a group; ``extra`` is a user's own config folder."""
    folders = [config_dir() / group] + ([extra / group] if extra else [])
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


def first_comment(file: Path) -> str:
    """The text of the first comment line that is not a Hydra package directive: what ``bnexp list`` shows."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


@cache
def option_owners() -> dict[str, tuple[str, ...]]:
    """Every key that ``bnexp``'s own YAMLs hold, e.g. ``norm.ghost_size``, to the names in its group that have it; () for all."""
    owners: dict[str, tuple[str, ...]] = {}
    for key, value in _loaded(config_dir() / "train.yaml").items():
        inner = value if isinstance(value, dict) else {}
        owners |= {key: ()} | {f"{key}.{name}": () for name in inner}
    for group in groups():
        for name, file in group_files(group).items():
            if group not in ("experiment", "debug"):
                for key in _loaded(file).keys() - {"defaults"}:
                    owners[f"{group}.{key}"] = (*owners.get(f"{group}.{key}", ()), name)
    return {key: names for key, names in owners.items() if key.split(".")[0] not in ("defaults", "hydra")}


def own_dir(typed: str) -> Path:
    """The folder that ``--config-dir`` names.

    Raises:
        UserError: there is none.
    """
    folder = Path(typed).expanduser()
    if not folder.is_dir():
        todo = "--config-dir FOLDER, with FOLDER/norm/NAME.yaml in it"
        raise UserError("the folder of --config-dir does not exist", got=typed, todo=todo)
    return folder


def check_own(group: str, name: str, extra: Path) -> None:
    """Refuse a YAML of a user's own that Hydra would not read as it is meant.

    Raises:
        UserError: its name is taken; it is empty, not UTF-8, lacks its package line or holds settings of Hydra's.
    """
    file = extra / group / f"{name}.yaml"
    if not file.is_file():
        return
    if name in group_files(group):
        raise UserError(
            f"{group}={name} is bnexp's own, so that {file} would never be read",
            got=f"{group}={name}",
            todo=f"another name for it: mv '{file}' '{file.with_stem('my_' + name)}', then {group}=my_{name}",
        )
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            "this YAML is not UTF-8", got=f"{file}, byte {error.start}", todo=f"iconv -f latin1 -t utf-8 '{file}'"
        ) from error
    except OSError as error:
        raise UserError(f"this YAML cannot be read ({error.strerror})", got=file, todo=f"ls -l '{file}'") from error
    values = re.sub(r"(?m)^\s*(#.*|---\s*)?$", "", text).strip()
    if ":" not in values or values.startswith("- "):
        first = "its values" if group in ("experiment", "debug", "probes") else f"name: {name}   and its options"
        raise UserError(f"this YAML {'has no key: value in it' if values else 'is empty'}", got=file, todo=first)
    if text.startswith("\ufeff"):
        raise UserError(
            "this YAML begins with a byte-order mark, which hides its first line",
            got=file,
            todo=f"sed -i '1s/^\\xEF\\xBB\\xBF//' '{file}'",
        )
    whole = group in ("experiment", "debug")
    has_package = re.match(r"(\s*#\s*@.*\n)*\s*#\s*@package\s+_global_\s*$", text, re.MULTILINE) is not None
    if whole != has_package:
        wanted = "# @package _global_   as its first line" if whole else "leave the line '# @package _global_' out"
        raise UserError(
            f"a YAML of {group} {'needs' if whole else 'must not have'} a package line", got=file, todo=wanted
        )
    _check_values(file, text)
    if re.search(r"(?m)^['\"]?hydra['\"]?\s*:", text) and not (
        whole and set(_hydra_keys(file)) <= {"hydra.sweeper.params", "hydra.mode"}
    ):
        raise UserError(
            "of Hydra's settings a YAML may hold the sweep of an experiment, hydra: {sweeper: {params: ...}}, and no other",
            got=f"{file}: {', '.join(_hydra_keys(file)) or 'hydra'}",
            todo="hydra: {sweeper: {params: {seed: '0,1,2'}}}   in a YAML of experiment, or bnexp train seed=0,1,2",
        )


def _check_values(file: Path, text: str) -> None:
    """Refuse numbers that YAML reads in another base than they are meant in (010 is 8, and 1:30 is 90), and a bare ``${...}``.

    Raises:
        UserError: there is one.
    """
    import yaml

    try:
        pending = [yaml.compose(text, yaml.SafeLoader)]
    except yaml.YAMLError as error:  # any other is told where it is loaded
        if not str(getattr(error, "problem", "")).endswith("but got '{'"):
            return
        raise UserError(
            "in braces a value that begins with $ needs quotation marks",
            got=f"{file}, line {error.problem_mark.line + 1}",
            todo="{key: '${other.key}'}",
        ) from error
    while pending:
        node = pending.pop()
        if isinstance(node, yaml.CollectionNode):
            pairs = isinstance(node, yaml.MappingNode)
            pending += [value for _, value in node.value] if pairs else node.value
        elif isinstance(node, yaml.ScalarNode) and node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
            octal = re.fullmatch(r"[-+]?0[0-7_]*[1-7][0-7_]*", node.value)
            if octal or ":" in node.value:
                raise UserError(
                    f"YAML reads this number in base {8 if octal else 60}",
                    got=f"{file}, line {node.start_mark.line + 1}: {node.value}",
                    todo=node.value.lstrip("0") if octal else f"the number itself, or '{node.value}' if it is a word",
                )


def _hydra_keys(file: Path) -> list[str]:
    """The settings of Hydra's in a YAML, e.g. ``hydra.sweeper.params``; what is below that is the user's."""
    found = []
    pending: list[tuple[str, Any]] = [("hydra", _loaded(file).get("hydra"))]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict) and key != "hydra.sweeper.params":
            pending += [(f"{key}.{name}", inner) for name, inner in value.items()]
        else:
            found.append(key)
    return sorted(found)


def file_sweep(group: str, name: str, extra: Path | None) -> dict[str, str]:
    """Key to values of the sweep that an experiment's YAML declares, ``hydra: sweeper: params:``; empty where it declares none.

    Raises:
        UserError: it is no list of keys and values.
    """
    file = group_files(group, extra).get(name)
    if file is None or "hydra" not in file.read_text(encoding="utf-8", errors="replace"):
        return {}
    if extra:
        check_own(group, name, extra)
    params: Any = _loaded(file).get("hydra")
    for key in ("sweeper", "params"):
        params = params.get(key) if isinstance(params, dict) else None
    if params is None:
        return {}
    if not isinstance(params, dict) or not all(isinstance(value, str | int | float) for value in params.values()):
        raise UserError(
            "the sweep of a YAML (hydra.sweeper.params) has one line a key, with its values as they are typed",
            got=file,
            todo="seed: 0,1,2   and   optimizer.lr: logspace(-2,0,3)",
        )
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in params.items()}


@cache
def defaults(group: str, name: str) -> Mapping[str, Any]:
    """The values in ``bnexp``'s own YAML of a component; none if it has no such YAML."""
    file = group_files(group).get(name)
    return _loaded(file) if file else {}


def _loaded(file: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
