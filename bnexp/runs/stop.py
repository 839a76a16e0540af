"""Runs that are told to stop, by Ctrl-C or by a scheduler's SIGTERM, save themselves first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds that a run which is told to stop has for reaching the next point of its training curve, where it can be saved.
GRACE = 3.0


class Stop:
    """Whether the runs of this process were told to stop, by Ctrl-C or SIGTERM.

    Attributes:
        gently: training has begun: the first signal waits for the next point where a run can be saved, for ``GRACE`` seconds.
    """

    def __init__(self) -> None:
        self.gently = False
        self._asked = False
        self._step, self._answer = -1, False

    def at(self, step: int) -> bool:
        """Whether to stop after this step; runs that train as one program are all told the same."""
        if step != self._step:
            self._step, self._answer = step, self._asked
        return self._answer

    def signalled(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """A signal came: the second one, or the end of the grace, stops at once."""
        if self._asked or not self.gently:
            raise KeyboardInterrupt
        self._asked = True
        signal.setitimer(signal.ITIMER_REAL, GRACE)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, SIGTERM ends a run as Ctrl-C does: a scheduler's kill leaves a record that can be continued."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [signal.SIGTERM, signal.SIGALRM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a job in the background
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, stop.signalled) for number in numbers}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
