"""``bnexp doctor``: each thing it may find, in words, and the whole of it once."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import namedtuple
from importlib.metadata import PackageNotFoundError, requires, version

import pytest
from packaging.requirements import Requirement

from bnexp.cli import doctor
from bnexp.cli.doctor import Item
from bnexp.config.compose import compose
from bnexp.data import SOURCES
from bnexp.data.cache import cache_file
from bnexp.engine import device as engine_device
from bnexp.errors import UserError
from bnexp.probes import PROBES


def named(items):
    return {item.name: item for item in items}


def versions_with(monkeypatch, name, found):
    """The section's items on a machine that has ``found`` as the version of ``name``, or an error in its place."""

    def changed(asked):
        if asked != name:
            return version(asked)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(doctor, "version", changed)
    return named(doctor.versions())


@pytest.mark.slow
def test_the_whole_of_it_is_json_and_leaves_nothing_behind(bnexp, small, tmp_path, monkeypatch, files_below):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(doctor, "MEASURED_RUN", tuple(small))
    answer = bnexp("doctor", "--json", "--data-dir", "data")
    seen = json.loads(answer.out)
    items = {item["name"]: item for item in seen["items"]}
    assert (answer.code, seen["ready"]) == (0, True), items
    assert {"Python", "bnexp", *doctor.PACKAGES, "processor", "CUDA device", "TensorBoard"} <= set(items)
    assert items["dataset=mnist"]["found"].startswith("absent")
    assert items["the default run"]["found"].startswith("finished, ")
    assert items["probes=light"]["found"].endswith(" % of training time (at most 3 %)")
    assert items["probes=full"]["found"].endswith(" % of training time (at most 30 %)")
    assert [file for file in files_below(tmp_path) if not file.startswith("data/")] == []
    assert "doctor: measuring the default run" in answer.err


def test_the_measured_run_is_the_default_one_whose_probes_are_light():
    assert doctor.MEASURED_RUN == ()
    assert compose(["probes=light"]) == compose()
    assert {PROBES[name].cost for name in compose(["probes=light"]).probes} == {"light"}


def test_full_looks_at_the_same_and_at_more_of_it_with_a_histogram_every_time():
    light, full = (compose([f"probes={preset}"]).probes["layer_inputs"] for preset in ("light", "full"))
    assert all(full[name] > light[name] for name in ("examples", "observations", "histograms"))
    assert full["steps_between"] < light["steps_between"]
    assert full["histograms"] >= full["observations"]


#: What pyproject.toml asks of torch.
TORCH = next(r.specifier for r in map(Requirement, requires("bnexp") or []) if r.name == "torch")


def test_supported_versions_are_ok_and_a_package_of_hydras_has_hydras_range():
    items = named(doctor.versions())
    assert {items[name].state for name in ("Python", *doctor.PACKAGES)} == {"ok"}
    assert items["torch"].found == f"{version('torch')} (supported: {TORCH})"
    assert "<2.4" in items["omegaconf"].found


def test_an_unsupported_version_says_what_to_type(monkeypatch):
    items = versions_with(monkeypatch, "torch", "2.5.1")
    assert items["torch"] == Item("torch", f"2.5.1 is outside {TORCH}", f"pip install 'torch{TORCH}'")
    assert items["torch"].state == "attention"
    assert items["torchvision"].state == "ok"


@pytest.mark.parametrize("found", ["2.12.0+cpu", "2.15.1.dev20261101+cu132", "2.15.0"])
def test_builds_and_nightlies_of_a_supported_version_are_supported(monkeypatch, found):
    assert versions_with(monkeypatch, "torch", found)["torch"].state == "ok"


def test_a_missing_package_prevents_runs(monkeypatch):
    items = versions_with(monkeypatch, "omegaconf", PackageNotFoundError("omegaconf"))
    assert items["omegaconf"].found == "not installed"
    assert items["omegaconf"].prevents
    assert items["omegaconf"].todo.startswith("pip install 'omegaconf<2.4")


def test_an_unsupported_python_asks_for_another(monkeypatch):
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.14.0")
    item = named(doctor.versions())["Python"]
    assert item.found == "3.14.0 is outside <3.14,>=3.10"
    assert item.todo == "a virtual environment with Python <3.14,>=3.10"


