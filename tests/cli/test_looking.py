"""Looking at runs: ``bnexp list runs``, ``bnexp tensorboard``, a preview of a sweep, and settings in either spelling."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp.cli.list import GROUPS
from bnexp.runs.run import execute


def test_a_preview_says_how_many_runs_there_are_how_many_are_complete_and_about_how_long_the_rest_takes(
    bnexp, small, files_below, tmp_path
):
    execute_words = [*small, "threads=1"]
    assert bnexp("train", *execute_words, "seed=0").code == 0
    before = files_below(tmp_path)
    answer = bnexp("train", *execute_words, "seed=0,1,2", "--dry-run")
    assert answer.code == 0
    count, price = answer.out.splitlines()
    assert count == "3 runs, 1 complete already"
    assert price.startswith("about ")
    assert price.endswith(" s on 1 process")
    assert files_below(tmp_path) == before
    assert bnexp("train", *small, "--dry-run").out == "1 run, 1 complete already: nothing to train\n"


def test_a_sweep_that_is_complete_is_answered_from_its_records_without_torch(bnexp, small, tmp_path):
    assert bnexp("train", *small, "seed=0,1").code == 0
    code = (
        "import sys; from bnexp.cli.main import run; code = run(sys.argv[1:]); "
        "print(code, 'torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", *small, "seed=0,1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "0 False"
    assert done.stderr.count("was complete already") == 2
    assert "2 runs" not in done.stderr  # nothing is announced where nothing is to do


@pytest.mark.parametrize("words", [["runs_dir=elsewhere"], ["--runs-dir", "elsewhere"]])
def test_list_runs_takes_the_runs_folder_in_either_spelling(bnexp, make, words, tmp_path):
    execute(make("train.steps=1"))
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    assert len(json.loads(bnexp("list", "runs", *words, "--json").out)) == 1
    assert bnexp("list", "runs").out == "no runs in runs; make one: bnexp train\n"
    (tmp_path / "elsewhere").rename(tmp_path / "runs")
    assert "no run has run_dir" in bnexp("list", "runs", "run_dir=x").err


def test_the_bare_list_says_what_can_be_listed(bnexp):
    answer = bnexp("list")
    assert (answer.code, answer.err) == (0, "")
    assert [line.split()[0] for line in answer.out.splitlines()] == [*GROUPS, "claims", "runs"]


@pytest.mark.parametrize("words", [["budget=smoke", "jobs=1"], ["--budget", "smoke", "--jobs", "1"]])
def test_reproduce_takes_its_settings_in_either_spelling(bnexp, words):
    answer = bnexp("reproduce", "algorithm_1", "--dry-run", *words)
    assert answer.code == 0
    assert "1 claim, budget=smoke: 1 runs" in answer.out


@pytest.fixture
def started(monkeypatch):
    """The command lines that would have replaced this process."""
    lines: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: lines.append(command))
    return lines


def shown(command: list[str]) -> list[str]:
    """Names of the runs that TensorBoard is given, as it would show them."""
    folder = Path(command[command.index("--logdir") + 1])
    found = subprocess.run(["find", "-L", ".", "-name", "tb"], cwd=folder, capture_output=True, text=True, check=True)
    return sorted(line.removeprefix("./").removesuffix("/tb") for line in found.stdout.splitlines())


def test_two_folders_of_one_name_are_shown_under_names_that_differ(bnexp, make, started, tmp_path):
    run = execute(make("train.steps=1")).record.folder
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        (tmp_path / day / "tb").symlink_to(run / "tb")
    for parent in ("a", "b"):
        (tmp_path / parent).mkdir()
        (tmp_path / "monday").rename(tmp_path / parent / "run") if parent == "a" else (tmp_path / "tuesday").rename(
            tmp_path / parent / "run"
        )
    bnexp("tensorboard", "a/run", "b/run", "--port", "0")
    assert shown(started[0]) == ["a/run", "b/run"]


def test_one_run_is_shown_under_its_name(bnexp, make, started):
    run = execute(make("train.steps=1")).record.folder
    bnexp("tensorboard", str(run), "--port", "0")
    assert shown(started[0]) == [run.name]


def test_a_port_that_is_taken_is_said_and_a_free_one_used(bnexp, make, started):
    execute(make("train.steps=1"))
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = bnexp("tensorboard", f"port={port}")
    assert f"port {port} is taken; using a free one" in answer.err
    assert started[0][started[0].index("--port") + 1] == "0"


def test_what_is_named_tensorboard_in_the_working_folder_is_not_run(bnexp, make, started, tmp_path):
    execute(make("train.steps=1"))
    (tmp_path / "tensorboard").mkdir()
    for name in ("__init__.py", "main.py"):
        (tmp_path / "tensorboard" / name).write_text("print('mine')")
    bnexp("tensorboard", "--port", "0")
    done = subprocess.run([*started[0][:3], "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "mine" not in done.stdout
