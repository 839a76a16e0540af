"""Who a run is: a readable name and a hash of everything that decides what it computes."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bnexp.config.schema import COSMETIC, ExperimentConfig, ModelConfig

#: Raised when the same config computes something else than before, so that old records are not taken for new ones.
SCHEMA_VERSION = 2

#: Options of models that are factors on first weights: nets that differ in these alone train by the same graph.
OF_FIRST_WEIGHTS = ("first_scale",)

#: Settings that are younger than some published run, with the value that was in force before there were any. A run that leaves one
#: at that value has the name it always had, and a record without one is read with it.
LATER: Mapping[str, Any] = {
    "norm.freeze_after": None,
    "norm.track": True,
    "train.accumulate": 1,
    "train.accumulate_statistics": "micro",
    "train.epochs": None,
    "train.stop_at_target": False,
    "train.keep": "none",
    "train.only": "all",
    "train.order": "shuffled",
    "train.eval_from": 0,
    "train.test": True,
    "train.eval_gap": 0.05,
    "probes.layer_inputs.early": 0.5,
    "execution.ddp": False,
}


def run_id(config: ExperimentConfig, data_fingerprint: str = "") -> str:
    """The run's name, e.g. ``mnist-mlp-batch-lr0.1-s3-9f2c01ab``.

    Args:
        config: the run.
        data_fingerprint: hash of a user's own data files; empty for the data sets that carry official checksums.
    """
    readable = f"{config.dataset.name}-{config.model.name}-{config.norm.name}-lr{config.optimizer.lr:g}-s{config.seed}"
    return f"{readable}-{_digest(_essence(config, data_fingerprint))}"


def arm_id(config: ExperimentConfig, data_fingerprint: str = "") -> str:
    """The name shared by runs that differ in nothing but the seed."""
    essence = _essence(config, data_fingerprint)
    del essence["seed"]
    return f"{config.dataset.name}-{config.model.name}-{config.norm.name}-lr{config.optimizer.lr:g}-{_digest(essence)}"


def measurement_id(
    claim: str,
    budget: str,
    seed: int,
    measure: Callable[..., Any],
    variant: Sequence[str] = (),
    layers: Sequence[ExperimentConfig] = (),
) -> str:
    """The name of a claim's measurement, e.g. ``scale_invariance-quick-s0-9f2c01ab``; an edited measurement is a new one.

    What counts is the function and all that it uses of its own module and of what claims share, and what makes a variant
    (``layers``: its nets as composed, so that a user's edited plugin or YAML counts): editing a figure makes no new measurement.
    """
    own = measure.__module__
    source = reached([(own, measure.__name__)], lambda module: module == own or module.startswith("bnexp.claims."))
    essence: dict[str, Any] = {"source": source, "variant": list(variant), "schema_version": SCHEMA_VERSION}
    if layers:
        essence["layers"] = [_essence(layer, "") for layer in layers]
    return f"{claim}-{budget}-s{seed}-{_digest(essence)}"


def reached(
    starts: Iterable[tuple[str, str]], within: Callable[[str], bool], without: Collection[tuple[str, str]] = ()
) -> dict[str, str]:
    """``module.name`` to code of all that ``starts`` use, directly or not; docstrings, comments and layout do not count.

    Functions and classes count in modules that are ``within``, values of modules anywhere in the packages of the starts and in
    ours. The code is read from the files and nothing is imported, so that a claim is told apart without torch.

    Args:
        starts: pairs of module and name; of a name that its module does not define (a lambda) the whole module counts.
        within: whether a module's functions and classes count.
        without: pairs that are left out with all that only they use.
    """
    code_of = cache(lambda module: _parsed(_source(module)))  # each module is read once, and anew at the next call
    pending = list(starts)
    roots = {"bnexp", *(module.split(".")[0] for module, _ in pending)}
    found: dict[str, str] = {}
    for module, name in pending:
        if name not in code_of(module).definitions:
            found[module] = _code(code_of(module).tree)
    while pending:
        module, name = pending.pop()
        if f"{module}.{name}" in found or (module, name) in without or module.split(".")[0] not in roots:
            continue
        parsed = code_of(module)
        if name in parsed.imports:
            pending.append(parsed.imports[name])
        nodes = [
            node
            for node in parsed.definitions.get(name, [])
            if within(module) or not isinstance(node, (*_FUNCTIONS, ast.ClassDef))
        ]
        if nodes:
            found[f"{module}.{name}"] = " ".join(map(_definition, nodes))
            pending += [used for node in nodes for used in _used_by(node, module, parsed)]
    return found


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, eq=False)
class _Parsed:
    """A module's code: its names to the statements that define them, and imported names to module and name there."""

    tree: ast.Module
    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str]]