@pytest.mark.parametrize(
    ("prevents", "code", "last"),
    [(True, 2, "something prevents runs: torch"), (False, 0, "ready: bnexp train")],
)
def test_the_exit_code_and_the_last_line_say_whether_runs_are_possible(bnexp, monkeypatch, prevents, code, last):
    items = [Item("Python", "3.11.7"), Item("torch", "2.5.1 is outside >=2.6", "pip install 'torch>=2.6'", prevents)]
    monkeypatch.setattr(doctor, "examine", lambda *_: items)
    answer = bnexp("doctor")
    assert answer.code == code
    assert answer.out.splitlines() == [
        "ok         Python  3.11.7",
        "attention  torch   2.5.1 is outside >=2.6   -> pip install 'torch>=2.6'",
        last,
    ]
    assert json.loads(bnexp("doctor", "--json").out)["ready"] is not prevents


def fails_with(error):
    def section():
        yield Item("first", "fine")
        raise error

    return list(doctor._guarded("section", section))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("no disk", got="/x", todo="buy one"), Item("section", "no disk (/x)", "buy one", True)),
        (
            ImportError("libtorch.so\nmore"),
            Item("section", "not importable: libtorch.so", "install bnexp in a fresh environment", True),
        ),
        (
            ZeroDivisionError("by zero"),
            Item("section", "ZeroDivisionError: by zero", "bnexp train, which keeps the whole traceback", True),
        ),
    ],
    ids=["user", "import", "bug"],
)
def test_what_a_section_stumbles_over_is_an_item_and_not_a_traceback(error, expected):
    assert fails_with(error) == [Item("first", "fine"), expected]


def test_a_damaged_parsed_copy_prevents_runs_and_an_absent_set_does_not(tmp_path):
    file = cache_file(tmp_path, "mnist_5k")
    file.parent.mkdir()
    file.write_bytes(b"half of it")
    items = named(doctor.data_sets(str(tmp_path)))
    assert set(items) == {f"dataset={name}" for name in SOURCES if SOURCES[name].fingerprint is None}
    assert items["dataset=mnist_5k"] == Item(
        "dataset=mnist_5k", f"damaged: {file}", "delete these files, then bnexp data fetch mnist_5k", prevents=True
    )
    assert items["dataset=mnist"] == Item("dataset=mnist", "absent: bnexp data fetch mnist")


def test_a_runs_folder_that_cannot_be_made_prevents_runs_and_a_new_one_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LEAST_FREE", 0)
    (tmp_path / "file").write_text("in the way")
    refused = named(doctor.disk(str(tmp_path), tmp_path / "file" / "runs"))["runs folder"]
    assert (refused.prevents, refused.todo) == (True, "runs_dir=FOLDER, one you may write to")
    welcome = named(doctor.disk(str(tmp_path / "data"), tmp_path / "new" / "runs"))
    assert {item.state for item in welcome.values()} == {"ok"}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_nearly_full_disk_wants_attention(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 9 * 10**8))
    item = named(doctor.disk(str(tmp_path), tmp_path))["runs folder"]
    assert item == Item("runs folder", f"{tmp_path}, 0.9 GB free", "free some space")


def test_a_tensorboard_that_does_not_start_says_why(monkeypatch):
    broken = subprocess.CompletedProcess([], 1, "", "Traceback\nModuleNotFoundError: No module named 'pkg_resources'\n")
    monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: broken)
    [item] = doctor.tensorboard()
    assert item.found == "does not start: ModuleNotFoundError: No module named 'pkg_resources'"
    assert item.todo == "pip install --upgrade tensorboard"


@pytest.mark.parametrize(
    ("preset", "probe_seconds", "found", "state"),
    [
        ("light", 0.2, "2.0 % of training time (at most 3 %)", "ok"),
        ("light", 0.4, "4.0 % of training time (at most 3 %)", "attention"),
        ("full", 0.4, "4.0 % of training time (at most 30 %)", "ok"),
        ("full", 3.1, "31.0 % of training time (at most 30 %)", "attention"),
    ],
)
def test_the_share_of_a_preset_is_held_against_what_it_may_take(preset, probe_seconds, found, state):
    item = doctor.probe_share(preset, {"probe": probe_seconds, "train": 10.0})
    assert (item.name, item.found, item.state) == (f"probes={preset}", found, state)


@pytest.mark.parametrize(("native", "words"), [(True, "in hardware"), (False, "emulated, as far as torch knows")])
def test_bfloat16_is_what_the_processor_has(monkeypatch, native, words):
    monkeypatch.setattr(engine_device, "has_native_bf16", lambda _: native)
    found = named(doctor.device())["bfloat16"].found
    assert found == f"{words} (runs compute in float32 unless execution.precision says otherwise)"


def test_help_loads_no_torch():
    program = (
        "import sys; from bnexp.cli.main import run\n"
        "try: run(['doctor', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'hydra'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    assert "--data-dir" in done.stdout
