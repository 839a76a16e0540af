"""Many runs on all cores: one process each with its share of threads, several runs in one program where that pays."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bnexp.config.identity import network_of, run_id
from bnexp.config.schema import ExperimentConfig
from bnexp.config.values import with_value
from bnexp.data.cache import resolve_data_dir
from bnexp.data.source import data_fingerprint
from bnexp.errors import UserError
from bnexp.records.ended import Ended
from bnexp.records.paths import all_attempts
from bnexp.records.reader import RunRecord
from bnexp.runs.folder import Held, Place, done_before, find_place, occupied, told_if_disk_refuses
from bnexp.runs.stop import stoppable
from bnexp.runs.workers import Kind, step_counter
from bnexp.schedule import WORTH_COMPILING, WORTH_COMPILING_TOGETHER

if TYPE_CHECKING:
    from bnexp.runs.run import Recording

#: Steps of training that are worth a process: fewer take less time than it takes to start (some 2 s of importing torch).
WORTH_A_PROCESS = 2_000

#: Where Linux keeps its GPUs: NVIDIA's, AMD's, and those of Windows below it.
GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")

#: Runs in one program on a GPU, where a small net's step costs the same for one run and for many.
STACK_ON_GPU = 64


class Asked(NamedTuple):
    """A run that is asked for: its checked config, and what would have to be typed for it alone."""

    config: ExperimentConfig
    overrides: Sequence[str] = ()


def count_processes(configs: Sequence[ExperimentConfig], wanted: int | None = None) -> int:
    """Processes for these runs: as wanted, else as many as use every core once; one on a GPU, which they would only share."""
    if not configs:
        return 1
    if wanted is not None:
        return min(wanted, len(configs))
    if _on_gpu(configs[0]):
        return 1
    from joblib import cpu_count  # which knows of a container's share of the cores

    threads = max(config.threads or 1 for config in configs)
    worth = sum(config.train.steps for config in configs) // WORTH_A_PROCESS
    return max(1, min(cpu_count() // threads, len(configs), worth))


def count_side_by_side(configs: Sequence[ExperimentConfig], num_processes: int) -> int:
    """Runs of an arm in one program, as ``execution.stack`` says; ``auto`` is many on a GPU and one on a CPU.

    On a CPU a small net's step is mostly arithmetic already, and the stacks' matrices leave the cache (``results/bench``).
    """
    wanted = configs[0].execution.stack
    if wanted != "auto":
        return int(wanted)
    return min(STACK_ON_GPU, -(-len(configs) // num_processes)) if _on_gpu(configs[0]) else 1


def _on_gpu(config: ExperimentConfig) -> bool:
    """Whether ``config`` runs on a GPU; torch, which takes seconds to import, is asked only where there can be one."""
    if config.device == "cpu" or (sys.platform == "linux" and not any(map(os.path.exists, GPUS))):
        return False
    import torch

    return torch.cuda.is_available()


def program(config: ExperimentConfig) -> ExperimentConfig:
    """What decides a run's program: everything but seed and learning rate. Runs with equal programs can train as one."""
    return with_value(with_value(with_value(config, "seed", 0), "optimizer.lr", 1.0), "force", False)


def step_of(config: ExperimentConfig) -> str:
    """The part of its program that a training step depends on: runs with equal steps pay for one compilation."""
    train, optimizer = config.train, replace(config.optimizer, lr=1.0)
    net = (network_of(config.model), config.norm, config.dataset.name)
    return repr((*net, optimizer, train.batch_size, train.pass_size, train.only))


def expected_steps(config: ExperimentConfig) -> int:
    """Steps that a run is likely to make; where it may stop at a goal, a quarter of its own, as tuning runs at quick turned out."""
    return config.train.steps // (4 if config.train.may_stop else 1)


def kind_of(configs: Sequence[ExperimentConfig]) -> Kind:
    """Which process runs that train as one program had better go to: compiled ones where their step is; their steps are what they
    cost.
    """
    wanted = configs[0].execution.compile
    if wanted == "off" or (wanted == "auto" and configs[0].train.steps < WORTH_COMPILING):
        return Kind()
    return Kind(step_of(configs[0]), sum(map(expected_steps, configs)), WORTH_COMPILING_TOGETHER)


def stacks(configs: Sequence[ExperimentConfig], size: int) -> list[list[int]]:
    """Places of runs that can train as one program, at most ``size`` of them.

    One that draws noise as it trains is alone, and so is one that may stop before the others would.
    """
    if size == 1:
        return [[place] for place in range(len(configs))]
    from bnexp.config.plugins import import_plugins
    from bnexp.engine.step import reason_for_eager

    groups: dict[str, list[list[int]]] = {}
    for place, config in enumerate(configs):
        import_plugins(config.plugins)
        alone = f"{place}" if config.train.may_stop or reason_for_eager(config) else ""
        rows = groups.setdefault(f"{program(config)!r}{alone}", [[]])
        if len(rows[-1]) == size:
            rows.append([])
        rows[-1].append(place)
    return [row for rows in groups.values() for row in rows]


