"""A run that dies before any of its file operations, or meets another at its run there, ends as the unbroken run did.

Runs are forked: a process that dies by ``os._exit`` loses what it had not written, as one that is killed does.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bnexp.config.schema import ExperimentConfig
from bnexp.records.reader import RunRecord
from bnexp.runs import run as running
from bnexp.runs.folder import Held
from bnexp.runs.many import Asked, execute_together
from bnexp.runs.run import execute

#: Events of Python's that are operations on files, :func:`sys.addaudithook`; ``open`` reads as well as writes.
OPERATIONS = ("open", "os.rename", "os.remove", "os.truncate", "os.mkdir", "os.rmdir", "os.listdir", "os.scandir")

#: Steps, looks and checkpoints enough for every operation that a run has; weights are kept.
WORDS = ("train.steps=4", "train.log_every=2", "train.eval_every=2", "train.keep=best", "probes=light")

DIED, HELD, WRONG = 9, 3, 1


class Watch:
    """What is done at each file operation below a folder; an audit hook cannot be taken away, so there is one for all."""

    def __init__(self) -> None:
        self.folder, self.at = "", None
        self.count = 0
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.at is not None and event in OPERATIONS and str(arguments[0]).startswith(self.folder):
            self.operation()

    def operation(self) -> None:
        """One more."""
        if self.at is not None:
            self.count += 1
            at, self.at = self.at, None
            at(self.count)
            self.at = at


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture
def forked(watch, tmp_path, monkeypatch):
    """Carries out runs in a process of its own, with checkpoints at every chance; returns that process's number."""
    monkeypatch.setattr(running, "CHECKPOINT_SECONDS", -1)
    real = os.fsync

    def fsync(handle: int) -> None:
        watch.operation()
        real(handle)

    def begin(configs: Sequence[ExperimentConfig], at: Callable[[int], None]) -> int:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside TensorBoard's threads
            process = os.fork()
        if process:
            return process
        code = WRONG
        try:
            os.fsync = fsync
            watch.folder, watch.count, watch.at = str(tmp_path), 0, at
            carry_out(configs)
            code = 0
        except Held:
            code = HELD
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    return begin


def carry_out(configs: Sequence[ExperimentConfig]) -> None:
    """One run by itself, several as one program."""
    if len(configs) == 1:
        execute(configs[0], show=False)
    else:
        answers = execute_together([Asked(config) for config in configs])
        assert all(one.complete for one in answers), answers


