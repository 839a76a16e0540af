"""Processes that work side by side: one thread each, started once, none of which outlives its parent."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import wait as wait_for_handles
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from bnexp.records.ended import Ended
from bnexp.runs import stop

Group = TypeVar("Group", bound=Sequence[Any])

#: Seconds that processes have for saving their runs when all is told to stop; then they are killed.
STOPPING = 5.0

#: In the reason of a run that failed on a GPU: whatever its process asks of the GPU from then on fails in the same way.
LOST_GPU = "CUDA error"

#: Seconds between two looks at how far the processes are.
LOOK = 0.5

#: Signals that are meant for those that train; Windows has one of them.
FOR_THEM = {getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)}

#: What the process that others are copies of imports for all of them.
IMPORTED = "bnexp.runs.imported"


class Kind(NamedTuple):
    """What a process has to make ready before its first group of a kind, and keeps for the next: a compiled step.

    Attributes:
        name: groups of one name share what was made; empty where there is nothing to make.
        cost: of carrying out the group, in any unit.
        worth: cost of the waiting groups of this name from which a second process makes it ready as well.
    """

    name: str = ""
    cost: float = 0.0
    worth: float = 0.0


class Workers:
    """So many processes of one thread each, which keep what they have imported and compiled from one :meth:`work` to the next.

    A process that dies, or loses its GPU, costs its own group only. When the caller stops, by an exception or a signal, the
    processes are told to, and have ``STOPPING`` seconds; when the caller is killed, they notice and stop themselves.

    Args:
        count: at a time; 1 stays in this process.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._context: BaseContext | None = None
        self._steps: Any = None
        self._free: list[ProcessPoolExecutor] = []
        self._ready: dict[ProcessPoolExecutor, str] = {}
        self._at_work: dict[Future[list[Ended]], tuple[int, ProcessPoolExecutor]] = {}
        self._cold = True

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None or self._at_work:
            _stop_all([*self._free, *(executor for _, executor in self._at_work.values())])
        for executor in self._free:
            executor.shutdown()

    def work(
        self,
        groups: Sequence[Group],
        carry_out: Callable[[Group], list[Ended]],
        look: Callable[[int], None] | None = None,
        kind: Callable[[Group], Kind] = lambda _: Kind(),
    ) -> Iterator[tuple[int, list[Ended]]]:
        """Carry out groups of runs; yields a group's place and answers as it ends.

        Args:
            groups: each of them goes to one process. The caller may append to them as answers come.
            carry_out: what is done with a group; importable, because a process is sent its name.
            look: is told twice a second how many steps of training all processes have done together.
            kind: of a group; those of one kind go to one process, the costliest kinds first.
        """
        waiting, ready = Waiting(groups, kind), ""
        while self.count == 1 and waiting.look():
            place, ready = waiting.pick(ready) or (0, "")
            yield place, carry_out(groups[place])
        answers: list[tuple[int, list[Ended]]] = []
        while waiting.look() or self._at_work or answers:
            self._set_to_work(waiting, groups, carry_out)
            yield from answers  # whose caller may take its time
            done, _ = wait(self._at_work, timeout=LOOK, return_when=FIRST_COMPLETED)
            if look:
                look(self._steps.value)
            answers = []
            for future in done:
                place, executor = self._at_work.pop(future)
                self._cold &= not self._ready.get(executor)
                error = future.exception()
                ended = future.result() if error is None else [_died(error)] * len(groups[place])
                if isinstance(error, BrokenProcessPool) or any(LOST_GPU in one.reason for one in ended):
                    executor = self._replace(executor)
                self._free.append(executor)
                answers.append((place, ended))

    def _set_to_work(self, waiting: Waiting, groups: Sequence[Group], carry_out: Callable[[Group], list[Ended]]) -> None:
        """Give every free process a group, as far as there are any for it."""
        busy = len(self._free) + len(self._at_work)
        self._free += [self._hire() for _ in range(min(self.count, waiting.count + len(self._at_work)) - busy)]
        for executor in list(self._free):
            held = {self._ready.get(other, "") for _, other in self._at_work.values()}
            if picked := waiting.pick(self._ready.get(executor, ""), held, self._cold and any(held)):
                place, ready = picked
                self._free.remove(executor)
                used, future = self._submit(executor, carry_out, groups[place])
                self._ready[used] = ready
                self._at_work[future] = (place, used)

    def _hire(self) -> ProcessPoolExecutor:
        """A pool of one process: when that is killed, only the group it was at is lost, and another takes its place."""
        if self._context is None:  # here, so that a command with nothing to train starts nothing
            self._context = _start_copying()
            self._steps = self._context.Value("q", 0)
        return ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin_work, initargs=(self._steps,))

    def _replace(self, killed: ProcessPoolExecutor) -> ProcessPoolExecutor:
        killed.shutdown(wait=False)
        self._ready.pop(killed, None)
        return self._hire()

    def _submit(
        self, executor: ProcessPoolExecutor, carry_out: Callable[[Group], list[Ended]], group: Group
    ) -> tuple[ProcessPoolExecutor, Future[list[Ended]]]:
        try:
            return executor, executor.submit(_work, carry_out, group)
        except BrokenProcessPool:  # it was killed while it had nothing to do
            fresh = self._replace(executor)
            return fresh, fresh.submit(_work, carry_out, group)


