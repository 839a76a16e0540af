"""Settings of the commands that are not configs: ``budget=quick`` and ``--budget quick`` are the same, wherever either is taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bnexp.errors import UserError, nearest


def as_flags(command: str, words: Sequence[str], settings: Sequence[str]) -> list[str]:
    """The words of a command line with each ``key=value`` as ``--key value``, for argparse.

    Args:
        command: e.g. ``list runs``, for the message.
        words: as typed.
        settings: the keys there are.

    Raises:
        UserError: another key before an ``=``.

    Example:
        >>> as_flags("report", ["results", "runs_dir=x", "--json"], ["runs_dir"])
        ['results', '--runs-dir', 'x', '--json']
    """
    flags: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or word.startswith("-") or "/" in key or Path(word).exists():  # a path may have an = in it
            flags.append(word)
        elif key in settings:
            flags += [f"--{key.replace('_', '-')}", value]
        else:
            guess = nearest(key, settings)
            known = ", ".join(f"{name}=" for name in settings)
            todo = f"{guess}={value} (known: {known})" if guess else f"one of {known}"
            raise UserError(f"bnexp {command} has no such setting", got=word, todo=todo)
    return flags
