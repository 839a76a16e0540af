"""Jobs on a cluster, without one: what a parent makes of jobs that answer, die or come back. A real Slurm: ``tests/cluster``."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from bnexp.errors import UserError
from bnexp.records.ended import Ended
from bnexp.records.reader import find_runs
from bnexp.runs import cluster, stop
from bnexp.runs.cluster import Lost, Queue, Work, find_queue

SLURM = ("hydra/launcher=submitit_slurm",)


@pytest.fixture
def slurm_here(monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs bnexp[slurm]")
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")


@dataclass
class Cores:
    """Stands for a queue: a job is a call in this process; those whose number is in ``dying`` do nothing and are lost."""

    dying: Sequence[int] = ()
    settings: dict[str, Any] = field(default_factory=lambda: {"cpus_per_task": None})
    calls: list[Any] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None

    def work(self, do: Callable[..., Any], calls: Sequence[Any], look: Callable[[str], None]) -> Any:
        self.meanwhile()
        look("1 running")
        for place, call in enumerate(calls):
            self.calls.append(call)
            yield place, Lost(f"7_{place}", "ended as TIMEOUT") if len(self.calls) - 1 in self.dying else do(*call)


@pytest.fixture
def submitted_to(monkeypatch):
    """``submitted_to(queue)``: launchers lead there."""
    return lambda queue: monkeypatch.setattr(cluster, "find_queue", lambda *_: queue) or queue


@pytest.mark.slow
@pytest.mark.usefixtures("slurm_here")
def test_the_plugins_settings_count_and_timeouts_are_queued_again(tmp_path):
    queue = find_queue([*SLURM, "hydra.launcher.partition=gpu", "hydra.launcher.timeout_min=7"], tmp_path)
    assert (queue.slurm, queue.settings["partition"], queue.settings["timeout_min"]) == (True, "gpu", 7)
    assert (queue.settings["max_num_timeout"], queue.settings["submitit_folder"]) == (cluster.TIMEOUTS, None)
    typed = find_queue([*SLURM, "hydra.launcher.max_num_timeout=0", "hydra.launcher.submitit_folder=there"], tmp_path)
    assert (typed.settings["max_num_timeout"], typed.settings["submitit_folder"]) == (0, "there")
    mine = tmp_path / "hydra" / "launcher" / "mine.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text("defaults: [submitit_slurm]\npartition: cpu\nmax_num_timeout: 3\nname: me\n", encoding="utf-8")
    own = find_queue([f"--config-dir={tmp_path}", "hydra/launcher=mine"], tmp_path)
    assert [own.settings[key] for key in ("partition", "max_num_timeout", "name", "submitit_folder")] == ["cpu", 3, "me", None]
    assert find_queue(["hydra/launcher=joblib"], tmp_path) is None


@pytest.mark.usefixtures("slurm_here")
@pytest.mark.parametrize("key", ["nodes", "tasks_per_node"])
def test_several_processes_at_one_run_are_refused(tmp_path, key):
    with pytest.raises(UserError, match="one process on one node"):
        find_queue([*SLURM, f"hydra.launcher.{key}=2"], tmp_path)


@pytest.mark.usefixtures("slurm_here")
def test_without_slurm_there_is_one_message_and_nothing_is_written(bnexp, monkeypatch, tmp_path, files_below):
    monkeypatch.setattr("shutil.which", lambda _: None)
    for words in (["train", "debug=fast"], ["reproduce", "fig1_speed", "budget=smoke"]):
        answer = bnexp(*words, *SLURM)
        assert answer.code == 2
        assert answer.err.startswith("error: there is no Slurm on this machine (no sbatch)\n  got: hydra/launcher=submitit_slurm\n")
        assert files_below(tmp_path) == []


@pytest.mark.usefixtures("slurm_here")
def test_what_slurm_refuses_is_one_message_and_nothing_is_left(bnexp, small, monkeypatch, tmp_path):
    def refuse(_: Queue, __: Any, ___: Any, folder: Path) -> None:
        folder.mkdir(parents=True)
        raise RuntimeError("bypassed\nsbatch: error: first\nsbatch: error: invalid partition\n")

    monkeypatch.setattr(Queue, "_submit", refuse)
    answer = bnexp("train", *small, "seed=0,1", *SLURM)
    assert (answer.code, answer.err.count("\n")) == (2, 3)
    assert "got: sbatch: error: invalid partition\n" in answer.err
    assert list(tmp_path.iterdir()) == []


@dataclass
class Job:
    """A job of submitit's whose answer is on disk, or is not."""

    job_id: str
    paths: Any
    answer: Any = None

    def exception(self) -> None:
        return None

    def result(self) -> Any:
        return self.answer


