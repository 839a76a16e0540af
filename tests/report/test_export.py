"""``bnexp export``: what it writes is judged to the same verdicts; with a budget it keeps what they rest on, else everything."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import numpy as np
import pytest

import bnexp.claims
from bnexp.claims.base import Evidence
from bnexp.cli import report
from bnexp.cli.export import main
from bnexp.errors import UserError
from bnexp.records.reader import find_runs
from bnexp.records.writer import RunWriter
from bnexp.report.page import build, gather
from bnexp.report.words import as_json
from bnexp.runs.folder import make_runs_dir
from bnexp.stats.sample import Sample


@pytest.fixture
def known(world, monkeypatch):
    """The world's claims in the place of the real ones."""
    monkeypatch.setattr(bnexp.claims, "CLAIMS", world.claims)
    return world


def test_an_export_is_judged_to_the_same_verdicts_as_its_runs(known, tmp_path, capsys):
    export = tmp_path / "export"
    assert main([str(known.runs_dir), str(export)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{len(find_runs(known.runs_dir))} runs exported"
    assert said[-1] == f"judged again by: bnexp report {export}"
    again = gather([known.claims[name] for name in known.claims], "quick", export)
    assert [as_json(one) for one in again] == [as_json(one) for one in known.judged]
    pages = [
        build([one for one in judged if one.claim.id in ("law", "missing")], tmp_path / name).page.read_bytes()
        for name, judged in (("a", again), ("b", known.judged))
    ]
    assert pages[0] == pages[1]


def test_a_report_on_an_export_lies_beside_it(known, tmp_path):
    main([str(known.runs_dir), str(tmp_path / "export")])
    assert report.main([str(tmp_path / "export"), "missing"]) == 0
    assert {file.name for file in (tmp_path / "export").iterdir()} == {
        "runs.jsonl", "arrays.npz", "claims.json", "index.html", "table.md",
    }  # fmt: skip


def test_an_export_of_a_budget_judges_variants_as_well(known, tmp_path):
    shutil.copytree(known.runs_dir, tmp_path / "runs")
    for name in ("broken", "missing"):
        (tmp_path / "runs" / "claims" / "quick" / f"{name}.json").unlink()
    assert main([str(tmp_path / "runs"), str(tmp_path / "out"), "budget=quick"]) == 0
    again = {one.claim.key: one for one in gather([known.claims["speed"]], "quick", tmp_path / "out")}
    assert list(again) == ["speed", "speed subject=norm=ghost"]
    assert all(as_json(one) == as_json(known.of(key)) for key, one in again.items())


@pytest.fixture
def only(known, monkeypatch):
    """The claim ``identity`` alone, whose run also recorded what no claim looks at, beside a run of no claim."""

    def analyse(runs, _):
        arrays = runs.measured(0)
        assert "other" in arrays
        return Evidence(samples={"error": Sample.of(arrays["error"])}, data={"arrays": arrays})

    def prepare(folder, **more):
        claims = {"identity": known.claims["identity"]}
        for name in ("measure-identity-01234567", "of-no-claim"):
            (folder / name).mkdir(parents=True)
            writer = RunWriter.begin(folder / name, {"run_id": name})
            writer.arrays("measure", {"error": np.array([1e-16]), "drawn": np.zeros(2), "other": np.ones(3)})
            writer.end({"status": "finished", "seconds": {}})
        (folder / "claims" / "quick").mkdir(parents=True)
        text = (known.runs_dir / "claims" / "quick" / "identity.json").read_text()
        (folder / "claims" / "quick" / "identity.json").write_text(text)
        settings = {"analyse": analyse, "draw": lambda evidence, _: evidence.data["arrays"]["drawn"]} | more
        claims["identity"] = dataclasses.replace(claims["identity"], **settings)
        monkeypatch.setattr(bnexp.claims, "CLAIMS", claims)
        return folder

    return prepare


def test_with_a_budget_only_its_runs_and_the_arrays_that_are_read_are_kept(only, tmp_path, capsys):
    source = only(tmp_path / "runs")
    assert main([str(source), str(tmp_path / "out"), "budget=quick"]) == 0
    (run,) = find_runs(tmp_path / "out")
    assert set(run.arrays("measure")) == {"error", "drawn"}
    assert "1 run exported, 1 left out (not complete, or of no claim)" in capsys.readouterr().out
    assert main([str(source), str(tmp_path / "all")]) == 0
    assert [set(run.arrays("measure")) for run in find_runs(tmp_path / "all")] == [{"error", "drawn", "other"}] * 2


def test_a_figure_that_cannot_be_drawn_does_not_stop_an_export(only, tmp_path):
    assert main([str(only(tmp_path / "runs", draw=lambda *_: 1 / 0)), str(tmp_path / "out"), "budget=quick"]) == 0
    assert set(find_runs(tmp_path / "out")[0].arrays("measure")) == {"error"}


def test_an_analysis_that_breaks_down_does(only, tmp_path):
    with pytest.raises(UserError, match=r"(?s)analysis of identity breaks down.*division by zero.*try: bnexp export"):
        main([str(only(tmp_path / "runs", analyse=lambda *_: 1 / 0)), str(tmp_path / "out"), "budget=quick"])
    assert not (tmp_path / "out").exists()


def test_a_budget_with_missing_runs_is_no_evidence(known, tmp_path):
    shutil.copytree(known.runs_dir, tmp_path / "runs")
    (tmp_path / "runs" / "claims" / "quick" / "broken.json").unlink()
    with pytest.raises(UserError, match=r"(?s)runs of missing are missing \(3\).*got: absent-0.*try: bnexp export"):
        main([str(tmp_path / "runs"), str(tmp_path / "out"), "budget=quick"])


@pytest.mark.parametrize(("word", "todo"), [("budget=full", r"out budget=quick"), ("jobs=2", "budget=")])
def test_a_setting_that_is_not_there_is_answered_with_the_one_that_is(known, tmp_path, word, todo):
    with pytest.raises(UserError, match=todo):
        main([word, str(known.runs_dir), str(tmp_path / "out")])


def test_an_export_never_goes_into_a_folder_of_runs_or_a_file(known, tmp_path):
    (tmp_path / "file").touch()
    for out in (known.runs_dir, tmp_path / "file"):
        with pytest.raises(UserError, match="the export needs a folder"):
            main([str(known.runs_dir), str(out)])
    assert not (known.runs_dir / "runs.jsonl").exists()


def test_a_disk_that_refuses_is_told(known, tmp_path):
    (tmp_path / "file").touch()
    for command, words in ((main, [str(known.runs_dir), str(tmp_path / "file" / "out")]),
                           (report.main, [str(known.runs_dir), "missing", f"out={tmp_path / 'file' / 'out'}"])):  # fmt: skip
        with pytest.raises(UserError, match=r"cannot be written \(Not a directory\)"):
            command(words)


def test_no_run_is_added_to_an_export(known, tmp_path):
    main([str(known.runs_dir), str(tmp_path / "export")])
    with pytest.raises(UserError, match="an export is a copy"):
        make_runs_dir(tmp_path / "export")


@pytest.mark.parametrize(
    ("name", "words"),
    [("absent", "there is no run in this folder"), (".", "there is no run in this folder"), ("file", "this is a file")],
)
def test_a_folder_without_runs_is_said(tmp_path, name, words):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=words):
        main([str(tmp_path / name), str(tmp_path / "out")])


@pytest.mark.slow
def test_an_export_and_a_report_on_it_load_neither_torch_nor_hydra(world, tmp_path):
    code = (
        "import sys\nfrom bnexp.cli import export, report\n"
        f"export.main([{str(world.runs_dir)!r}, {str(tmp_path / 'out')!r}])\n"
        f"report.main([{str(tmp_path / 'out')!r}, 'algorithm_1'])\n"
        "print('|'.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    modules = set(done.stdout.splitlines()[-1].split("|"))
    assert "jinja2" in modules
    assert not modules & {"torch", "hydra", "omegaconf", "torchvision", "tensorboard"}
