"""Who a run is: a readable name and a hash of everything that decides what it computes."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnexp.config.schema import COSMETIC, ExperimentConfig

#: Raised when the same config computes something else than before, so that old records are not taken for new ones.
SCHEMA_VERSION = 2


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


def measurement_id(claim: str, budget: str, seed: int, measure: Callable[..., Any], variant: Sequence[str] = ()) -> str:
    """The name of a claim's measurement, e.g. ``scale_invariance-quick-s0-9f2c01ab``; an edited measurement is a new one."""
    essence = {"source": _reached(measure), "variant": list(variant), "schema_version": SCHEMA_VERSION}
    return f"{claim}-{budget}-s{seed}-{_digest(essence)}"


def _reached(measure: Callable[..., Any]) -> dict[str, str]:
    """Name to source or value of all that a measurement uses of its own module: editing a figure makes no new measurement."""
    found: dict[str, str] = {}
    pending: list[tuple[str, Any]] = [(measure.__name__, measure)]
    while pending:
        name, thing = pending.pop()
        if name in found or inspect.ismodule(thing):
            continue
        own = inspect.isroutine(thing) or inspect.isclass(thing)
        if own and thing.__module__ != measure.__module__:
            continue
        found[name] = inspect.getsource(thing) if own else repr(thing)
        pending += [(used, measure.__globals__[used]) for used in _names(thing) if used in measure.__globals__]
    return found


def _names(thing: Any) -> set[str]:
    """The global names a function or class mentions, those inside nested functions included."""
    if inspect.isclass(thing):
        return set().union(*(_names(member) for member in vars(thing).values() if inspect.isroutine(member)))
    pending = [getattr(inspect.unwrap(thing), "__code__", None)] if callable(thing) else []
    names: set[str] = set()
    while pending:
        code = pending.pop()
        if code is not None:
            names |= set(code.co_names)
            pending += [constant for constant in code.co_consts if inspect.iscode(constant)]
    return names


def computed(config: ExperimentConfig) -> dict[str, Any]:
    """The settings that decide what a run computes: all but the cosmetic ones, and of those the precision if it is not fp32."""
    values = {key: value for key, value in asdict(config).items() if key not in COSMETIC}
    if config.execution.precision != "fp32":  # left out, so that runs older than this setting keep their names
        values["execution"] = {"precision": config.execution.precision}
    return values


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
