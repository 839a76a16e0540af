"""An interrupted run that is taken up again is the unbroken run, byte for byte."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bnexp.engine import step as stepping
from bnexp.records.reader import RunRecord
from bnexp.records.writer import RunWriter
from bnexp.runs import run as running
from bnexp.runs.run import execute

CLOCK = {"seconds": 0, "step_ms": 0, "peak_memory_mb": 0, "events": 0}

#: A run whose every state matters: noise, augmentation, momentum, running statistics, sampled maps.
SETTINGS = {
    "freeze": ["norm.freeze_after=11"],
    "accumulate": ["train.accumulate=2", "norm.momentum=null"],
    "noisy mlp, augmented": ["norm=noisy", "dataset.crop=1", "dataset.flip=true"],
    "renorm cnn, adam": [
        "model=cnn",
        "norm=renorm",
        "optimizer=adam",
        "norm.warmup_steps=2",
        "probes.layer_inputs.values_per_unit=40",
    ],
    "folded by the first batch": ["norm=one_shot"],
    "cosine, one epoch after the other": ["schedule=cosine", "schedule.warmup_steps=3", "train.batch_size=60"],
}


@pytest.fixture
def unbroken(make, tmp_path):
    """The record of the same run in one go, elsewhere."""
    return lambda *words: execute(replace(make(*words), runs_dir=str(tmp_path / "unbroken"))).record


@pytest.fixture
def same_record(without_clock):
    def check(record: RunRecord, other: RunRecord) -> None:
        assert record.status == other.status == "finished"
        assert without_clock(record.folder) == without_clock(other.folder)
        ends = [
            {**r.end, **CLOCK, "targets": [{**row, "seconds": 0} for row in r.end["targets"]]} for r in (record, other)
        ]
        assert ends[0] == ends[1]
        assert record.probes() == other.probes()
        for probe in record.probes():
            arrays, others = record.arrays(probe), other.arrays(probe)
            assert list(arrays) == list(others)
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, others[name])

    return check


@pytest.fixture
def interrupted(monkeypatch):
    """Runs a config with checkpoints at every chance, and stops it in a given update."""

    def carry_out(config, update: int, stop) -> None:
        real, count = stepping.eager_step, iter(range(1, 10**6))

        def step(*arguments):
            if next(count) == update:
                stop()
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(running, "CHECKPOINT_SECONDS", -1)
            patch.setattr(stepping, "eager_step", step)
            with pytest.raises(KeyboardInterrupt):
                execute(config)

    return carry_out


def ctrl_c() -> None:
    raise KeyboardInterrupt


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


#: The others of these are slow.
AT_ONCE = ("noisy mlp, augmented", "folded by the first batch")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [pytest.param(words, marks=() if name in AT_ONCE else pytest.mark.slow) for name, words in SETTINGS.items()],
    ids=SETTINGS,
)
def test_a_run_interrupted_twice_is_the_unbroken_run(make, unbroken, interrupted, same_record, words):
    words = ["probes=light", *words]
    interrupted(make(*words), 8, ctrl_c)
    interrupted(make(*words), 15, sigterm)
    same_record(execute(make(*words)).record, unbroken(*words))


#: Goals that are reached after some twenty steps, with points of both curves between them.
GOALS = [
    "train.stop_at_accuracy=0.4",
    "train.stop_at_loss=1.05",
    "train.log_every=3",
    "train.eval_every=4",
    "train.steps=60",
]


@pytest.mark.slow
@pytest.mark.parametrize("before", range(6))
def test_an_interrupted_run_stops_at_the_same_goal(make, unbroken, interrupted, same_record, before):
    whole = unbroken(*GOALS)
    assert 8 < whole.end["stopped_at"] < 50
    interrupted(make(*GOALS), whole.end["stopped_at"] - before, ctrl_c)
    same_record(execute(make(*GOALS)).record, whole)


def test_a_run_that_is_told_to_stop_at_its_goal_has_reached_it(make, unbroken, interrupted, same_record):
    whole = unbroken(*GOALS)
    interrupted(make(*GOALS), whole.end["stopped_at"], sigterm)  # saved after this very update
    same_record(execute(make(*GOALS)).record, whole)


@pytest.fixture
def folder(make, interrupted) -> Path:
    """The folder of a run stopped in its 8th update, with a checkpoint from after its 7th."""
    interrupted(make(), 8, ctrl_c)
    (header,) = Path(make().runs_dir).glob("*/run.json")
    return header.parent


def test_a_run_without_a_checkpoint_starts_again_in_its_folder(make, folder, unbroken, same_record):
    (folder / "checkpoint.pt").unlink()
    record = execute(make()).record
    assert record.folder == folder
    same_record(record, unbroken())


def test_time_spent_before_the_checkpoint_counts(make, folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == 7
    state["spent"]["train"] += 100
    torch.save(state, folder / "checkpoint.pt")
    record = execute(make()).record
    assert 100 < record.end["seconds"]["train"] < 110
    seconds = record.curve("val/loss").seconds
    assert seconds[7] < 100 < seconds[8]


@pytest.mark.parametrize(
    "numbers",
    [[signal.SIGTERM], [signal.SIGHUP], [signal.SIGINT, signal.SIGTERM]],
    ids=["scheduler", "closed terminal", "told twice at once, as wrappers do"],
)
def test_a_run_that_is_told_to_stop_is_saved_first_and_the_same_command_goes_on_from_there(
    bnexp, small, monkeypatch, unbroken, same_record, tmp_path, numbers
):
    real, count = stepping.train_step, iter(range(1, 10**6))

    def step(*arguments):
        if next(count) == 8:
            for number in numbers:
                os.kill(os.getpid(), number)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(stepping, "train_step", step)
        answer = bnexp("train", *small)
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.endswith("\ninterrupted; the same command continues from step 8\n")
    again = bnexp("train", *small)
    assert again.code == 0
    assert ": continues from step 8\n" in again.err
    (folder,) = [path.parent for path in tmp_path.glob("runs/*/run.json")]
    same_record(RunRecord(folder), unbroken())


def test_told_twice_it_stops_at_once_from_its_last_checkpoint(bnexp, small, monkeypatch):
    monkeypatch.setattr("bnexp.runs.stop.ECHO", -1)  # however soon after the first one
    monkeypatch.setattr(stepping, "train_step", lambda *_: (sigterm(), sigterm()))
    answer = bnexp("train", *small)
    assert (answer.code, answer.err) == (130, "\ninterrupted; the same command starts it again\n")


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def saved(state: object) -> bytes:
    content = io.BytesIO()
    torch.save(state, content)
    return content.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["empty", "torn", "another file", "another object"])
def test_a_checkpoint_that_cannot_be_used_is_said_and_the_run_starts_anew(
    make, folder, unbroken, same_record, capsys, how
):
    file = folder / "checkpoint.pt"
    content = file.read_bytes()
    other = {
        "empty": b"",
        "torn": content[: len(content) // 2],
        "another file": b"x",
        "another object": saved({"step": 3}),
    }
    file.write_bytes(other[how])
    ended = execute(make())
    assert f"{folder}: checkpoint.pt cannot be used; the run starts anew" in capsys.readouterr().err
    assert ended.record.folder == folder
    same_record(ended.record, unbroken())


@pytest.mark.parametrize("whole", [True, False], ids=["a pickle", "inside a checkpoint"])
def test_nothing_in_a_run_folder_is_executed(make, folder, tmp_path, whole):
    file, mark = folder / "checkpoint.pt", tmp_path / "mark"
    state = torch.load(file, weights_only=True)
    file.write_bytes(pickle.dumps(Payload(mark)) if whole else saved({**state, "probes": Payload(mark)}))
    assert execute(make()).status == "finished"
    assert not mark.exists()


@pytest.mark.parametrize(
    ("lose", "told"),
    [
        (lambda folder: os.truncate(folder / "events.jsonl", 100), "events.jsonl is shorter than it was at the checkpoint"),
        (lambda folder: (folder / "run.json").unlink(), "run.json is missing"),
    ],
    ids=["events", "header"],
)
def test_a_record_that_lost_a_part_is_never_padded(make, folder, unbroken, same_record, capsys, lose, told):
    lose(folder)
    ended = execute(make())
    assert f"{told}; the run starts anew" in capsys.readouterr().err
    same_record(ended.record, unbroken())


def test_nothing_half_written_outlives_a_killed_attempt(make, folder):
    for name in (".checkpoint.pt.12", ".end.json.3456"):
        (folder / name).write_text("torn")
    execute(make())
    assert {file.name for file in folder.iterdir()} == {"run.json", "events.jsonl", "end.json", "tb"}


def test_the_end_is_on_disk_before_the_checkpoint_goes(make, folder, monkeypatch):
    seen = []
    real = RunWriter.end
    monkeypatch.setattr(RunWriter, "end", lambda *a: (seen.append((folder / "checkpoint.pt").exists()), real(*a)))
    execute(make())
    assert seen == [True]
    assert not (folder / "checkpoint.pt").exists()


RUNNER = """
import sys, time
from bnexp.cli.main import run
from bnexp.engine import step as stepping
from bnexp.runs import run as running

real = stepping.train_step
running.CHECKPOINT_SECONDS = -1
stepping.train_step = lambda *arguments: (time.sleep(0.02), real(*arguments))[1]
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_killed_outright_is_taken_up_where_its_checkpoint_was(bnexp, small, unbroken, same_record, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", RUNNER, "train", *small],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: list(tmp_path.glob("runs/*/checkpoint.pt")), process)
        wait_for(lambda: b'"step": 4' in next(tmp_path.glob("runs/*/events.jsonl")).read_bytes(), process)
    finally:
        process.kill()
        process.wait()
    (folder,) = [path.parent for path in tmp_path.glob("runs/*/run.json")]
    assert RunRecord(folder).status == "interrupted"
    assert bnexp("train", *small).code == 0
    same_record(RunRecord(folder), unbroken())


def wait_for(condition, process) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
