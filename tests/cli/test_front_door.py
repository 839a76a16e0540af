"""The small commands: usage, list, tensorboard, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp import __version__
from bnexp.cli.main import COMMANDS, entry
from bnexp.cli.table import columns
from bnexp.norms import NORMS
from bnexp.runs.run import execute


@pytest.mark.parametrize(
    ("own", "spins"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)]
)
def test_threads_spin_shortly_before_they_sleep_unless_the_user_says_otherwise(monkeypatch, own, spins):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["bnexp", "--version"])
    with pytest.raises(SystemExit):
        entry()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["help"]])
def test_the_bare_command_shows_an_example_of_each(bnexp, words):
    answer = bnexp(*words)
    assert (answer.code, answer.err) == (0, "")
    assert all(f"  {example}" in answer.out for _, example in COMMANDS.values())


def test_the_version_is_one_word(bnexp):
    assert bnexp("--version").out == f"{__version__}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(bnexp, name, capsys):
    with pytest.raises(SystemExit) as stop:
        bnexp(name, "--help")
    assert stop.value.code in (0, None)
    assert f"bnexp {name}" in capsys.readouterr().out


def test_list_says_a_line_about_each_name(bnexp):
    lines = bnexp("list", "norms").out.splitlines()
    assert [line.split()[0] for line in lines] == list(NORMS)
    assert all(len(line.split(maxsplit=1)[1]) > 10 for line in lines)


def test_list_as_json_is_what_is_shown(bnexp):
    rows = json.loads(bnexp("list", "optimizers", "--json").out)
    assert [row["name"] for row in rows] == ["adam", "adamw", "sgd"]


def test_list_runs_tells_what_became_of_each(bnexp, make):
    assert bnexp("list", "runs").out == "no runs in runs; make one: bnexp train\n"
    execute(make())
    execute(make("norm=none", "model.activation=relu", "optimizer.lr=1e6"))
    rows = json.loads(bnexp("list", "runs", "--json").out)
    assert sorted((row["status"], row["step"]) for row in rows) == [("diverged", 3), ("finished", 30)]
    lines = bnexp("list", "runs").out.splitlines()
    assert lines[0].split() == ["run", "status", "step", "val", "test"]
    assert len(lines) == 3


def test_columns_are_as_wide_as_their_widest_word():
    assert columns([["a", "bb"], ["ccc", "d"]], indent="  ") == "  a    bb\n  ccc  d"


@pytest.fixture
def started(monkeypatch):
    """The command lines that would have replaced this process."""
    lines: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, command: lines.append(command))
    return lines


def logdir(command: list[str]) -> Path:
    return Path(command[command.index("--logdir") + 1])


def test_tensorboard_opens_the_runs_with_all_their_points(bnexp, make, started):
    execute(make("train.steps=1"))
    bnexp("tensorboard", "--port", "0")
    (command,) = started
    assert logdir(command) == Path("runs")
    assert "scalars=5000,histograms=500,images=100" in command
    assert "--bind_all" not in command


def test_tensorboard_of_chosen_runs_shows_those_and_no_others(bnexp, make, started):
    folders = [execute(make("train.steps=1", f"seed={seed}")).record.folder for seed in (0, 1, 2)]
    bnexp("tensorboard", *map(str, folders[:2]), "--bind-all")
    assert {path.name: path.resolve() for path in logdir(started[0]).iterdir()} == {f.name: f for f in folders[:2]}
    assert "--bind_all" in started[0]


def test_a_folder_without_runs_is_not_opened(bnexp, tmp_path, started):
    (tmp_path / "empty").mkdir()
    answer = bnexp("tensorboard", "empty")
    assert (answer.code, started) == (2, [])
    assert "no run below this folder has anything for TensorBoard" in answer.err


def complete(line: str, bnexp, monkeypatch) -> list[str]:
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    monkeypatch.setattr(sys, "argv", ["bnexp"])
    return bnexp("-sc", "query=bash").out.split()


def test_the_shell_completes_commands_and_overrides(bnexp, monkeypatch):
    assert complete("bnexp t", bnexp, monkeypatch) == ["tensorboard", "train"]
    assert complete("bnexp train norm=re", bnexp, monkeypatch) == ["norm=reference", "norm=renorm"]
    assert complete("bnexp train optimizer.l", bnexp, monkeypatch) == ["optimizer.lr="]


def test_the_script_for_the_shell_is_printed(bnexp, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["bnexp"])
    assert "complete" in bnexp("-sc", "install=bash").out


def test_a_reader_that_closes_the_pipe_early_is_no_error():
    lines = "import sys; from bnexp.cli import main; main.usage = lambda: 'x\\n' * 100_000; sys.argv = ['bnexp']; main.entry()"
    process = subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")
    process.stderr.close()