@pytest.fixture
def awaited(tmp_path, monkeypatch):
    """``awaited({job: answer}, states, ...)``: answers by job, as Slurm tells these states, one after the other."""
    monkeypatch.setattr(cluster, "LOOK", 0.0)
    monkeypatch.setattr(cluster, "PATIENCE", 0.0)

    def wait(answers: dict[str, Any], *states: dict[str, str] | None) -> list[tuple[int, Any]]:
        jobs = []
        for name, answer in answers.items():
            jobs.append(Job(name, SimpleNamespace(folder=tmp_path, result_pickle=tmp_path / name), answer))
            if answer is not None:
                (tmp_path / name).touch()
        told, clock = iter(states), iter(range(0, 10**6, 40))
        queue = object.__new__(Queue)
        monkeypatch.setattr(queue, "_states", lambda _: next(told), raising=False)
        monkeypatch.setattr(cluster.time, "monotonic", lambda: float(next(clock)))
        found = list(queue._answers(jobs, lambda _: None))
        assert next(told, "all were asked for") == "all were asked for"
        return found

    return wait


def test_a_job_is_awaited_while_slurm_has_it_and_lost_when_it_is_over_twice(awaited):
    over = {"1_0": "RUNNING", "1_1": "TIMEOUT"}
    found = awaited({"1_0": None, "1_1": None, "1_2": "yes"}, over, over, {"1_0": "PENDING"}, {}, {"1_0": "RUNNING"}, {}, {})
    assert [(place, str(answer)) for place, answer in found] == [
        (2, "yes"),
        (1, "job 1_1 ended as TIMEOUT"),
        (0, "job 1_0 is gone from the queue"),
    ]


def test_a_slurm_that_does_not_answer_loses_no_job(awaited, capsys):
    ((_, lost),) = awaited({"1": None}, None, None, None, {"1": "CANCELLED"}, {"1": "CANCELLED"})
    assert str(lost) == "job 1 ended as CANCELLED"
    assert "Slurm does not answer" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "again"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_warned_job_is_queued_again_and_a_killed_one_leaves_no_answer(monkeypatch, number, again):
    def stopped() -> None:
        monkeypatch.setattr(stop, "told_by", number)
        raise KeyboardInterrupt

    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: heard.append(number))
    try:
        with pytest.raises(SystemExit) as left:
            Work(stopped)()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (left.value.code, heard) == (130, [number] * again)


def test_an_interrupted_parent_leaves_its_jobs_and_one_that_wants_no_more_answers_cancels_them(monkeypatch):
    queue, jobs = object.__new__(Queue), [mock.Mock(job_id=f"3_{task}") for task in (0, 1)]
    for job, answered in zip(jobs, (True, False), strict=True):
        job.paths.result_pickle.exists.return_value = answered
    queue.slurm = True
    monkeypatch.setattr(queue, "_answers", lambda *_: iter([(0, "yes"), (1, "no")]), raising=False)
    answers = queue._awaited(jobs, print)
    assert next(answers) == (0, "yes")
    answers.close()
    assert [job.cancel.call_count for job in jobs] == [0, 1]
    monkeypatch.setattr(queue, "_answers", mock.Mock(side_effect=KeyboardInterrupt), raising=False)
    with pytest.raises(KeyboardInterrupt, match=r"the jobs go on \(scancel 3 ends them\)"):
        next(queue._awaited(jobs, print))
    assert [job.cancel.call_count for job in jobs] == [0, 1]


def test_the_first_signal_is_remembered(monkeypatch):
    monkeypatch.setattr(stop, "told_by", None)
    with pytest.raises(KeyboardInterrupt), stop.stoppable():
        signal.raise_signal(signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt), stop.stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert stop.told_by == signal.SIGUSR1


