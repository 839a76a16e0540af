"""The same work on many things, on all cores where a process can be forked safely: for judging and drawing."""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, TypeVar

Made = TypeVar("Made")

#: What a process does.
_do: Callable[[int], Any]


def for_each(do: Callable[[int], Made], count: int, least: int, doing: str = "") -> list[Made]:
    """``[do(0), ..., do(count - 1)]``; what fails in a process, or cannot be sent, is done again here.

    Args:
        do: reads whatever it likes of this process as it is now.
        count: how many there are.
        least: so many of them are worth a process.
        doing: stands before the bar that a terminal shows meanwhile; without it there is none.
    """
    from joblib import cpu_count  # which knows of a container's share of the cores, and is slow to import
    from tqdm import tqdm

    jobs = min(cpu_count(), count // least)
    shape = "{desc} |{bar}| {n_fmt}/{total_fmt}, {remaining} left"
    shown = partial(tqdm, total=count, desc=doing, bar_format=shape, leave=False, disable=None if doing else True)
    if jobs < 2 or sys.platform != "linux":
        return [do(place) for place in shown(range(count))]
    with warnings.catch_warnings():
        # Python 3.12 warns of any thread; the only ones here are those of numpy's products, which are made for forking
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, context, initializer=_take, initargs=(do,)) as pool:
            answers = [pool.submit(_done, place) for place in range(count)]
            return [do(place) if one.exception() else one.result() for place, one in enumerate(shown(answers))]


def _take(do: Callable[[int], Any]) -> None:
    global _do  # of a process of its own, which has it by being forked: not every function can be sent
    _do = do


def _done(place: int) -> Any:
    return _do(place)
