"""What a user may get wrong, said in three parts: what is wrong, what we got, what to do."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable


def program() -> str:
    """How the user calls bnexp: the checkout's script names itself here."""
    return os.environ.get("BNEXP_PROGRAM", "bnexp")


def as_called(text: str) -> str:
    """Advice with the commands in it as the user calls them: ``bnexp look`` as ``./scripts/bnexp look`` where that was typed.

    Example:
        >>> as_called("bnexp look --open")
        'bnexp look --open'
    """
    return re.sub(r"(?<![\w/.-])(?<!-m )bnexp(?= [a-z-])", lambda _: program(), text)


class UserError(Exception):
    """A mistake a user can mend: printed without a traceback, exit code 2.

    Args:
        what: what is wrong, as a sentence without its full stop.
        got: the offending value, as the user would recognise it; left out when there is none.
        todo: what to type or do instead, with commands as ``bnexp ...`` (:func:`as_called` makes them the user's).

    Example:
        >>> print(UserError("seed must be a whole number of at least 0", got=-1, todo="seed=0"))
        seed must be a whole number of at least 0
          got: -1
          try: seed=0
    """

    def __init__(self, what: str, *, got: object = None, todo: str) -> None:
        todo = as_called(todo)
        self.what, self.got, self.todo = what, got, todo
        lines = [what]
        if got is not None:
            lines.append(f"  got: {got}")
        lines.append(f"  try: {todo}")
        super().__init__("\n".join(lines))


def about_memory(error: Exception) -> UserError | None:
    """What a user is told who asks for more than fits; torch says so by a RuntimeError, in words of several kinds."""
    words = r"can't allocate memory|not enough memory|out of memory|[Ss]torage size calculation overflowed"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and re.search(words, str(error))):
        asked = re.search(r"tried? to allocate ([\d.]+ \w+)", str(error))
        got = f"{asked[1]} in one piece" if asked else str(error).partition("\n")[0] or None
        return UserError("this takes more memory than there is", got=got, todo="a smaller model, or less of it at once")
    return None


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The choice that looks most like ``word``, or None when none is like it to ``cutoff``; capitals and signs do not count.

    Example:
        >>> nearest("bacth", ["batch", "layer"]), nearest("LayerNorm", ["batch", "layer"])
        ('batch', 'layer')
    """
    plain = {_plain(choice): choice for choice in choices}
    name = _plain(word)
    starts = [one for one in plain if len(one) > 2 and name.startswith(one)]
    best = max(starts, key=len) if starts and name not in plain else name
    matches = difflib.get_close_matches(best, list(plain), n=1, cutoff=cutoff)
    return plain[matches[0]] if matches else None


def _plain(word: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", word.lower())


#: Names that fit into a message.
MOST_LISTED = 50

#: Groups whose names are not words for one of theirs.
SINGULAR = {"probes": "choice of probes", "debug": "debug setting"}


def unknown_name(kind: str, name: str, choices: Iterable[str], guess: str | None = None) -> UserError:
    """The error for a name that no registry, folder or schema knows; ``guess`` is what it may mean, by default the nearest.

    All names stand in it, or the command that lists them where they are more than ``MOST_LISTED``.

    Example:
        >>> print(unknown_name("norm", "bacth", ["batch", "layer"]))
        there is no norm named 'bacth'
          got: norm=bacth
          try: norm=batch (known: batch, layer)
    """
    known = sorted(choices)
    guess = guess or nearest(str(name), known)
    listing = f"known: {', '.join(known)}" if len(known) <= MOST_LISTED else f"all of them: bnexp list {kind}s"
    todo = f"{kind}={guess} ({listing})" if guess else f"one of these; {listing}"
    return UserError(f"there is no {SINGULAR.get(kind, kind)} named {name!r}", got=f"{kind}={name}", todo=todo)