def test_a_sweeps_table_tells_what_records_say_of_jobs_that_died(bnexp, small, submitted_to, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs bnexp[slurm]")
    words = ["train", *small, "seed=0,1,2,3", *SLURM]
    submitted_to(Cores(dying=[1, 2, 3]))
    assert bnexp(*words).code == 3
    assert bnexp("train", *small, "seed=1,2").code == 0
    stopped, done = (next((tmp_path / "runs").glob(f"*-s{seed}-*")) for seed in (1, 2))
    (stopped / "end.json").unlink()
    (done / "end.json").rename(done / "later")
    ends_its_run_and_dies_before_it_answers = partial((done / "later").rename, done / "end.json")
    queue = submitted_to(Cores(dying=[0, 1, 2], meanwhile=ends_its_run_and_dies_before_it_answers))
    answer = bnexp(*words)
    assert answer.code == 3
    assert [call[0].config.seed for call in queue.calls] == [1, 2, 3]  # seed 0 is complete and no job any more
    assert answer.out.startswith("2 runs, 1 arm")
    told = re.findall(r"^([a-z ]+): .*seed=(\d).*: job (\S+) ended as TIMEOUT; the same command (.+)$", answer.out, re.M)
    assert told == [("interrupted", "1", "7_0", "continues it"), ("not run", "3", "7_2", "submits it again")]
    submitted_to(Cores())
    assert bnexp(*words).code == 0


@pytest.mark.slow
def test_what_a_dead_share_has_not_ended_goes_into_the_next_round_and_it_is_judged(bnexp, tiny_claim, submitted_to, tmp_path):
    tiny_claim(subject="norm=rms")  # whose runs are in both shares
    submitted_to(Cores(dying=[0]))
    answer = bnexp("reproduce", "tiny", "num_shards=2", *SLURM)
    assert answer.code == 0, answer.err
    assert "share 0: job 7_0 ended as TIMEOUT; what it has not ended goes into the next round\n" in answer.err
    assert len(find_runs(tmp_path / "runs")) == 8
    alone = bnexp("reproduce", "tiny", "jobs=1")
    assert "finished in" not in alone.err
    assert alone.out == answer.out


def test_a_round_that_ends_no_run_is_the_last(bnexp, tiny_claim, submitted_to):
    tiny_claim(tuned=False, subject="norm=rms")  # whose runs are in both shares
    queue = submitted_to(Cores(dying=range(100)))
    answer = bnexp("reproduce", "tiny", "num_shards=2", *SLURM)
    assert (answer.code, len(queue.calls)) == (3, 2)
    assert "4 runs failed, or did not end; the same command tries them again:" in answer.err
    assert "4 of 4 runs missing" in answer.out


def test_a_run_that_fails_is_tried_once(bnexp, tiny_claim, submitted_to, monkeypatch):
    tiny_claim(tuned=False)
    queue = submitted_to(Cores())
    monkeypatch.setattr("bnexp.runs.reproduce.attempt", lambda asked: [Ended(status="failed", reason="a bug")] * len(asked))
    answer = bnexp("reproduce", "tiny", *SLURM, "--json")
    assert (answer.code, len(queue.calls)) == (3, 1)
    assert answer.err.count(": a bug") == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra/launcher=joblib"], "bnexp reproduce knows no such launcher"),
        ([*SLURM, "shard=1", "num_shards=2"], "with a launcher every shard becomes a job"),
    ],
)
@pytest.mark.usefixtures("slurm_here")
def test_words_that_fit_no_cluster_are_told(bnexp, words, message):
    answer = bnexp("reproduce", "fig1_speed", *words)
    assert answer.code == 2
    assert message in answer.err


@pytest.mark.slow
def test_submitit_on_this_machine_gives_the_same_records(bnexp, small, tmp_path, without_clock):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="needs bnexp[slurm]")
    assert bnexp("train", *small, "seed=0,1", "hydra/launcher=submitit_local").code == 0
    jobs = {path.parent.name: without_clock(path.parent) for path in tmp_path.glob("runs/*/end.json")}
    assert bnexp("train", *small, "seed=0,1", "runs_dir=one_by_one").code == 0
    assert {path.parent.name: without_clock(path.parent) for path in tmp_path.glob("one_by_one/*/end.json")} == jobs
