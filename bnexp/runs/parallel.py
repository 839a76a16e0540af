"""Many runs on all cores: one process each with its share of threads, several runs in one program where that pays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from joblib import Parallel, cpu_count, delayed

from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError

Asked = tuple[ExperimentConfig, Sequence[str]]

#: Below this many steps in all, starting processes (some 4 s of importing torch each) takes longer than it saves.
WORTH_PROCESSES = 10_000

#: Runs in one program on a GPU, where a small net's step costs the same for one run and for many.
STACK_ON_GPU = 64


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended, in words that can be sent from process to process.

    Attributes:
        status: ``finished``, ``diverged``, ``failed`` or ``refused``.
        skipped: it had been complete before.
        folder: its record; empty for a failed or refused one.
        reason: why it failed or was refused, in one line.
        seconds: that it took; of a program of many, the program's.
    """

    status: str
    skipped: bool = False
    folder: str = ""
    reason: str = ""
    seconds: float = 0.0


def count_processes(configs: Sequence[ExperimentConfig], wanted: int | None = None) -> int:
    """Processes for these runs: as wanted, else as many as use every core once; one on a GPU, which they would only share."""
    if wanted is not None:
        return wanted
    if _on_gpu(configs[0]) or sum(config.train.steps for config in configs) < WORTH_PROCESSES:
        return 1
    threads = max(config.threads or 1 for config in configs)
    return max(1, min(cpu_count() // threads, len(configs)))


def count_side_by_side(configs: Sequence[ExperimentConfig], num_processes: int) -> int:
    """Runs of an arm in one program, as ``execution.stack`` says; ``auto`` is many on a GPU and one on a CPU.

    On a CPU a small net's step is mostly arithmetic already, and the stacks' matrices leave the cache (``results/bench``).
    """
    wanted = configs[0].execution.stack
    if wanted != "auto":
        return int(wanted)
    return min(STACK_ON_GPU, -(-len(configs) // num_processes)) if _on_gpu(configs[0]) else 1


def _on_gpu(config: ExperimentConfig) -> bool:
    if config.device == "cpu":
        return False
    import torch

    return torch.cuda.is_available()


def in_parallel(tasks: Sequence[Callable[[], list[Ended]]], num_processes: int) -> Iterator[tuple[int, list[Ended]]]:
    """Carry out tasks in so many processes, several of one thread each; yields a task's place and answer as it ends."""
    if num_processes > 1:
        os.environ.setdefault("BNEXP_THREADS", "1")
    numbered = (delayed(_numbered)(place, task) for place, task in enumerate(tasks))
    yield from Parallel(n_jobs=num_processes, return_as="generator_unordered")(numbered)


def _numbered(place: int, task: Callable[[], list[Ended]]) -> tuple[int, list[Ended]]:
    return place, task()


def attempt(asked: Sequence[Asked], show: bool = False) -> list[Ended]:
    """Carry out runs as one program, or one run by itself; whatever stops them becomes words."""
    from bnexp.runs.execute import Result, execute
    from bnexp.runs.together import execute_together

    start = time.perf_counter()
    answers: list[Result | Exception]
    try:
        answers = [execute(*asked[0], show)] if len(asked) == 1 else [*execute_together(asked)]
    except Exception as error:  # one run's bug must not cost the others their turn
        answers = [error] * len(asked)
    seconds = time.perf_counter() - start
    return [replace(_in_words(answer), seconds=seconds) for answer in answers]


def _in_words(answer: object) -> Ended:
    from bnexp.runs.execute import Result, RunFailed

    if isinstance(answer, Result):
        return Ended(status=answer.record.status, skipped=answer.skipped, folder=str(answer.record.folder))
    if isinstance(answer, UserError):
        return Ended(status="refused", reason=" ".join(str(answer).split()))
    if isinstance(answer, RunFailed):
        return Ended(status="failed", reason=f"{answer.reason} (see {answer.folder})")
    return Ended(status="failed", reason=f"{type(answer).__name__}: {answer}")
