"""Names to builders: the one place where a string of a config becomes a thing of the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from bnexp.errors import UserError, nearest, unknown_name

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

    num_entries: ClassVar[int] = 0  #: of all registries: what tells whether a plugin brought something

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def add(self, name: str, entry: Entry) -> Entry:
        """Register ``entry``; a second entry under one name is our bug or a plugin's, hence ValueError."""
        if name in self._entries:
            raise ValueError(f"two {self.kind} entries are named {name!r}; rename one of them")
        self._entries[name] = entry
        Registry.num_entries += 1
        return entry

    def decorate(self, name: str) -> Callable[[Entry], Entry]:
        """:meth:`add` as a decorator."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            raise self._unknown(name)
        return self._entries[name]

    def _unknown(self, name: str) -> UserError:
        """Of a component: a config has only names whose YAML was found, so that what is missing is its Python."""
        if self.kind not in ("norm", "model", "dataset", "probe"):
            return unknown_name(self.kind, name, self._entries)
        registers = re.compile(rf"""register\(\s*["']{re.escape(name)}["']""")
        here = [
            file.stem for file in sorted(Path().glob("*.py")) if registers.search(file.read_text("utf-8", "replace"))
        ]
        todo = f"plugins=[{here[0]}]" if here else f'plugins=[MODULE], the one with @register("{name}")'
        guess = None if here else nearest(name, self._entries)
        return UserError(
            f"there is no {self.kind} named {name!r}; its YAML was found, its Python was not",
            got=f"{self.kind}={name}",
            todo=todo + (f"; or {self.kind}={guess}" if guess else ""),
        )

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))
