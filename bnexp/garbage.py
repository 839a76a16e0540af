"""Python's search for garbage, where there is none to find."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def none_searched() -> Iterator[None]:
    """Inside, many things are made that are all to stay, and the search among them would take a fifth of the time: torch's modules
    (2.5 instead of 2.9 s of importing), a million rows.
    """
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()
