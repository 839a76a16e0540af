"""How many runs go on at a time: every core once, no processes for a small sweep, and long plans are compiled."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import pytest

from bnexp.claims.base import Budget
from bnexp.config.values import with_value
from bnexp.runs import many
from bnexp.runs import reproduce as reproducing
from bnexp.runs.many import Asked, attempt, count_processes, count_side_by_side
from bnexp.runs.plan import Job, Plan
from bnexp.runs.reproduce import settle_compiling
from bnexp.runs.workers import Workers


@pytest.fixture
def long(make):
    """Runs that are worth a process each."""
    return [with_value(make(f"seed={seed}"), "train.steps", many.WORTH_A_PROCESS) for seed in range(6)]


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)


@pytest.mark.usefixtures("four_cores")
def test_processes_times_threads_are_the_cores(long):
    assert count_processes(long) == 4
    assert count_processes(long[:3]) == 3
    assert count_processes([replace(config, threads=2) for config in long]) == 2
    assert count_processes([replace(config, threads=8) for config in long]) == 1


@pytest.mark.usefixtures("four_cores")
def test_a_small_sweep_starts_no_processes_unless_told(make):
    configs = [make(f"seed={seed}") for seed in range(6)]
    assert count_processes(configs) == 1
    assert count_processes(configs, 3) == 3


@pytest.mark.usefixtures("four_cores")
def test_a_process_is_started_for_as_many_steps_as_its_start_is_worth(make):
    configs = [with_value(make(f"seed={seed}"), "train.steps", many.WORTH_A_PROCESS // 2) for seed in range(6)]
    assert [count_processes(configs[:number]) for number in (1, 3, 4, 6)] == [1, 1, 2, 3]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only torch can tell whether there is a GPU")
def test_torch_is_not_imported_to_hear_that_there_is_no_gpu(long, monkeypatch):
    monkeypatch.setattr(many, "GPUS", ("/no/such/device",))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert count_processes([replace(config, device="auto") for config in long], None) > 0
    assert count_side_by_side([replace(config, device="auto") for config in long], 1) == 1


def test_on_a_gpu_one_process_trains_many_side_by_side(long, monkeypatch):
    assert count_side_by_side(long, 1) == 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(many, "GPUS", ("/",))
    on_gpu = [replace(config, device="auto") for config in long]
    assert (count_processes(on_gpu), count_side_by_side(on_gpu, 1)) == (1, 6)
    assert count_side_by_side([replace(config, device="cpu") for config in long], 1) == 1
    assert count_side_by_side([with_value(config, "execution.stack", 3) for config in long], 1) == 3


def test_runs_that_had_better_not_share_a_program_train_one_by_one(make, monkeypatch):
    monkeypatch.setattr("bnexp.engine.ensemble.pays_together", lambda _: False)
    asked = [Asked(make("train.steps=5", f"seed={seed}", "probes=none")) for seed in (0, 1)]
    answers = attempt(asked)
    assert [(ended.status, ended.record.end["execution"]) for ended in answers] == [("finished", "eager")] * 2


def test_every_task_is_answered_once_with_its_place(make):
    answers = dict(Workers(1).work([[Asked(make(f"seed={seed}"))] for seed in range(3)], attempt))
    assert sorted(answers) == [0, 1, 2]
    assert "BNEXP_THREADS" not in os.environ  # one process has all the cores
    assert {one.status for (one,) in answers.values()} == {"finished"}
    assert len({one.folder for (one,) in answers.values()}) == 3


def test_what_stops_a_run_becomes_words(make, tmp_path):
    (refused,) = attempt([Asked(make("norm=instance"))])
    assert (refused.status, refused.folder) == ("refused", "")
    assert "instance" in refused.reason
    (tmp_path / "runs").write_text("in the way")
    (blocked,) = attempt([Asked(make())])
    assert blocked.status == "refused"


def test_a_network_that_a_plan_trains_for_long_is_compiled_and_a_continued_plan_decides_alike(
    make, tmp_path, monkeypatch
):
    monkeypatch.setattr(reproducing, "WORTH_COMPILING_TOGETHER", 90)  # three runs of 30 steps
    plan = Plan((), Budget(name="quick", num_seeds=3, num_tuning_seeds=1, num_first_seeds=1), tmp_path)
    words = [("norm=batch", f"seed={seed}") for seed in range(3)] + [
        ("norm=none",),
        ("norm=noisy",),
        ("norm=noisy", "seed=1"),
    ]
    jobs = [
        Job(run_id=" ".join(word), claim="c", seed=0, config=make(*word)) for word in (*words, ("norm=noisy", "seed=2"))
    ]
    plan.jobs |= {job.run_id: job for job in jobs}
    kinds = [job.config.execution.compile for job in settle_compiling(jobs, plan)]
    assert kinds == ["on"] * 3 + ["auto"] * 4
    assert [job.config.execution.compile for job in settle_compiling(jobs[2:4], plan)] == ["on", "auto"]
    off = [replace(job, config=with_value(job.config, "execution.compile", "off")) for job in jobs[:3]]
    assert [job.config.execution.compile for job in settle_compiling(off, plan)] == ["off"] * 3
