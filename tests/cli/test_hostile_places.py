"""A folder that somebody else filled: no command executes what lies there, follows its links, or believes its form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bnexp.cli.main import Output
from bnexp.records.archive import ARRAYS, RUNS, archived_runs
from bnexp.records.reader import Arrays, Damaged, RunRecord
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

#: Loaded by Python itself before any line of ours where ``python -m`` is typed, or by the test's own way of starting it.
PYTHONS_OWN = {
    "importlib", "contextlib", "warnings", "collections", "functools", "types", "operator", "keyword", "reprlib", "typing",
}  # fmt: skip

#: What packages look for and may do without.
OPTIONAL = {"sitecustomize", "usercustomize", "conftest", "tensorflow", "pandas", "rich", "cupy", "numba", "triton", "psutil"}


@pytest.fixture
def trap(tmp_path) -> Path:
    """A folder with a module of every name there is, each of which leaves a mark."""
    folder, mark = tmp_path / "trap", tmp_path / "marks"
    folder.mkdir()
    mark.mkdir()
    payload = f"open({str(mark)!r} + '/' + __name__, 'w')\n"
    for name in {*sys.stdlib_module_names, *OPTIONAL, "torch", "numpy", "yaml", "hydra", "joblib", "tqdm"} - PYTHONS_OWN:
        (folder / f"{name}.py").write_text(payload, encoding="utf-8")
    (folder / "hydra_plugins").mkdir()
    (folder / "hydra_plugins" / "launcher.py").write_text(payload, encoding="utf-8")
    (folder / ".env").write_text("BNEXP_DATA=elsewhere\n", encoding="utf-8")
    (folder / "matplotlibrc").write_text("text.usetex: True\naxes.facecolor: red\n", encoding="utf-8")
    return folder


def in_folder(folder: Path, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bnexp", *words.split()], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def check_trap(trap: Path, *commands: str) -> None:
    for words in commands:
        done = in_folder(trap, words)
        assert done.returncode == 0, (words, done.stderr)
        assert [one.name for one in (trap.parent / "marks").iterdir()] == [], words


def test_no_module_of_the_working_folder_is_imported(trap):
    check_trap(trap, "train norm=none --cfg job")


@pytest.mark.slow
def test_no_command_imports_a_module_of_the_working_folder(trap):
    check_trap(
        trap, "train train.steps=5 train.keep=last seed=0,1 execution.jobs=2",
        "train norm=none train.steps=5 seed=0,1 hydra/launcher=joblib",
        "list runs", "look", "compare runs", "export runs kept", "eval batch-lr0.1-s0", "rm --failed", "data list",
    )  # fmt: skip


@pytest.fixture
def run(make) -> Path:
    """The folder of a complete run."""
    return Path(execute(make("train.keep=last", "probes=light"), show=False).folder)


@pytest.fixture
def thesis(tmp_path) -> Path:
    """What no command may touch."""
    (tmp_path / "outside").mkdir()
    for name in ("thesis", "index.html", "look.png"):
        (tmp_path / "outside" / name).write_text("mine")
    return tmp_path / "outside"


def is_whole(outside: Path) -> bool:
    names = ("thesis", "index.html", "look.png")
    return {file.name: file.read_text() for file in outside.iterdir()} == dict.fromkeys(names, "mine")


@pytest.mark.parametrize(
    ("link", "words"),
    [("look", ("look",)), ("sweeps", ("train", "seed=5,6", "train.steps=1")), ("claims", ("train", "seed=5"))],
)
def test_a_link_in_the_place_of_a_folder_of_ours_is_refused(bnexp, run, thesis, small, link, words):
    (run.parent / link).symlink_to(thesis)
    answer = bnexp(*words, *(small if words[0] == "train" else ()))
    assert answer.code == 2
    assert "is a link, which bnexp never makes" in answer.err
    assert is_whole(thesis)


def test_a_run_folder_that_is_a_link_is_not_written_into(bnexp, run, thesis, small):
    run.rename(thesis.parent / "moved")
    run.symlink_to(thesis)
    assert bnexp("train", *small, "probes=light", "train.keep=last").code == 2
    assert is_whole(thesis)


@pytest.mark.parametrize("name", ["index.html", pytest.param("look.png", marks=pytest.mark.slow)])
def test_a_link_in_the_place_of_a_file_is_replaced(bnexp, run, thesis, name):
    (run.parent / "look").mkdir()
    (run.parent / "look" / name).symlink_to(thesis / name)
    assert bnexp("look", *(["--page-only"] if name == "index.html" else [])).code == 0
    assert is_whole(thesis)
    assert not (run.parent / "look" / name).is_symlink()


def changed(file: Path, *path: str, to: object) -> None:
    """Change one value of a JSON file."""
    content = json.loads(file.read_text())
    part = content
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = to
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("command", ["rerun", "eval"])
def test_a_module_that_a_record_names_is_imported_only_when_it_is_typed(bnexp, run, tmp_path, monkeypatch, command):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_module.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')", encoding="utf-8")
    changed(run / "run.json", "config", "plugins", to=["evil_module"])
    answer = bnexp(command, run.name)
    assert answer.code == 2
    assert f"bnexp {command} {run.name} 'plugins=[evil_module]', if you trust them" in answer.err
    assert not (tmp_path / "mark").exists()


ODD = [None, True, -1, 10**25, 1e999, "x", "\ud800", [], [[1]], {}, {"a": 1}]
PLACES = [
    ("run.json", "config"), ("run.json", "config", "norm"), ("run.json", "config", "norm", "name"), ("run.json", "config", "seed"),
    ("run.json", "config", "optimizer", "lr"), ("run.json", "config", "train", "steps"), ("run.json", "config", "probes"),
    ("run.json", "arm_id"), ("run.json", "run_id"), ("end.json", "targets"), ("end.json", "test"), ("end.json", "step"),
    ("end.json", "test", "accuracy"), ("end.json", "validation"), ("end.json", "status"), ("end.json", "seconds"),
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_value_of_another_kind_anywhere_in_a_record_is_read_or_named(bnexp, run, place):
    file, *path = place
    whole = (run / file).read_text()
    for odd in ODD:  # nothing is trained
        changed(run / file, *path, to=odd)
        for words in (["list", "runs"], ["list", "runs", "lr>0.01"], ["compare", "runs"], ["rerun", run.name, "--dry-run"]):
            assert bnexp(*words).code in (0, 2), (words, odd)
        (run / file).write_text(whole)


@pytest.fixture
def kept(bnexp, run) -> Path:
    """An export of the run."""
    assert bnexp("export", "runs", "kept").code == 0
    return run.parent.parent / "kept"


@pytest.mark.parametrize("name", ["../../outside", "..", "a/b", "", ".hidden", 5])
def test_a_name_that_leads_elsewhere_is_no_run_of_an_export(bnexp, kept, name):
    *parts, line = (kept / RUNS).read_text().splitlines()
    (kept / RUNS).write_text("\n".join([*parts, json.dumps({**json.loads(line), "run": name})]))
    answer = bnexp("list", "runs", "--runs-dir", "kept")
    assert answer.code == 2
    assert f"line {len(parts) + 1} of runs.jsonl is not a run" in answer.err


def test_a_range_of_steps_is_not_written_out_beyond_its_values(kept):
    *parts, line = (kept / RUNS).read_text().splitlines()
    whole = json.loads(line)
    whole["curves"]["val/accuracy"]["steps"] = "0-999999999999"
    (kept / RUNS).write_text("\n".join([*parts, json.dumps(whole)]))
    (run,) = archived_runs(kept).values()
    with pytest.raises(Exception, match=r"a curve of .* is damaged: more than"):
        run.curve("val/accuracy")


def bomb(file: Path, size: int) -> None:
    """An npz of some kilobytes that says ``size`` bytes of zeros."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as members, members.open("a/p/x.npy", "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (size,)})
        for _ in range(size // 2**20):
            stream.write(bytes(2**20))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("bnexp.records.reader.MOST_BYTES", 2**22)
    bomb(tmp_path / ARRAYS, 2**23)
    assert (tmp_path / ARRAYS).stat().st_size < 2**15
    with pytest.raises(Damaged, match="they would take 8,388"):
        Arrays((tmp_path / ARRAYS).read_bytes(), lambda why: Damaged(why, todo="less"))


def test_a_line_without_an_end_is_not_read_into_memory(run):
    with (run / "events.jsonl").open("ab") as stream:
        stream.truncate(2**33)  # a sparse file: it takes no room on the disk
    with pytest.raises(Damaged, match="is not an event"):
        RunRecord(run).curve("val/loss")


def test_signs_that_command_a_terminal_are_not_printed(capsys):
    Output(sys.stdout).write("a\x1b[31mred\x9b\x07\ttab\n")
    assert capsys.readouterr().out == "a?[31mred??\ttab\n"


def test_yaml_of_ones_own_folder_makes_no_objects_and_names_no_code(bnexp, tmp_path):
    mark = tmp_path / "mark"
    (tmp_path / "own" / "norm").mkdir(parents=True)
    file = tmp_path / "own" / "norm" / "evil.yaml"
    for text in (
        f"# evil\nname: batch\neps: !!python/object/apply:os.mkdir ['{mark}']\n",
        f"# evil\n_target_: os.mkdir\n_args_: ['{mark}']\nname: batch\n",
        f"# evil\nname: batch\neps:\n  _target_: os.mkdir\n  path: {mark}\n",
    ):
        file.write_text(text, encoding="utf-8")
        assert bnexp("train", "--config-dir", "own", "norm=evil", "train.steps=1").code == 2, text
    words = "hydra.callbacks.x._target_=os.mkdir hydra.job_logging._target_=x +norm._target_=os.getcwd hydra/job_logging=x"
    for word in words.split():
        assert bnexp("train", word, "train.steps=1").code == 2, word
    assert not mark.exists()
    assert not (tmp_path / "runs").exists()