def find_complete(configs: Sequence[ExperimentConfig]) -> list[RunRecord | None]:
    """The complete record of each run that has one, see :func:`find_places`."""
    return [place.complete if place else None for place in find_places(configs)]


def find_places(configs: Sequence[ExperimentConfig]) -> list[Place | None]:
    """What there is of each run, from the folder alone: a folder is listed once, and torch not imported.

    None where only the run itself can tell: one that is forced, whose precision is not known yet, or that needs plugins.
    """
    listed: dict[str, dict[str, list[Path]]] = {}
    hashes: dict[str, str] = {}
    found: list[Place | None] = []
    for config in configs:
        if config.force or config.execution.precision == "auto" or config.plugins:
            found.append(None)
            continue
        folders = listed.setdefault(config.runs_dir, {}) or all_attempts(Path(config.runs_dir))
        listed[config.runs_dir] = folders
        try:
            name = run_id(config, data_fingerprint(config.dataset, resolve_data_dir(config.data_dir), hashes))
        except UserError:  # the run will say so
            found.append(None)
            continue
        found.append(find_place(Path(config.runs_dir), name, False, folders.get(name, ())))
    return found


def attempt(asked: Sequence[Asked], show: bool = False, wait: bool = False) -> list[Ended]:
    """Carry out runs as one program, or one run by itself; whatever stops them becomes words."""
    from bnexp.runs.run import execute

    start = time.perf_counter()
    try:
        answers = [execute(*asked[0], step_counter() or show, wait)] if len(asked) == 1 else execute_together(asked)
    except Exception as error:  # one run's bug must not cost the others their turn
        answers = [in_words(error)] * len(asked)
    seconds = time.perf_counter() - start
    return [
        replace(ended, seconds=seconds, overrides=tuple(one.overrides))
        for one, ended in zip(asked, answers, strict=True)
    ]


def in_words(error: Exception) -> Ended:
    """What kept a run from beginning."""
    if isinstance(error, UserError):
        status = "held" if isinstance(error, Held) else "refused"
        got = "" if error.got is None else f"got: {error.got}; "
        return Ended(status=status, reason=" ".join(f"{error.what} ({got}try: {error.todo})".split()))
    return Ended(status="failed", reason=f"{type(error).__name__}: {error}")


def execute_together(asked: Sequence[Asked]) -> list[Ended]:
    """What :func:`bnexp.runs.run.execute` does, for all runs at once: how each ended, or what stopped it, in their order.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same command continues from the last checkpoints.
    """
    from bnexp.engine.build import build, load_data
    from bnexp.engine.ensemble import pays_together
    from bnexp.runs.run import Recording, request

    answers: dict[int, Ended] = {}
    recordings: dict[int, Recording] = {}
    hashes: dict[str, str] = {}
    with stoppable() as stop, ExitStack() as open_folders:
        data = None
        for place, one in enumerate(asked):
            try:
                wanted = request(*one, hashes)
                if complete := find_place(*wanted.where).complete:
                    answers[place] = done_before(complete)
                    continue
                data = data or load_data(wanted.config)
                experiment = build(wanted.config, data)
                if not pays_together(experiment):
                    break
                found = open_folders.enter_context(occupied(*wanted.where))
                if found.complete:  # another process has ended it meanwhile
                    answers[place] = done_before(found.complete)
                    continue
                with told_if_disk_refuses(found.folder):
                    recordings[place] = Recording(wanted, experiment, found, stop)
                    recordings[place].alone = len(asked) == 1
            except UserError as error:
                answers[place] = in_words(error)
        stop.gently = True
        for resumed_at in {recording.resumed_at for recording in recordings.values()}:
            group = {p: recording for p, recording in recordings.items() if recording.resumed_at == resumed_at}
            _train_together(list(group.values()), resumed_at)
            answers |= {place: recording.ended for place, recording in group.items()}
    return [answers.get(place) or attempt([one])[0] for place, one in enumerate(asked)]


def _train_together(recordings: Sequence[Recording], resumed_at: int | None) -> None:
    """One program for runs that are at the same step; a failure is everybody's."""
    from bnexp.engine.ensemble import Member, train_together
    from bnexp.engine.journal import ShareOfStopwatch, Stopwatch
    from bnexp.runs.run import kept

    whole = Stopwatch()
    with told_if_disk_refuses(recordings[0].folder.parent), kept(recordings):
        members = [
            Member(
                one.experiment,
                one.journal(ShareOfStopwatch(whole, len(recordings), one.spent), step_counter() or False),
                one.offer,
            )
            for one in recordings
        ]
        for one, ended in zip(recordings, train_together(members, whole, resumed_at), strict=True):
            one.conclude(ended)