class Waiting:
    """Groups that no process has taken, by kind in the order they came.

    Args:
        groups: all of them; more may come.
        kind: of a group.
    """

    def __init__(self, groups: Sequence[Group], kind: Callable[[Group], Kind]) -> None:
        self._groups, self._kind, self._seen = groups, kind, 0
        self._kinds: dict[str, deque[tuple[int, Kind]]] = {}

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._kinds.values()))

    def look(self) -> bool:
        """Take in the groups that have come, and say whether any waits."""
        for place in range(self._seen, len(self._groups)):
            kind = self._kind(self._groups[place])
            self._kinds.setdefault(kind.name, deque()).append((place, kind))
        self._seen = len(self._groups)
        return self.count > 0

    def pick(self, ready: str, held: Collection[str] = (), cold: bool = False) -> tuple[int, str] | None:
        """The place of a process's next group and what the process has ready then; None where it had better wait.

        Its own kind comes first, then the costliest that nobody is at, then groups of no kind, with which all end together.

        Args:
            ready: the kind that the process has made ready.
            held: those of the processes that are at work.
            cold: one of these makes ready the first kind of all. What that takes is half a compiler's own start on this machine,
                which another process had better find done.
        """
        cost = {name: sum(kind.cost for _, kind in waiting) for name, waiting in self._kinds.items() if waiting}
        named = sorted(cost.keys() - {""}, key=lambda name: -cost[name])
        own = [name for name in named if name == ready]
        free = [name for name in named if name not in held]
        shared = [name for name in named if name in held and cost[name] >= self._kinds[name][0][1].worth]
        plain = [name for name in cost if not name]
        for name in (*own, *(plain if cold else ()), *free, *plain, *shared):
            return self._kinds[name].popleft()[0], name or ready
        return None


def step_counter() -> Callable[[int], None] | None:
    """In a process that is one of several, what adds to the number of steps that all of them have done."""
    return _count_steps


_count_steps: Callable[[int], None] | None = None


def _died(error: BaseException) -> Ended:
    if isinstance(error, BrokenProcessPool):
        reason = "its process was killed, perhaps for want of memory; the same command tries it again"
        return Ended(status="interrupted", reason=reason)
    return Ended(status="failed", reason=f"{type(error).__name__}: {error}")


def _stop_all(executors: Sequence[ProcessPoolExecutor]) -> None:
    """Tell the processes to save their runs and end; kill those that do not."""
    processes = multiprocessing.active_children()
    for executor in executors:
        executor.shutdown(wait=False, cancel_futures=True)
    try:
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + STOPPING
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C does not wait
        for process in processes:
            process.kill()


def _start_copying() -> BaseContext:
    """How processes are started: each anew, but on Linux as copies of one that has imported torch, which takes that 2 s once.

    That one, and the one with which Python counts semaphores, end with this process and not before: a signal to all of a terminal's
    processes is for those that train. Each is started anew where copies are not safe, because system libraries start threads; by
    Python 3.10, which would import from the working folder; and where no socket can be made (a long ``TMPDIR``, a full disk).
    """
    anew = multiprocessing.get_context("spawn")
    if sys.platform != "linux" or sys.version_info < (3, 11):
        return anew
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([IMPORTED])
    before, environment = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THEM), dict(os.environ)
    try:
        os.environ["PYTHONPATH"] = os.pathsep.join(place or os.getcwd() for place in sys.path)  # it imports the files that we do
        for start in (resource_tracker.ensure_running, forkserver.ensure_running):
            signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THEM)  # again, because the first one lets SIGTERM through
            start()
    except OSError:
        return anew
    finally:
        os.environ.pop("PYTHONPATH", None)
        os.environ.update(environment)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _begin_work(counter: Any) -> None:
    """In a process that is one of several, before its first run."""
    global _count_steps
    stop.ECHO = math.inf  # its parent passes on what it has heard itself, however late, and kills what takes too long
    os.environ.setdefault("BNEXP_THREADS", "1")
    for number in (signal.SIGINT, signal.SIGHUP):  # these reach the parent, which tells its processes
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THEM)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def add(steps: int) -> None:
        with counter.get_lock():
            counter.value += steps

    _count_steps = add


def _end_with_parent() -> None:
    """Nobody trains on for a command that is no more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for_handles([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOPPING)
    os._exit(1)


def _work(carry_out: Callable[[Group], list[Ended]], group: Group) -> list[Ended]:
    """In a process: one that is told to stop answers so, and lives on for its parent to end it."""
    try:
        return carry_out(group)
    except KeyboardInterrupt as error:
        return [Ended(status="interrupted", reason=f"stopped; {error}" if str(error) else "stopped")] * len(group)
