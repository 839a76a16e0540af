"""Settings of the commands that are not configs: ``budget=quick`` and ``--budget quick`` are the same, wherever either is taken."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from bnexp.errors import UserError, nearest


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints in our three parts."""

    def error(self, message: str) -> NoReturn:
        """Tell what argparse found wrong; it calls this instead of raising."""
        subject, _, rest = message.partition(": ")
        flag = subject.removeprefix("argument ").split("/")[-1]
        if subject == "unrecognized arguments":
            what = "does not know this flag" if rest.startswith("-") else "takes no more words than it has"
            raise UserError(f"{self.prog} {what}", got=rest, todo=f"{self.prog} --help")
        if rest.startswith("expected"):
            raise UserError(f"{flag} needs a value", got=flag, todo=f"{flag} VALUE   ({self.prog} --help says which)")
        if rest.startswith("ignored explicit argument"):
            raise UserError(f"{flag} takes no value", got=f"{flag}={rest.split()[-1].strip(chr(39))}", todo=flag)
        raise UserError(f"{self.prog} cannot be used like this", got=message, todo=f"{self.prog} --help")


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
        if not equals or word.startswith("-") or "/" in key or os.path.exists(word):  # a path may have an = in it
            flags.append(word)
        elif key in settings:
            flags += [f"--{key.replace('_', '-')}", value]
        else:
            guess = nearest(key, settings)
            known = ", ".join(f"{name}=" for name in settings)
            todo = f"{guess}={value} (known: {known})" if guess else f"one of {known}"
            raise UserError(f"bnexp {command} has no such setting", got=word, todo=todo)
    return flags


def plugin_names(word: str) -> tuple[str, ...]:
    """The modules of a ``plugins=`` setting.

    Example:
        >>> plugin_names("[my_norm, my_claim]"), plugin_names("")
        (('my_norm', 'my_claim'), ())
    """
    return tuple(name.strip() for name in word.strip("[] ").split(",") if name.strip())
