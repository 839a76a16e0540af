"""Runs that are told to stop, by Ctrl-C, a scheduler's SIGTERM or SIGUSR1 or a terminal that closes, save themselves first."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds that a run which is told to stop has for reaching the next point of its training curve, where it can be saved.
GRACE = 3.0

#: The same for processes of ``torchrun``, which kills them 30 s after it told them to stop; a large run's points are far apart.
SHARED_GRACE = 25.0

#: A signal so soon after another is the same one: schedulers and wrappers tell the whole group and then each process as well.
ECHO = 0.5

#: The signal that told this process to stop, once one has: a job on a cluster is queued again after one of them only.
told_by: int | None = None


class Stop:
    """Whether the runs of this process were told to stop, by a signal.

    Attributes:
        gently: training has begun: the first signal waits for the next point where a run can be saved, for ``GRACE`` seconds.
        shared: this is one of the processes that ``torchrun`` began for a run.
    """

    def __init__(self) -> None:
        self.gently = self.shared = False
        self._agree: Callable[[bool], bool] = bool
        self._asked_at: float | None = None
        self._step, self._answer = -1, False

    def share(self, agree: Callable[[bool], bool]) -> None:
        """Several processes share the run; ``agree`` makes an answer of this one that of all."""
        self.shared, self._agree = True, agree

    def at(self, step: int) -> bool:
        """Whether to stop after this step; runs that train as one program are all told the same."""
        if step != self._step:
            self._step, self._answer = step, self._agree(self._asked_at is not None)
        return self._answer

    def signalled(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's signature
        """A signal came: the second one, or the end of the grace, stops at once."""
        global told_by
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at, told_by = now, told_by or number
            if not self.gently:
                raise KeyboardInterrupt
            signal.setitimer(signal.ITIMER_REAL, SHARED_GRACE if self.shared else GRACE)
        elif number == signal.SIGALRM or now - self._asked_at > ECHO:
            raise KeyboardInterrupt


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Inside, SIGTERM, SIGHUP and SIGUSR1 end a run as Ctrl-C does: a scheduler's kill leaves a record that can be continued.

    A process of ``torchrun`` that has stopped hears none of them any more: once one process is gone torchrun tells the others, and
    this one has still to say where the run goes on.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    told_to = (signal.SIGTERM, signal.SIGALRM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
    # a job in the background ignores SIGINT, and one under nohup SIGHUP
    heard = [number for number in told_to if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop.signalled) for number in heard}
    try:
        yield stop
    except KeyboardInterrupt:
        if stop.shared:
            before = dict.fromkeys(before, signal.SIG_IGN)
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
