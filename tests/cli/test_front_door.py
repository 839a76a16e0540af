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
from bnexp.norms import NORMS
from bnexp.records.paths import TENSORBOARD
from bnexp.runs.run import execute
from bnexp.text import columns


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


def test_on_a_terminal_lines_go_on_below_themselves(bnexp, monkeypatch):
    whole = bnexp("list", "claims").out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = bnexp("list", "claims").out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(" ".join(lines).split()) == " ".join(whole.split())


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
    assert lines[0].split() == ["run", "norm", "lr", "activation", "status", "step", "val", "test"]
    assert len(lines) == 4


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
    run = execute(make("train.steps=1")).record.folder
    bnexp("tensorboard", "--port", "0")
    (command,) = started
    assert [entry.resolve() for entry in logdir(command).iterdir()] == [(run / TENSORBOARD).resolve()]
    assert "scalars=5000,histograms=500,images=100" in command
    assert "--bind_all" not in command


def test_tensorboard_of_chosen_runs_shows_those_and_no_others(bnexp, make, started):
    folders = [execute(make("train.steps=1", f"seed={seed}")).record.folder for seed in (0, 1, 2)]
    bnexp("tensorboard", *map(str, folders[:2]), "--bind-all")
    shown = {path.resolve() for path in logdir(started[0]).iterdir() if path.is_symlink()}
    assert shown == {(folder / TENSORBOARD).resolve() for folder in folders[:2]}
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


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line for the shell, in which ``bnexp`` is the program."""
    line = f'bnexp() {{ "{sys.executable}" -m bnexp "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("streams", ["1>&-", "2>&-", "0<&- 1>&- 2>&-", "| true", "2>&1 | head -1"])
def test_a_stream_that_is_closed_is_no_error(tmp_path, streams):
    done = shell(f"set -o pipefail; bnexp list norms {streams}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_stream_is_not_the_next_file_that_is_opened(tmp_path):
    code = "from bnexp.cli.main import prepare_process as p; p(); print('said'); open('file','w').write('kept')"
    done = shell(f'"{sys.executable}" -c "{code}; print(1)" 1>&-', tmp_path)
    assert (done.returncode, (tmp_path / "file").read_text()) == (0, "kept")


def test_a_run_goes_on_when_nobody_reads_what_it_says(tmp_path):
    code = (
        "import os, sys; from bnexp.cli.main import prepare_process; out, err = prepare_process(); sys.stdin.read();"
        " print('x' * 100_000, file=sys.stderr); print('x' * 100_000); open('done', 'w').write(str(err.error))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    process.stderr.close()
    process.communicate(b"go")
    assert (process.returncode, (tmp_path / "done").read_text()) == (0, "[Errno 32] Broken pipe")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_standard_output_is_told(tmp_path):
    done = shell("bnexp list norms > /dev/full", tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.startswith("error: standard output cannot be written (No space left on device)")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_signs_that_an_encoding_lacks_are_written_in_ascii(encoding):
    code = "from bnexp.cli.main import prepare_process; prepare_process(); print('1.2 × ✓ ≥ ß 日')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    said = {"ascii": "1.2 x + >= ? ?", "cp1252": "1.2 × + >= ß ?", "utf-8": "1.2 × ✓ ≥ ß 日"}[encoding]
    assert done.stdout.decode(encoding).strip() == said


@pytest.mark.slow
def test_a_package_is_not_taken_from_the_working_folder(tmp_path):
    for name in ("joblib", "yaml", "numpy", "hydra"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')\n", encoding="utf-8")
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "tensorboard" / "main.py").write_text("print('the wrong module')\n", encoding="utf-8")
    done = shell("bnexp train norm=none --cfg job", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    code = "import os, subprocess, sys; from bnexp.cli.main import prepare_process; prepare_process();"
    code += "sys.exit(subprocess.run([sys.executable, '-m', 'tensorboard.main', '--version']).returncode)"
    if sys.version_info >= (3, 11):  # older ones have no such setting for the processes they start
        assert "wrong" not in shell(f'"{sys.executable}" -c "{code}"', tmp_path).stdout


def test_a_working_folder_that_was_deleted_is_told(tmp_path):
    done = shell("mkdir gone; cd gone; rmdir ../gone; bnexp list norms", tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        "error: the working folder is not there any more",
        "  try: cd to a folder that is",
    ]


@pytest.mark.parametrize("threads", ["x", "0", "-1", "1.5", "1000000", ""])
def test_a_number_of_threads_that_is_none_is_refused(bnexp, monkeypatch, threads):
    monkeypatch.setenv("BNEXP_THREADS", threads)
    answer = bnexp("list", "norms")
    assert (answer.code, answer.err.splitlines()[1:]) == (
        2,
        [f"  got: BNEXP_THREADS={threads}", "  try: unset BNEXP_THREADS"],
    )


@pytest.mark.parametrize("words", [["--runs-dir", "~/mine"], ["--runs-dir=~/mine"]])
def test_the_home_folder_is_meant_by_a_tilde_in_every_command(bnexp, monkeypatch, words):
    monkeypatch.setenv("HOME", "/home/me")
    assert "/home/me/mine" in bnexp("list", "runs", *words).out


#: A question about a configuration, its exit code, and what is said.
QUESTIONS = [
    ("--cfg job seed=3", 0, "seed: 3"),
    ("norm=none,batch seed=4,5 --cfg job", 0, "# the first of 4 runs: norm=none seed=4"),
    ("--cfg job dataset=npz dataset.path=run=1/d.npz", 0, "path: run=1/d.npz"),
    ("--cfg", 2, "try: --cfg job (or hydra, all)"),
    ("--cfg jbo", 2, "try: --cfg job (or hydra, all)"),
    ("--cfg job --json", 2, "--cfg prints YAML"),
    ("--cfg job --frobnicate", 2, "does not know this flag"),
    ("--cfg job lr=3", 2, "try: optimizer.lr=3"),
    ("--cfg job norm=bn", 2, "try: norm=batch"),
]


@pytest.mark.parametrize(("typed", "code", "said"), QUESTIONS, ids=[typed for typed, _, _ in QUESTIONS])
def test_a_question_about_a_configuration_is_answered_or_told(bnexp, typed, code, said):
    answer = bnexp("train", *typed.split())
    assert answer.code == code
    assert said in answer.out + answer.err
    assert "usage:" not in answer.err
