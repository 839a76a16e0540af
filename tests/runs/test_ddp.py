"""``execution.ddp``: several processes that share every batch of one run are one process with the whole batch, and can be killed.

Most of it is tried by forked processes, which need no start; ``torchrun`` itself by the slow tests.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bnexp.engine import build as building
from bnexp.engine.build import build, seen_together
from bnexp.engine.journal import Stopwatch
from bnexp.engine.processes import joined
from bnexp.engine.step import pick_step, reason_for_eager, set_lr, wants_graph
from bnexp.errors import UserError
from bnexp.records.reader import RunRecord
from bnexp.runs import run as running
from bnexp.runs.follow import follow
from bnexp.runs.run import execute

CNN = ("model=cnn", "model.width=4")


@pytest.fixture
def together(tmp_path):
    """``together(2, do)``: calls ``do(rank)`` in so many processes that know of each other; returns their exit codes."""
    importlib.import_module("torch._dynamo")  # which DistributedDataParallel imports: here once, not in every process

    def carry_out(size, do):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        children = []
        for rank in range(size):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside TensorBoard's threads
                child = os.fork()
            if child == 0:
                code = 1
                os.environ |= {"RANK": f"{rank}", "WORLD_SIZE": f"{size}", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}"}
                try:
                    do(rank)
                    code = 0
                except UserError as error:
                    (tmp_path / f"refused{rank}").write_text(str(error))
                    code = 2
                except KeyboardInterrupt as error:
                    (tmp_path / f"stopped{rank}").write_text(str(error))
                    code = 130
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(code)
            children.append(child)
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    return carry_out


def trained(config, steps=4):
    """Parameters and losses after some steps in float64, and the buffers."""
    experiment = build(config)
    experiment.model.double()
    prepare = experiment.prepare
    experiment = replace(experiment, prepare=lambda images: prepare(images).double())
    experiment.model.train()
    _, advance = pick_step(experiment, Stopwatch())
    losses = []
    for _ in range(steps):
        set_lr(experiment.optimizer, config.optimizer.lr)
        loss, correct = advance(experiment.batches.next())
        losses += [loss, correct.double()]
    named = {name: value.detach() for name, value in experiment.model.named_parameters()}
    return {**named, "losses": torch.stack(losses)}, dict(experiment.model.named_buffers())


@pytest.fixture
def shared(together, tmp_path):
    """What :func:`trained` gives in each of several processes."""

    def find(config, size=2):
        def do(rank):
            with joined(config) as mine:
                torch.save(trained(mine), tmp_path / f"{rank}.pt")

        assert together(size, do) == [0] * size
        return [torch.load(tmp_path / f"{rank}.pt") for rank in range(size)]

    return find


def differences(some, other):
    assert some.keys() == other.keys()
    return {name: float((some[name].double() - other[name].double()).abs().max()) for name in some}


def close(some, other, tolerance=1e-12):
    """``losses`` of micro-batches are added up in float32."""
    far = {name: value for name, value in differences(some, other).items() if not value < (1e-6 if name == "losses" else tolerance)}
    assert far == {}


WHOLE = [
    ("norm=sync", "train.accumulate=2", "norm.momentum=null", "optimizer=adam"),
    pytest.param(("norm=sync",), marks=pytest.mark.slow),
    pytest.param(("norm=sync", *CNN, "dataset.crop=1", "dataset.flip=true"), marks=pytest.mark.slow),
    pytest.param(("norm=layer",), marks=pytest.mark.slow),
]


@pytest.mark.parametrize("words", WHOLE)
def test_processes_that_share_a_batch_are_one_process_with_the_whole_batch(make, shared, words):
    (here, buffers), (there, _) = shared(make(*words, "execution.ddp=2"))
    alone, own = trained(make(*words))
    assert abs(alone["losses"][0] - alone["losses"][-2]) > 1e-3, "nothing has moved"
    close(here, alone)
    close(buffers, own)
    assert all(torch.equal(here[name], there[name]) for name in here)


@pytest.mark.slow
def test_with_batch_each_process_normalises_its_own_part_as_ghosts_do_and_sync_is_something_else(make, shared):
    (parts, buffers), (_, theirs) = shared(make("norm=batch", "execution.ddp=2"))
    ghosts, _ = trained(make("norm=ghost", "norm.ghost_size=10"))
    close(parts, ghosts)
    whole, _ = trained(make("norm=batch"))
    assert max(differences(parts, whole).values()) > 1e-4
    apart = differences(buffers, theirs)
    assert any(value > 1e-6 for name, value in apart.items() if name.endswith("running_mean"))  # each one's own until a step


def test_what_a_process_passes_decides_what_is_seen_together(make):
    assert seen_together(make("norm=batch", "execution.ddp=2")) == 10
    assert seen_together(make("norm=sync", "execution.ddp=2")) == 20
    assert seen_together(make("norm=batch", "execution.ddp=2", "train.accumulate=2")) == 5


def test_a_step_of_several_processes_is_never_one_graph(make):
    assert reason_for_eager(make("execution.ddp=2"))
    assert not wants_graph(make("execution.ddp=2", "execution.compile=on"), 10**6)


def share(config):
    """What a process does, by its rank."""
    return lambda rank: execute(config, show=False) if rank == 0 else follow(config)


@pytest.fixture
def curves():
    return lambda record: {(event["step"], event["name"]): event["value"] for event in record.events()}


def only_record(config):
    (folder,) = [file.parent for file in Path(config.runs_dir).glob("*/run.json")]
    return RunRecord(folder)


@pytest.mark.slow
def test_the_record_is_one_and_that_of_one_process_to_rounding(make, together, curves):
    words = ("norm=sync", "train.stop_at_accuracy=0.9", "probes=full")
    config = make(*words, "execution.ddp=2")
    assert together(2, share(config)) == [0, 0]
    record = only_record(config)
    alone = execute(replace(make(*words), runs_dir=f"{config.runs_dir}2"), show=False).record
    assert record.status == alone.status == "finished"
    assert record.end["execution"] == "2 processes, eager"
    assert record.header["config"]["execution"] == {"precision": "fp32", "ddp": 2}
    assert record.header["command"].startswith("torchrun --nproc-per-node=2 -m bnexp train")
    assert record.header["hashes"] == alone.header["hashes"]
    assert record.end["step"] == alone.end["step"]
    some, other = curves(record), curves(alone)
    assert some.keys() == other.keys()
    assert max(abs(some[at] - other[at]) for at in some) < 1e-4
    assert record.end["test"]["recomputed_loss"] == pytest.approx(alone.end["test"]["recomputed_loss"], abs=1e-4)
    before = (record.folder / "end.json").stat().st_mtime_ns
    assert together(2, share(config)) == [0, 0], "complete, and all of them know"
    assert (record.folder / "end.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_run_that_diverges_ends_in_every_process(make, together):
    config = make("norm=none", "model.activation=relu", "execution.ddp=2", "optimizer.lr=1e30")
    assert together(2, share(config)) == [0, 0]
    assert only_record(config).status == "diverged"


@pytest.mark.slow
def test_one_process_that_is_told_to_stop_stops_all_and_the_rest_is_the_unbroken_run(make, together, without_clock, tmp_path):
    config = make("norm=sync", "execution.ddp=2", "train.keep=last", "train.steps=20")

    def interrupted(rank):
        if rank == 1:
            real = building.Experiment.training_examples

            def told_at_some_step(self, *given):
                if not hasattr(told_at_some_step, "count"):
                    told_at_some_step.count = 0
                told_at_some_step.count += 1
                if told_at_some_step.count == 13:
                    os.kill(os.getpid(), signal.SIGTERM)
                return real(self, *given)

            building.Experiment.training_examples = told_at_some_step
        share(config)(rank)

    assert together(2, interrupted) == [130, 130]
    assert (tmp_path / "stopped0").read_text() == "the same command continues from step 13"
    assert (tmp_path / "stopped1").read_text() == ""
    assert only_record(config).status == "interrupted"
    assert together(2, share(config)) == [0, 0]
    whole = replace(config, runs_dir=f"{config.runs_dir}2")
    assert together(2, share(whole)) == [0, 0]
    same_record(only_record(config), only_record(whole), without_clock)


def same_record(one, other, without_clock):
    assert one.status == other.status == "finished"
    assert without_clock(one.folder) == without_clock(other.folder)
    assert (one.folder / "weights.safetensors").read_bytes() == (other.folder / "weights.safetensors").read_bytes()
    assert one.end["test"] == other.end["test"]
    assert not (one.folder / "error.txt").exists()


@pytest.mark.slow
def test_the_loss_of_a_process_leaves_a_record_that_goes_on_to_the_same_bits(make, together, without_clock, tmp_path):
    """Three processes, whose sums depend on their order, which torch changes after the first step."""
    config = make("norm=batch", "execution.ddp=3", "train.batch_size=21", "train.keep=last")

    def dies(rank):
        running.CHECKPOINT_SECONDS = -1
        if rank == 2:
            real = building.Experiment.training_examples
            count = iter(range(100))

            def dead_at_some_step(self, *given):
                if next(count) == 17:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(self, *given)

            building.Experiment.training_examples = dead_at_some_step
        share(config)(rank)

    assert together(3, dies) == [130, 130, -9]
    words = "another process of the run is gone"
    assert (tmp_path / "stopped0").read_text() == f"{words}; the same command continues from step 17"
    assert (tmp_path / "stopped1").read_text() == words
    assert only_record(config).status == "interrupted"
    assert together(3, share(config)) == [0, 0, 0]
    whole = replace(config, runs_dir=f"{config.runs_dir}2")
    assert together(3, share(whole)) == [0, 0, 0]
    same_record(only_record(config), only_record(whole), without_clock)


@pytest.mark.slow
def test_a_process_that_breaks_down_says_why(make, together):
    config = make("execution.ddp=2")
    ends = {}

    def breaks(rank):
        if rank == 1:
            building.Experiment.training_examples = lambda *_: 1 / 0
            ends[rank] = follow(config)
            assert ends[rank].status == "failed"
            assert "ZeroDivisionError" in ends[rank].reason
        else:
            execute(config, show=False)

    assert together(2, breaks) == [130, 0]
    record = only_record(config)
    assert record.status == "interrupted"
    assert "ZeroDivisionError" in (record.folder / "error.txt").read_text()


def test_what_one_process_lacks_is_told_by_the_first(make, together, tmp_path):
    config = make("execution.ddp=2")

    def lacks(rank):
        share(config if rank == 0 else replace(config, dataset=replace(config.dataset, options={"path": "elsewhere.npz"})))(rank)

    assert together(2, lacks) == [2, 2]
    assert (tmp_path / "refused0").read_text().startswith("process 1: ")
    assert not Path(config.runs_dir).exists()


#: ``python -m bnexp`` with a checkpoint at every chance; each process says who it is, and whether Python takes it apart at the end.
#: Parting takes as long as it does on a busy machine, so that torchrun has told the rest to stop before they have said a word.
PROGRAM = """
import atexit, os, sys, time
from pathlib import Path
from torch import distributed
from bnexp.runs import run
run.CHECKPOINT_SECONDS = 0.2
part = distributed.destroy_process_group
distributed.destroy_process_group = lambda: (part(), time.sleep(1))
Path(sys.argv.pop(1), os.environ["RANK"]).write_text(str(os.getpid()))
from bnexp.cli.main import entry
atexit.register(os.write, 2, b"taken apart")
entry()
"""


LONGER = ("train.steps=300", "norm=sync", "train.keep=last")


@pytest.fixture
def torchrun(tmp_path, small):
    """``torchrun("runs")``: the small run, longer, begun by torchrun in this folder of runs; gives the process."""
    program, processes = tmp_path / "program.py", tmp_path / "processes"
    program.write_text(PROGRAM)
    processes.mkdir()
    begun = []

    def begin(runs):
        words = ["train", *small, *LONGER, "execution.ddp=true", f"runs_dir={tmp_path / runs}"]
        options = ["--standalone", "--nproc-per-node=2"]
        command = [sys.executable, "-m", "torch.distributed.run", *options, str(program), str(processes), *words]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield begin
    for one in begun:
        one.terminate()  # and torchrun its processes
        one.communicate(timeout=60)


def checkpointed(runs, since=0.0):
    """Wait for a checkpoint that is younger than ``since``; gives its time."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for file in runs.glob("*/checkpoint.pt"):
            if file.stat().st_mtime > since:
                return file.stat().st_mtime
        time.sleep(0.05)
    raise AssertionError("no checkpoint")


