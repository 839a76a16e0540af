"""Names to builders: the one place where a string of a config becomes a thing of the code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from bnexp.errors import unknown_name

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """A dictionary that refuses to overwrite and answers a misspelt name with the nearest one.

    Args:
        kind: the config group it serves, e.g. ``"norm"``.

    Example:
        >>> norms = Registry("norm")
        >>> norms.add("batch", 1)
        1
        >>> norms["batch"], list(norms)
        (1, ['batch'])
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> Entry:
        """Register ``entry``; a second entry under one name is our bug or a plugin's, hence ValueError."""
        if name in self._entries:
            raise ValueError(f"two {self.kind} entries are named {name!r}; rename one of them")
        self._entries[name] = entry
        return entry

    def decorate(self, name: str) -> Callable[[Entry], Entry]:
        """:meth:`add` as a decorator."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
