"""What a value must be: one conversion by type, bounds beside it, and a UserError whose advice can be typed.

A value comes from a command line or a YAML, so that 1e3 is a whole number, "0.1" a number and ``on`` a truth value. The shared part
of a config is checked by the fields of ``config.schema``; the options of a component (a norm, model, data source or probe) by the
annotations of its builder's keyword-only parameters, whose values live in the component's YAML and nowhere else.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Union, get_args, get_origin

from bnexp.config.paths import defaults
from bnexp.errors import UserError, nearest

_WORDS = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", type(None): "null"}
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_UNFIT: Any = object()

#: The largest whole number that a record can be read back with.
_LARGEST = 2**63 - 1

#: The largest number that a float32 holds; nets compute in these.
_LARGEST_REAL = 3.4e38


def whole(key: str, value: Any, *, least: int, most: int = _LARGEST, example: int | None = None) -> int:
    """``value`` as an int if it is a whole number from ``least`` to ``most``, however it is written.

    Example:
        >>> whole("train.steps", "1e3", least=1)
        1000
    """
    number = _as(int, value)
    if number is _UNFIT or not least <= number <= most:
        meant = number_meant(value)
        if meant is not None and least <= meant <= most and meant == int(meant):
            example = int(meant)
        todo = _swept(key, value) or f"{key}={max(least, 1) if example is None else example}"
        bounds = f"at least {least}" + (f" and at most {most:,}" if _above(most, value) else "")
        raise UserError(f"{key} must be a whole number of {bounds}", got=_shown(value), todo=todo)
    return number


def real(
    key: str,
    value: Any,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
    example: float,
    listed: bool = False,
) -> float:
    """``value`` as a float if it is a finite number inside the open (above, below) and closed (least, most) bounds.

    ``listed`` is for an entry of a list: the advice then shows one.
    """

    def fits(number: Any) -> bool:
        return abs(number) <= _LARGEST_REAL and above < number < below and least <= number <= most

    number = _as(float, value)
    if number is _UNFIT or not fits(number):
        meant = number_meant(value)
        shown = f"{meant if meant is not None and fits(meant) else example:g}"
        named = (("above", above), ("at least", least), ("below", below), ("at most", most))
        bounds = [f"{word} {bound:g}" for word, bound in named if math.isfinite(bound)]
        if number is not _UNFIT and _LARGEST_REAL < abs(number) < math.inf:
            bounds.append(f"within {_LARGEST_REAL:g} of 0, as a float32 is")
        limits = " " + " and ".join(bounds) if bounds else ""
        todo = f"{key}=[{shown}]" if listed else _swept(key, value) or f"{key}={shown}"
        raise UserError(f"{key} must be a number{limits}", got=_shown(value), todo=todo)
    return number


def choice(key: str, value: Any, options: Sequence[str]) -> str:
    """``value`` if it is one of ``options``; otherwise an error with the nearest.

    What YAML reads as a truth value or as nothing, ``on``, ``off`` and ``null``, is a word here.
    """
    for unread, word in ((True, "on"), (False, "off"), (None, "none")):
        value = word if value is unread and word in options else value
    if isinstance(value, str) and value in options:
        return value
    todo = _swept(key, value) or f"{key}={nearest(str(value), options) or options[0]}"
    raise UserError(f"{key} must be one of {', '.join(options)}", got=repr(value), todo=todo)


def flag(key: str, value: Any) -> bool:
    """``value`` if it is true or false (or yes, no, on, off)."""
    truth = _as(bool, value)
    if truth is _UNFIT:
        guess = "false" if value in (0, "0", None, "") else "true"
        raise UserError(f"{key} must be true or false", got=repr(value), todo=_swept(key, value) or f"{key}={guess}")
    return truth


def text(key: str, value: Any, *, example: str) -> str:
    """``value`` if it is a word that is not empty."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{key} must be a word", got=repr(value), todo=_swept(key, value) or f"{key}={example}")
    return value


