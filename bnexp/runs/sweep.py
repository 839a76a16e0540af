"""A sweep: which of its runs are complete, the others on all cores or through Hydra's launcher, and what is told meanwhile."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bnexp.config.compose import run_hydra, varied_keys
from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.records import paths
from bnexp.records.ended import Ended
from bnexp.records.reader import RunRecord
from bnexp.runs.folder import Place, done_before, find_place, make_runs_dir, told_if_disk_refuses
from bnexp.runs.many import (
    Asked,
    attempt,
    count_processes,
    count_side_by_side,
    find_complete,
    find_places,
    kind_of,
    stacks,
)
from bnexp.runs.stop import stoppable
from bnexp.runs.workers import Kind, Workers
from bnexp.stats.verdict import counted

if TYPE_CHECKING:
    from bnexp.runs.cluster import Lost, Queue


class TooManyFailures(Exception):  # noqa: N818 - how a sweep ends
    """As many runs of a sweep have failed as it was told to bear."""


#: Seconds between two lines about how far a sweep is, where there is no terminal.
LINE = 10.0

#: More runs than this that were complete already are told in one line.
MOST_TOLD = 50


@dataclass
class Told:
    """What a sweep tells while it goes on: a line for each run that ends; between them a bar, or a line now and then.

    Attributes:
        num_runs: in all.
        num_steps: of training, of the runs that were not complete.
        varied: the keys that tell the runs apart.
        done: runs that have ended.
    """

    num_runs: int
    num_steps: int
    varied: tuple[str, ...]
    done: int = 0
    _started: float = field(default_factory=time.monotonic)
    _last_line: float = field(default_factory=time.monotonic)
    _steps: int = 0
    _bar: Any = None
    _refused: set[str] = field(default_factory=set)

    def ended(self, ended: Ended, steps: int = 0) -> None:
        """A run ended; ``steps`` more of training are done, where nobody else counts them. What refuses many runs is told once."""
        self.done += 1
        self._steps += steps
        if ended.status == "refused":
            if ended.reason in self._refused:
                return
            self._refused.add(ended.reason)
        name = " ".join(word for word in ended.overrides if word.split("=")[0].lstrip("+") in self.varied)
        words = ended.reason if not ended.complete else "was complete already" if ended.skipped else ended.status
        self.line(
            f"[{self.done}/{self.num_runs}] {name}: {words}" + (self._left() if self.done < self.num_runs else "")
        )

    def look(self, steps: int, doing: str = "") -> None:
        """All processes have done so many steps together, and are doing this."""
        self._steps = steps
        if self._bar is None:
            hidden = True if sys.stderr is None else None
            self._bar = tqdm(
                total=self.num_steps, unit="step", unit_scale=True, dynamic_ncols=True, leave=False, disable=hidden
            )
        self._bar.set_description(f"[{self.done}/{self.num_runs}] {doing}".rstrip(), refresh=False)
        self._bar.update(steps - self._bar.n)
        if self._bar.disable and time.monotonic() - self._last_line > LINE:
            words = doing or f"{steps:,} of {self.num_steps:,} steps"
            self.line(f"[{self.done}/{self.num_runs}] {words}{self._left()}")

    def line(self, words: str) -> None:
        """A line above the bar; a terminal that is gone is no reason to stop."""
        self._last_line = time.monotonic()
        try:
            tqdm.write(words, file=sys.stderr)
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            pass

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    def _left(self) -> str:
        if not self._steps:
            return ""
        left = (time.monotonic() - self._started) / self._steps * max(self.num_steps - self._steps, 0)
        return f"; about {left:.0f} s left"


def sweep(configs: Sequence[ExperimentConfig], words: Sequence[Sequence[str]], typed: Sequence[str]) -> list[Ended]:
    """Carry out every run of a sweep; returns how each ended, in that order.

    Args:
        configs: the runs, already checked.
        words: what would have to be typed for each run alone.
        typed: what was typed, sweeps unexpanded; a launcher or sweeper of Hydra's among it is left to Hydra, a cluster's but for
            the waiting.

    Raises:
        KeyboardInterrupt: with words that say how far it came.
    """
    overrides = [word for word in typed if not word.startswith("-")]
    varied = varied_keys(overrides)
    queue = None
    if any(override.startswith(("hydra/", "hydra.", "+hydra.")) for override in overrides):
        from bnexp.runs.cluster import find_queue

        queue = find_queue(typed, Path(configs[0].runs_dir))
        if queue is None:
            return _by_hydra(configs, typed, varied)
    asked = [Asked(config, tuple(word)) for config, word in zip(configs, words, strict=True)]
    before = [_ended_before(place, configs[0].retry) if place else None for place in find_places(configs)]
    rest = [one for one, ended in zip(asked, before, strict=True) if ended is None]
    remaining = [one.config for one in rest]
    num_processes = count_processes(remaining, configs[0].execution.jobs)
    told = Told(len(asked), sum(config.train.steps for config in remaining), varied)
    if not rest:
        return _told_before(asked, before, told)
    answers = _in_jobs(rest, queue, told) if queue else _in_processes(rest, num_processes, told)
    manifest = _manifest(Path(configs[0].runs_dir))
    how = counted(len(rest), "job") if queue else f"{num_processes} process{'es' * (num_processes > 1)}"
    complete = sum(bool(ended and ended.complete) for ended in before)
    failed = len(asked) - len(rest) - complete
    states = f"{complete:,} complete{f', {failed:,} failed before' if failed else ''}"
    told.line(f"{counted(len(asked), 'run')}, {states}, {how}, into {configs[0].runs_dir}")
    ended = _told_before(asked, before, told) + _carry_out(rest, answers, told, manifest)
    if all(one.status == "refused" for one in ended):
        _take_back(manifest)
    return ended


def _ended_before(place: Place, retry: str) -> Ended | None:
    """How a run ended before; None where it is to be tried."""
    if place.complete:
        return done_before(place.complete)
    if place.failed is None or retry == "failed":
        return None
    reason = f"failed before ({place.failed.end.get('reason', 'no reason is known')}); retry=failed tries it again"
    return Ended(status="failed", skipped=True, folder=str(place.failed.folder), reason=reason)


def _told_before(asked: Sequence[Asked], before: Sequence[Ended | None], told: Told) -> list[Ended]:
    """The runs that ended before, told one by one; complete ones in one line where they are many."""
    ended = [replace(end, overrides=tuple(one.overrides)) for one, end in zip(asked, before, strict=True) if end]
    complete = [one for one in ended if one.complete]
    many = len(complete) > MOST_TOLD
    if many:
        told.done = len(complete)
        told.line(f"[{told.done}/{told.num_runs}] {len(complete):,} runs were complete already")
    for one in ended:
        if not (many and one.complete):
            told.ended(one)
    return ended


#: A run, how it ended, and the steps of training that nobody else has counted.
Answers = Generator[tuple[Asked, Ended, int], None, None]


def _carry_out(rest: Sequence[Asked], answers: Answers, told: Told, manifest: Path) -> list[Ended]:
    """Write down and tell how each run ends."""
    ended: list[Ended] = []
    most = rest[0].config.max_failures or math.inf
    try:
        with stoppable(), closing(answers):
            for one, answer, steps in answers:
                ended.append(replace(answer, overrides=tuple(one.overrides)))
                try:
                    _note(manifest, ended[-1])
                except UserError as error:  # the other runs may fit where this line did not
                    told.line(f"{manifest} lacks a line: {error.what}")
                told.ended(ended[-1], steps)
                if sum(one.status == "failed" for one in ended) >= most:
                    raise TooManyFailures
    except TooManyFailures:
        reason = f"stopped: {counted(int(most), 'run')} failed (max_failures={most}); the same command goes on"
        told.line(reason)
        known = {one.overrides for one in ended}
        left = [tuple(one.overrides) for one in rest if tuple(one.overrides) not in known]
        ended += [Ended(status="interrupted", reason=reason, overrides=words) for words in left]
    except KeyboardInterrupt as error:
        done = told.num_runs - len(rest) + sum(one.complete for one in ended)
        last = str(error) or "the same command continues"
        raise KeyboardInterrupt(f"{done} of {told.num_runs} runs are complete; {last}") from None
    finally:
        told.close()
    return ended


def _in_processes(rest: Sequence[Asked], num_processes: int, told: Told) -> Answers:
    """On this machine; runs that another process is at come last, once it has ended them."""
    configs = [one.config for one in rest]
    groups = [[rest[place] for place in row] for row in stacks(configs, count_side_by_side(configs, num_processes))]
    held: list[Asked] = []

    def kind(group: Sequence[Asked]) -> Kind:
        return kind_of([one.config for one in group])

    with Workers(num_processes) as workers:
        for number, answers in workers.work(groups, partial(attempt, show=num_processes == 1), told.look, kind):
            for one, answer in zip(groups[number], answers, strict=True):
                if answer.status == "held":
                    held.append(one)
                else:
                    yield one, answer, one.config.train.steps if num_processes == 1 else 0
        for one in held:
            if find_complete([one.config]) == [None]:  # else it was asked for twice here, and has ended
                told.line(f"waiting for another process, which is at {' '.join(one.overrides)}")
            (answer,) = attempt([one], show=True, wait=True)
            yield one, answer, one.config.train.steps


def _in_jobs(rest: Sequence[Asked], queue: Queue, told: Told) -> Answers:
    """On a cluster, a job a run, submitted at once. What a job that is gone has left on disk says how its run ended."""
    from bnexp.runs.cluster import Lost

    folders = [_folder(one.config, place) for one, place in zip(rest, find_places([one.config for one in rest]), strict=True)]
    done = 0
    work = queue.work(in_job, [(one,) for one in rest], lambda words: told.look(done, words))

    def answers() -> Answers:
        nonlocal done
        with closing(work):
            for place, answer in work:
                done += rest[place].config.train.steps
                yield rest[place], _left_behind(folders[place], answer) if isinstance(answer, Lost) else answer, 0

    return answers()


def in_job(one: Asked) -> Ended:
    """What a job on a cluster does; its log says how the run went. A run that an older job is at is waited for."""
    (ended,) = attempt([one], show=True, wait=True)
    print(f"{' '.join(one.overrides)}: {ended.status} {ended.reason}", file=sys.stderr)
    return ended


def _folder(config: ExperimentConfig, place: Place | None) -> Path | None:
    """Where a run will be recorded; None where only the run itself can say."""
    if place is not None:
        return place.folder
    from bnexp.runs.run import request

    try:
        return find_place(*request(config).where).folder
    except UserError:  # the run will say so
        return None


def _left_behind(folder: Path | None, lost: Lost) -> Ended:
    """How a run ended whose job is gone: what its record says, or that it never began."""
    record = RunRecord(folder) if folder else None
    if record is None or not record.header:
        return Ended(status="not run", reason=f"{lost}; the same command submits it again")
    end = record.end
    return Ended(
        status=record.status, step=end.get("step", 0), execution=end.get("execution", ""), folder=str(folder),
        reason=end.get("reason", "") if end else f"{lost}; the same command continues it",
    )  # fmt: skip


def _by_hydra(configs: Sequence[ExperimentConfig], typed: Sequence[str], varied: tuple[str, ...]) -> list[Ended]:
    """Through Hydra and whichever launcher it was given; its jobs, in whatever processes, write to one file."""
    os.environ.setdefault("BNEXP_THREADS", "1")
    manifest = _manifest(Path(configs[0].runs_dir))
    flags = tuple(word for word in typed if word.startswith("-"))
    run_hydra(["--multirun", *typed], partial(_hydra_job, manifest, len(configs), varied, flags))
    rows = map(json.loads, manifest.read_text(encoding="utf-8").splitlines())
    return [Ended(**{**row, "overrides": tuple(row["overrides"])}) for row in rows]


def _hydra_job(
    manifest: Path, num_runs: int, varied: tuple[str, ...], flags: Sequence[str], config: ExperimentConfig
) -> None:
    """What each of Hydra's jobs does."""
    from hydra.core.hydra_config import HydraConfig

    (ended,) = attempt([Asked(config, (*flags, *HydraConfig.get().overrides.task))], show=True)
    _note(manifest, ended)
    Told(num_runs, 0, varied, done=manifest.read_bytes().count(b"\n") - 1).ended(ended)


def _note(manifest: Path, ended: Ended) -> None:
    """A line about a run in the sweep's file, whichever process writes it."""
    with told_if_disk_refuses(manifest), manifest.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(ended)) + "\n")


def _take_back(manifest: Path) -> None:
    """Leave no trace of a sweep of which no run could begin: remove its file, and the folders that were made for it alone."""
    manifest.unlink()
    runs_dir = manifest.parent.parent
    try:
        manifest.parent.rmdir()
        if [entry.name for entry in runs_dir.iterdir()] == [".gitignore"]:
            shutil.rmtree(runs_dir)
    except OSError:  # other sweeps' files are in there
        pass


def _manifest(runs_dir: Path) -> Path:
    """A new file that will say how each run of a sweep ended, a line each."""
    make_runs_dir(runs_dir)
    folder = runs_dir / paths.SWEEPS
    file = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6:06d}.jsonl"
    with told_if_disk_refuses(folder, always=True):
        folder.mkdir(exist_ok=True)
        file.touch()
    return file
