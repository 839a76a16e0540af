"""Options of a component (a norm, model, dataset source or probe): its builder's keyword-only parameters are the schema.

The values live in the component's YAML and nowhere else; the builder's annotations say which types they may have. So a new
component is one Python file and one YAML, with no schema to extend.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin

from bnexp.errors import UserError, nearest

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", type(None): "null"}


def option_names(builder: Callable[..., Any], provided: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The options a builder takes: its keyword-only parameters without those the program itself provides."""
    parameters = inspect.signature(builder).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in provided)


def check_options(
    group: str, name: str, builder: Callable[..., Any], options: Mapping[str, Any], provided: tuple[str, ...] = ()
) -> dict[str, Any]:
    """``options`` with every key known, every key present and every value of its annotated type.

    Args:
        group: config group, e.g. ``"norm"``; errors speak of ``group.key``.
        name: the component's name.
        builder: function whose keyword-only parameters are the options.
        options: what the config holds.
        provided: keyword-only parameters that the program supplies (a generator, say), not the user.

    Raises:
        UserError: unknown key, missing key or wrong type.
    """
    names = option_names(builder, provided)
    for key in options:
        if key not in names:
            raise unknown_key(f"{group}.{key}", [f"{group}.{n}" for n in names], f"{group}={name}")
    for key in names:
        if key not in options:
            raise UserError(
                f"{group}={name} needs the option {group}.{key}", todo=f"add '{key}:' to configs/{group}/{name}.yaml"
            )
    hints = typing.get_type_hints(builder.__init__ if inspect.isclass(builder) else builder)
    return {key: _typed(f"{group}.{key}", options[key], hints[key]) for key in names}


def unknown_key(key: str, known: typing.Iterable[str], owner: str) -> UserError:
    """The error for a key that does not exist: names the nearest one and all of its neighbours."""
    known = sorted(known)
    guess = nearest(key, known)
    listing = ", ".join(known) if known else "none"
    return UserError(
        f"{owner} has no option {key}",
        got=key,
        todo=f"{guess} (options: {listing})" if guess else f"options: {listing}",
    )


def _typed(key: str, value: Any, hint: Any) -> Any:
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(isinstance(value, kind) for kind in allowed) and (bool in allowed or not isinstance(value, bool)):
        return value
    words = " or ".join(_WORDS.get(kind, str(kind)) for kind in allowed)
    raise UserError(
        f"{key} must be {words}",
        got=repr(value),
        todo=f"bnexp train --cfg job | grep {key.split('.')[-1]}   shows the default",
    )