def path(key: str, value: Any, *, example: str) -> str:
    """``value`` as a path: not empty, with ``~`` as the home folder."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise UserError(f"{key} must be a path", got=repr(value), todo=_swept(key, value) or f"{key}={example}")
    expanded = os.path.expanduser(str(value))
    if expanded.split("/")[0].startswith("~"):
        raise UserError(f"{key} names a home folder that is not known here", got=value, todo=f"{key}=./{expanded}")
    return expanded


def several(key: str, value: Any, *, example: str) -> tuple[Any, ...]:
    """``value`` as a tuple if it is a list; what is in it is for the caller to check."""
    if not isinstance(value, tuple | list):
        shown = f"[{value}]" if _is_scalar(value) and value not in (None, "", "None", "none") else example
        raise UserError(f"{key} must be a list", got=repr(value), todo=f"{key}={shown}")
    return tuple(value)


def wholes(key: str, value: Any, *, least: int, example: str) -> tuple[int, ...]:
    """``value`` as whole numbers of at least ``least`` if it is a list of them that is not empty."""
    numbers = several(key, value, example=example)
    if not numbers:
        raise UserError(f"{key} must not be empty", got="[]", todo=f"{key}={example}")
    return tuple(whole(key, number, least=least) for number in numbers)


def divides(key: str, value: int, total_key: str, total: int, *, least: int = 1, most: int | None = None) -> None:
    """Require that ``value`` divides ``total``; the message names the nearest divisor that is allowed."""
    if total % value:
        divisors = [d for d in range(least, (most or total) + 1) if total % d == 0]
        best = min(divisors, key=lambda d: (abs(d - value), -d))
        raise UserError(
            f"{key} must divide {total_key} ({total})", got=value, todo=f"{key}={best} (divisors: {divisors[:12]})"
        )


def typed(key: str, value: Any, hint: Any, todo: str) -> Any:
    """``value`` as the annotation ``hint`` has it: int, float, str, bool, a list of these, a mapping, or one of several.

    Raises:
        UserError: it is nothing of the kind; ``todo`` is the advice.
    """
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    for kind in sorted(allowed, key=lambda kind: kind is str):  # a word is what a value is when it is nothing else
        converted = _as(kind, value)
        if converted is not _UNFIT:
            return converted
    words = " or ".join(_WORDS.get(kind, "a list" if _is_list(kind) else "a group of options") for kind in allowed)
    raise UserError(f"{key} must be {words}", got=repr(value), todo=_swept(key, value) or todo)


def as_default(group: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` with each number of the type of its default: 8, 8.0 and "8" are one width, hence one run."""
    known = defaults(group, name)
    converted = {key: _as(type(known[key]), options[key]) for key in options if type(known.get(key)) in (int, float)}
    return {**options, **{key: value for key, value in converted.items() if value is not _UNFIT}}


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
    checked = {}
    for key in names:
        value = defaults(group, name).get(key)
        todo = f"{group}.{key}=" + (f"VALUE, as in {group}/{name}.yaml" if value is None else _plain(value))
        checked[key] = typed(f"{group}.{key}", options[key], hints[key], todo)
    return checked


def unknown_key(key: str, known: Iterable[str], owner: str, value: str = "") -> UserError:
    """The error for a key that does not exist: names the nearest one, with what was given to it, and all of its neighbours."""
    known = sorted(known)
    guess = nearest(key, known)
    listing = ", ".join(known) if known else "none"
    shown = f"{guess}={value}" if value else guess
    todo = f"{shown} (options: {listing})" if guess else f"options: {listing}"
    return UserError(f"{owner} has no option {key}", got=f"{key}={value}" if value else key, todo=todo)


def _as(kind: Any, value: Any) -> Any:
    """``value`` as ``kind``, or ``_UNFIT``."""
    if kind is type(None):
        return None if value is None or (isinstance(value, str) and value.lower() in ("null", "none")) else _UNFIT
    if kind is bool:
        return value if isinstance(value, bool) else _TRUTH.get(value.lower() if isinstance(value, str) else "", _UNFIT)
    if kind in (int, float):
        return _number(kind, value)
    if kind is str:
        number = isinstance(value, int | float) and not isinstance(value, bool)  # YAML reads 2 and inf so
        return str(value) if number or isinstance(value, str) else _UNFIT
    if _is_list(kind):
        inner = (get_args(kind) or (object,))[0]
        entries = [_as(inner, entry) for entry in value] if isinstance(value, list | tuple) else [_UNFIT]
        return _UNFIT if _UNFIT in entries else tuple(entries)
    return value if isinstance(value, get_origin(kind) or kind) else _UNFIT


def _number(kind: type, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return _UNFIT
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _UNFIT
    if kind is float:
        return number
    if _above(_LARGEST, value):
        return _UNFIT
    if isinstance(value, int):
        return value
    return int(number) if math.isfinite(number) and number == int(number) else _UNFIT


def _above(most: int, value: Any) -> bool:
    try:
        return (value if isinstance(value, int) else float(value)) > most
    except (TypeError, ValueError):
        return False


def number_meant(value: Any) -> float | None:
    """The number that a word such as 10k, 1/64, 2^7, 5% or 1'000 stands for; None where there is none."""
    word = re.sub(r"['\s]|(?<=\d),(?=\d{3}\b)", "", str(value)).replace("−", "-").replace("–", "-")
    try:
        if suffix := re.fullmatch(r"([-+]?[\d.]+)([kKmM%])", word):
            return float(f"{float(suffix[1]) * {'k': 1e3, 'm': 1e6, '%': 0.01}[suffix[2].lower()]:.12g}")
        if pair := re.fullmatch(r"([\d.]+)(/|\^|\*\*)([\d.]+)", word):
            first, second = float(pair[1]), float(pair[3])
            return first / second if pair[2] == "/" else first**second
        return float(word) if isinstance(value, str) and math.isfinite(float(word)) else None
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _swept(key: str, value: Any) -> str:
    """A list that was given to a key of one value, as the sweep that it was meant to be."""
    if isinstance(value, str) and re.fullmatch(r"[^,\s]+(, *(?!\d{3}\b)[^,\s]+)+", value):
        value = re.split(", *", value)
    listed = isinstance(value, list | tuple) and value and all(_is_scalar(entry) for entry in value)
    return f"{key}={','.join(str(entry) for entry in value)}" if listed else ""


def _plain(value: Any) -> str:
    """A value of a YAML as one types it."""
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def _is_list(kind: Any) -> bool:
    return (get_origin(kind) or kind) in (tuple, list, Sequence)
