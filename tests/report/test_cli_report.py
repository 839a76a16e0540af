"""``bnexp report`` at the command line: what it writes and what it says."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import bnexp.claims
from bnexp.cli.report import main
from bnexp.errors import UserError
from bnexp.registry import Registry
from bnexp.report.markdown import BEGIN, END


@pytest.fixture
def known(world, monkeypatch):
    """The world's claims in the place of the real ones."""
    monkeypatch.setattr(bnexp.claims, "CLAIMS", world.claims)
    return world


def test_it_writes_page_table_and_figures_and_prints_the_verdicts(known, tmp_path, capsys):
    out, figures = tmp_path / "deep" / "report", tmp_path / "figures"
    assert main(["identity", "missing", "--runs-dir", str(known.runs_dir), f"out={out}", f"figures={figures}"]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "table.md"]
    assert sorted(path.name for path in figures.iterdir()) == ["identity.png", "identity.svg"]
    assert said.splitlines()[-2:] == [
        f"table            {out / 'table.md'}",
        f"figure identity  {figures / 'identity.png'}",
    ]
    assert "identity  SUPPORTED" in said
    assert "speed" not in said


def test_machines_get_one_list_and_settings_may_be_typed_as_for_reproduce(known, tmp_path, capsys):
    folder = f"runs_dir={known.runs_dir}"
    assert main([folder, "budget=quick", f"out={tmp_path}", "missing", "--json"]) == 0
    assert [one["claim"] for one in json.loads(capsys.readouterr().out)] == ["missing"]
    with pytest.raises(UserError, match=r"(?s)no such setting.*got: jobs=2.*budget=, runs_dir=, out=, figures=, plugins="):
        main(["jobs=2"])


@pytest.mark.parametrize(("word", "todo"), [("lwa", "bnexp report law"), ("xyz", "bnexp list claims")])
def test_a_word_that_is_neither_claim_nor_folder_is_answered_with_what_works(known, word, todo):
    with pytest.raises(UserError) as error:
        main([word, "--runs-dir", str(known.runs_dir)])
    assert str(error.value) == f"this is neither a claim nor a folder\n  got: {word}\n  try: {todo}"


def test_a_misspelt_budget_is_answered_with_the_nearest(known):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(known.runs_dir), "--budget", "quikc"])
    assert str(error.value) == (
        "there is no budget named 'quikc'\n  got: budget=quikc\n  try: budget=quick (known: smoke, quick, full)"
    )


def test_a_budget_that_was_never_run_points_to_the_one_that_was(known, tmp_path):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(known.runs_dir), "--budget", "full"])
    assert error.value.todo == f"bnexp report {known.runs_dir} budget=quick"
    assert main([*shlex.split(error.value.todo)[2:], "missing", f"out={tmp_path}"]) == 0


def test_the_budget_that_is_there_is_taken_where_none_is_named(known, tmp_path, capsys):
    folder = tmp_path / "lr=0.1"  # an = in a path is no setting
    shutil.copytree(known.runs_dir / "claims" / "quick", folder / "claims" / "full")
    assert main([str(folder), "missing", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["budget"] == "full"


def test_two_folders_are_one_too_many(known, tmp_path):
    with pytest.raises(UserError, match="reads one folder"):
        main([str(known.runs_dir), f"runs_dir={tmp_path}"])


def test_the_table_in_a_readme_is_kept_by_a_command(known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(known.runs_dir)
    for file, words in (("README.md", ["--write-readme", folder]), ("own.md", [folder, "--write-readme", "own.md"])):
        Path(file).write_text(f"# Title\n{BEGIN}\nold\n{END}\nafter\n")
        assert main(["missing", "out=out", *words]) == 0
        assert Path(file).read_text() == "# Title\n" + Path("out/table.md").read_text() + "after\n"


@pytest.mark.parametrize("text", [None, "# no markers"])
def test_a_readme_without_a_place_for_the_table_is_said_before_anything_is_written(known, tmp_path, text):
    file = tmp_path / "README.md"
    if text:
        file.write_text(text)
    with pytest.raises(UserError, match="there is no"):
        main(["missing", f"runs_dir={known.runs_dir}", f"out={tmp_path / 'out'}", "--write-readme", str(file)])
    assert not (tmp_path / "out").exists()


def test_runs_without_claims_and_a_file_are_answered_with_what_works(tmp_path):
    (tmp_path / "runs.jsonl").touch()
    for path, words in ((tmp_path, "list runs --runs-dir"), (tmp_path / "runs.jsonl", "report")):
        with pytest.raises(UserError) as error:
            main([str(path)])
        assert error.value.todo == f"bnexp {words} {tmp_path}"


def test_without_any_runs_it_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(tmp_path)])
    assert str(error.value) == (
        f"nothing was reproduced with budget=quick in this runs folder\n  got: {tmp_path}\n"
        f"  try: bnexp reproduce all budget=quick runs_dir={tmp_path}"
    )


def test_a_plugin_brings_a_claim_of_its_own(known, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = [
        "from dataclasses import replace",
        "from bnexp.claims import CLAIMS",
        "CLAIMS.add('of_a_plugin', replace(CLAIMS['law'], id='of_a_plugin'))",
    ]
    Path("plugin_with_a_claim.py").write_text("\n".join(lines))
    brought = Registry("claim")
    for name in known.claims:
        brought.add(name, known.claims[name])
    monkeypatch.setattr(bnexp.claims, "CLAIMS", brought)
    folder = f"runs_dir={known.runs_dir}"
    assert main(["plugins=[plugin_with_a_claim]", "of_a_plugin", folder, "out=out"]) == 0
    assert "of_a_plugin  NOT RUN" in capsys.readouterr().out
    with pytest.raises(UserError, match="plugin module 'no_such_plugin' is not found"):
        main(["plugins=[no_such_plugin]", folder])


@pytest.mark.slow
def test_the_page_of_all_evidence_stays_light(tmp_path):
    """Two million bytes load in a second or two from anywhere; it was 1.9 when this was written."""
    assert main([str(Path(__file__).parents[2] / "results" / "quick"), "budget=quick", f"out={tmp_path}"]) == 0
    assert (tmp_path / "index.html").stat().st_size < 2_000_000