def _source(module: str) -> str:
    """The text of a module of ours, or of one that is loaded; empty where there is none."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None and module.split(".")[0] == "bnexp":
        place = Path(__file__).parents[1].joinpath(*module.split(".")[1:])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return Path(file).read_text(encoding="utf-8") if file and Path(file).is_file() else ""


@cache
def _parsed(source: str) -> _Parsed:
    parsed = _Parsed(ast.parse(source), {}, {})
    pending: list[ast.AST] = [*parsed.tree.body]
    while pending:
        node = pending.pop(0)
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            parsed.definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in ast.walk(node):
                if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                    parsed.definitions.setdefault(target.id, []).append(node)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            parsed.imports.update(_imported(node))
        else:  # what stands under an if or a try
            pending += [
                inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt | ast.ExceptHandler)
            ]
    return parsed


def _imported(node: ast.ImportFrom | ast.Import) -> dict[str, tuple[str, str]]:
    """Names that an import makes, to module and name there; a module is a name of the package that holds it."""
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: (node.module or "", alias.name) for alias in node.names}
    parts = {alias.asname: alias.name.rpartition(".") for alias in node.names if alias.asname}
    return {name: (package, module) for name, (package, _, module) in parts.items()}


@cache  # as _definition: many claims reach the same code
def _used_by(node: ast.stmt, module: str, parsed: _Parsed) -> tuple[tuple[str, str], ...]:
    return tuple(_uses(node, module, parsed.imports))


@cache
def _definition(node: ast.stmt) -> str:
    return _code(node)


def _uses(node: ast.AST, module: str, imports: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Modules and names of all that a definition mentions and does not define itself; a class method by method."""
    if isinstance(node, ast.ClassDef):
        for part in ast.iter_child_nodes(node):
            yield from _uses(part, module, imports)
        return
    inner = list(ast.walk(node))
    own = {name.id for name in inner if isinstance(name, ast.Name) and not isinstance(name.ctx, ast.Load)}
    own |= {argument.arg for argument in inner if isinstance(argument, ast.arg)}
    here = dict(imports)
    for statement in inner:
        if isinstance(statement, ast.ImportFrom | ast.Import):
            here |= _imported(statement)
            yield from _imported(statement).values()
    for part in inner:
        if isinstance(part, ast.Name) and part.id not in own:
            yield module, part.id
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in here:
            package, name = here[part.value.id]
            yield f"{package}.{name}", part.attr


def _code(node: ast.AST) -> str:
    """A node in words, without docstrings and places. ``ast.dump`` is another text in every version of Python."""
    parts = []
    for name, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        shown = [_code(part) if isinstance(part, ast.AST) else repr(part) for part in values if not _is_docstring(part)]
        if shown and value is not None and name not in ("ctx", "kind", "type_comment"):
            parts.append(f"{name}=[{', '.join(shown)}]")
    return f"{type(node).__name__}({' '.join(parts)})"


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def computed(config: ExperimentConfig) -> dict[str, Any]:
    """The settings that decide what a run computes: all but the cosmetic ones, and of those the precision and the
    processes of one run if they are not fp32 and one.

    Those of :data:`LATER` are left out where they have their old value.
    """
    values = {key: value for key, value in asdict(config).items() if key not in COSMETIC}
    execution = {"precision": config.execution.precision, "ddp": config.execution.ddp}
    if execution != {"precision": "fp32", "ddp": False}:  # left out, so that runs older than these settings keep their names
        values["execution"] = execution
    for key, before in LATER.items():
        part, name = _part(values, key)
        if part is not None and name in part and part[name] == before:
            del part[name]
    return values


def completed(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The config that a record holds (:func:`computed`, of whatever version) with the settings of :data:`LATER` that it lacks."""
    values = deepcopy(dict(recorded))
    for key, before in LATER.items():
        part, name = _part(values, key)
        if part is not None:
            part.setdefault(name, before)
    return values


def _part(values: dict[str, Any], key: str) -> tuple[dict[str, Any] | None, str]:
    """Where a dotted key stands, None where that part is not there, and its last word."""
    *sections, name = key.split(".")
    part: dict[str, Any] | None = values
    for section in sections:
        part = part.get(section) if part is not None else None
    return part, name


def _essence(config: ExperimentConfig, data_fingerprint: str) -> dict[str, Any]:
    values = computed(config)
    if data_fingerprint:  # the files' content counts, not where they lie
        values["dataset"]["options"] = {
            key: value for key, value in values["dataset"]["options"].items() if key != "path"
        }
    plugins = {name: _source_digest(name) for name in config.plugins}
    return {**values, "plugins": plugins, "data_fingerprint": data_fingerprint, "schema_version": SCHEMA_VERSION}


def _digest(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _source_digest(module: str) -> str:
    """Hash of a plugin's source, so that an edited plugin makes a new run."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return ""
    file = Path(spec.origin)
    sources = sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]  # of a package, all of it
    return hashlib.blake2b(b"".join(source.read_bytes() for source in sources), digest_size=8).hexdigest()


def network_of(model: ModelConfig) -> tuple[str, dict[str, Any]]:
    """What decides a network but for its first weights."""
    return model.name, {name: value for name, value in model.options.items() if name not in OF_FIRST_WEIGHTS}