@pytest.mark.slow
def test_under_torchrun_a_run_survives_the_loss_of_a_process_and_being_told_to_stop(
    torchrun, make, together, tmp_path, without_clock
):
    config = replace(make(*LONGER, "execution.ddp=2"), runs_dir=str(tmp_path / "whole"))
    assert together(2, share(config)) == [0, 0]
    runs, processes = tmp_path / "again", tmp_path / "processes"

    told = torchrun("again")
    last = checkpointed(runs)
    stopped = time.time()
    told.send_signal(signal.SIGTERM)
    _, err = told.communicate(timeout=60)
    assert len(re.findall("interrupted; the same command continues from step", err)) == 1
    (record,) = (RunRecord(file.parent) for file in runs.glob("*/run.json"))
    assert record.status == "interrupted"
    saved = (record.folder / "checkpoint.pt").stat().st_mtime
    assert saved >= max(last, stopped - 0.5)

    told = torchrun("again")
    checkpointed(runs, saved)
    os.kill(int((processes / "1").read_text()), signal.SIGKILL)
    _, err = told.communicate(timeout=60)
    assert told.returncode == 1
    assert "another process of the run is gone; the same command continues from step" in err
    assert RunRecord(record.folder).status == "interrupted"

    told = torchrun("again")
    out, err = told.communicate(timeout=120)
    assert told.returncode == 0, err
    assert "taken apart" not in err  # a thread of torch's that is still there would abort one process, and with it the others
    assert out.count("finished after 300 steps") == 1
    same_record(RunRecord(record.folder), only_record(config), without_clock)
