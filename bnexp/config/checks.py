"""Range checks that print themselves: each returns the value or raises a UserError that says what the value must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bnexp.errors import UserError, nearest


def whole(key: str, value: Any, *, least: int, example: int | None = None) -> int:
    """``value`` if it is an int of at least ``least``.

    Example:
        >>> whole("seed", 3, least=0)
        3
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        example = max(least, 1) if example is None else example
        raise UserError(f"{key} must be a whole number of at least {least}", got=repr(value), todo=f"{key}={example}")
    return value


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
    inside = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not inside or not (above < value < below and least <= value <= most):
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (("above", above), ("at least", least), ("below", below), ("at most", most))
            if math.isfinite(bound)
        ]
        limits = " " + " and ".join(bounds) if bounds else ""
        raise UserError(
            f"{key} must be a number{limits}",
            got=f"{value:g}" if isinstance(value, float) else repr(value),
            todo=f"{key}=[{example:g}]" if listed else f"{key}={example:g}",
        )
    return float(value)


def choice(key: str, value: Any, options: Sequence[str]) -> str:
    """``value`` if it is one of ``options``; otherwise an error with the nearest of them."""
    if value not in options:
        guess = nearest(str(value), options) or options[0]
        raise UserError(f"{key} must be one of {', '.join(options)}", got=repr(value), todo=f"{key}={guess}")
    return value


def flag(key: str, value: Any) -> bool:
    """``value`` if it is true or false."""
    if not isinstance(value, bool):
        raise UserError(f"{key} must be true or false", got=repr(value), todo=f"{key}=true")
    return value


def text(key: str, value: Any, *, example: str) -> str:
    """``value`` if it is a word that is not empty, a path for example."""
    if not isinstance(value, str) or not value:
        raise UserError(f"{key} must be a word", got=repr(value), todo=f"{key}={example}")
    return value


def several(key: str, value: Any, *, example: str) -> tuple[Any, ...]:
    """``value`` if it is a list, which arrives as a tuple; what is in it is for the caller to check."""
    if not isinstance(value, tuple):
        raise UserError(f"{key} must be a list", got=repr(value), todo=f"{key}={example}")
    return value


def divides(key: str, value: int, total_key: str, total: int, *, least: int = 1, most: int | None = None) -> None:
    """Require that ``value`` divides ``total``; the message names the nearest divisor that is allowed."""
    if total % value:
        divisors = [d for d in range(least, (most or total) + 1) if total % d == 0]
        best = min(divisors, key=lambda d: (abs(d - value), -d))
        raise UserError(
            f"{key} must divide {total_key} ({total})", got=value, todo=f"{key}={best} (divisors: {divisors[:12]})"
        )