def ended(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@pytest.fixture
def contents(without_clock):
    """All that a complete run says, less the clock: equal runs are equal."""

    def read(folder: Path) -> dict[str, object]:
        record = RunRecord(folder)
        assert record.status == "finished", record.damage
        end = {**record.end, "seconds": 0, "step_ms": 0, "peak_memory_mb": 0, "events": 0}
        end["execution"] = end["execution"].rpartition(" side by side")[2]  # runs at different steps go on apart
        end["targets"] = [{**row, "seconds": 0} for row in end["targets"]]
        arrays = {f"{probe}/{name}": array for probe in record.probes() for name, array in record.arrays(probe).items()}
        return {
            "header": {**record.header, "created": "", "command": "", "git": ""},
            "events": without_clock(folder),
            "end": json.dumps(end),
            "arrays": {name: (array.shape, array.tobytes()) for name, array in arrays.items()},
            "weights": (folder / "weights.safetensors").read_bytes(),
        }

    return read


@pytest.fixture
def runs(make, tmp_path):
    """``runs(*words)()``: the configs of these runs, in a new runs folder each time."""
    folders = (tmp_path / f"runs{number}" for number in range(10**6))

    def ask(*words: str) -> Callable[[], list[ExperimentConfig]]:
        configs = [make(*WORDS, *word.split()) for word in words]
        return lambda: [replace(one, runs_dir=str(folder)) for folder in [next(folders)] for one in configs]

    return ask


def folders_of(configs: Sequence[ExperimentConfig]) -> list[Path]:
    return sorted(file.parent for file in Path(configs[0].runs_dir).glob("*/run.json"))


@pytest.fixture
def unbroken(forked, contents, tmp_path):
    """What runs come to in one go, and how many file operations they take."""

    def find(configs: Sequence[ExperimentConfig]) -> tuple[list[dict[str, object]], int]:
        with (tmp_path / "counted").open("wb", buffering=0) as counted:
            assert ended(forked(configs, lambda _: counted.write(b"."))) == 0
            count = os.fstat(counted.fileno()).st_size
        return [contents(folder) for folder in folders_of(configs)], count

    return find


def die_at(number: int) -> Callable[[int], None]:
    return lambda count: os._exit(DIED) if count == number else None


def check(configs, whole, contents, leftovers: bool = False) -> None:
    folders = folders_of(configs)
    assert len(folders) == len(whole)
    for folder, other in zip(folders, whole, strict=True):
        for part, said in contents(folder).items():
            assert said == other[part], part
    for folder in () if leftovers else folders:
        assert not [file.name for file in folder.rglob(".*")], "something half written is left"
        assert not (folder / "checkpoint.pt").exists()


def drill_deaths(forked, new, unbroken, contents, some: Callable[[range], Sequence[int]]) -> None:
    """Die before an operation, look, run the same command again, compare."""
    whole, count = unbroken(new())
    assert count > 40
    for number in some(range(1, count + 1)):
        configs = new()
        assert ended(forked(configs, die_at(number))) == DIED, number
        before = {}
        for folder in folders_of(configs):
            record = RunRecord(folder)
            assert record.status in ("interrupted", "finished"), (number, record.damage)
            if record.complete:
                contents(folder)
                before |= {file: file.stat().st_mtime_ns for file in folder.rglob("[!.]*") if file.name != "checkpoint.pt"}
        carry_out(configs)
        assert [str(file) for file, time in before.items() if file.stat().st_mtime_ns != time] == [], number
        try:
            check(configs, whole, contents, leftovers=bool(before))  # a complete run is left as it is, lock and all
        except AssertionError as error:
            raise AssertionError(f"after a death before operation {number} of {count}") from error


@pytest.mark.slow
def test_a_run_that_dies_before_some_of_its_file_operations_is_the_unbroken_run(forked, runs, unbroken, contents):
    drill_deaths(forked, runs("seed=0"), unbroken, contents, lambda every: every[3::17])


@pytest.mark.slow
def test_a_run_that_dies_before_any_of_its_file_operations_is_the_unbroken_run(forked, runs, unbroken, contents):
    drill_deaths(forked, runs("seed=0"), unbroken, contents, lambda every: every)


#: Two runs that train as one program: deaths between their checkpoints, and between their ends.
BOTH = ("seed=0 norm=none", "seed=1 norm=none optimizer.lr=0.02")


@pytest.mark.slow
def test_two_runs_in_one_program_that_dies_at_some_moment_are_the_unbroken_ones(forked, runs, unbroken, contents):
    drill_deaths(forked, runs(*BOTH), unbroken, contents, lambda every: every[5::37])


@pytest.mark.slow
def test_two_runs_in_one_program_that_dies_at_any_moment_are_the_unbroken_ones(forked, runs, unbroken, contents):
    drill_deaths(forked, runs(*BOTH), unbroken, contents, lambda every: every)


def drill_meetings(forked, new, unbroken, contents, some: Callable[[range], Sequence[int]]) -> None:
    """Ask for the same run while another process stands before one of its operations, let that go on, compare."""
    whole, count = unbroken(new())
    outcomes = set()
    for number in some(range(1, count + 1)):
        configs = new()
        (there, arrives), (waits, go) = os.pipe(), os.pipe()

        def stand(at: int, number=number, arrives=arrives, waits=waits) -> None:
            if at == number:
                os.write(arrives, b".")
                os.read(waits, 1)

        process = forked(configs, stand)
        os.read(there, 1)
        before = {}
        try:
            outcomes.add("skipped" if execute(configs[0], show=False).skipped else "trained")
            check(configs, whole, contents, leftovers=True)
            before = {file: file.stat().st_mtime_ns for file in folders_of(configs)[0].glob("[!.]*") if file.is_file()}
        except Held:
            outcomes.add("held")
        os.write(go, b".")
        assert ended(process) == 0, number
        for end in (there, arrives, waits, go):
            os.close(end)
        left = [file for file, time in before.items() if file.name != "checkpoint.pt" and file.stat().st_mtime_ns != time]
        assert left == [], number
        check(configs, whole, contents)
    assert {"trained", "held"} <= outcomes


@pytest.mark.slow
def test_a_run_asked_for_twice_at_once_is_trained_once(forked, runs, unbroken, contents):
    drill_meetings(forked, runs("seed=0"), unbroken, contents, lambda every: [*every[:7:3], *every[8::23], every[-1]])


@pytest.mark.slow
def test_a_run_asked_for_twice_at_any_moment_is_trained_once(forked, runs, unbroken, contents):
    drill_meetings(forked, runs("seed=0"), unbroken, contents, lambda every: every)
