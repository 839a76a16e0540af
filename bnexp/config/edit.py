"""A config with one value changed: what a Hydra override would give, a thousand times as fast."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any


def with_value(config: Any, key: str, value: Any) -> Any:
    """``config`` with the value at a dotted key replaced; every check of the schema runs again.

    Example:
        >>> from bnexp.config.schema import NormConfig
        >>> norm = NormConfig(name="ghost", placement="before", options={"ghost_size": 20})
        >>> with_value(norm, "ghost_size", 10).options
        {'ghost_size': 10}

    Raises:
        KeyError: there is no such key.
    """
    assert is_dataclass(config)
    assert not isinstance(config, type)
    head, _, rest = key.partition(".")
    names = [field.name for field in fields(config)]
    if head in names:
        inner = getattr(config, head)
        return replace(config, **{head: with_value(inner, rest, value) if rest else value})
    options = getattr(config, "options", {})
    if not rest and head in options:
        return replace(config, options={**options, head: value})
    raise KeyError(key)
