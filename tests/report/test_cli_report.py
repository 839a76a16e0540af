"""``bnexp report`` at the command line: what it writes, what it says, and that it needs no torch."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bnexp.claims
from bnexp.cli.report import main
from bnexp.errors import UserError
from bnexp.report.page import BEGIN, END


@pytest.fixture
def known(world, monkeypatch):
    """The world's claims in the place of the real ones."""
    monkeypatch.setattr(bnexp.claims, "CLAIMS", world.claims)
    return world


def test_it_writes_the_page_and_the_table_and_prints_the_verdicts(known, tmp_path, capsys):
    out = tmp_path / "deep" / "report"
    assert main(["law", "missing", "--runs-dir", str(known.runs_dir), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "table.md"]
    assert said.splitlines()[-1] == f"table  {out / 'table.md'}"
    assert "law      SUPPORTED" in said
    assert "speed" not in said


def test_machines_get_one_list_and_nothing_else(known, tmp_path, capsys):
    assert main(["identity", "--runs-dir", str(known.runs_dir), "--out", str(tmp_path), "--json"]) == 0
    assert [one["claim"] for one in json.loads(capsys.readouterr().out)] == ["identity"]


def test_settings_may_be_typed_as_for_reproduce(known, tmp_path, capsys):
    assert main(["identity", f"runs_dir={known.runs_dir}", "budget=quick", f"out={tmp_path}", "--json"]) == 0
    assert [one["claim"] for one in json.loads(capsys.readouterr().out)] == ["identity"]
    with pytest.raises(UserError, match=r"(?s)no such setting.*got: jobs.*one of budget, runs_dir, out, figures"):
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
    assert main([*shlex.split(error.value.todo)[2:], "identity", f"out={tmp_path}"]) == 0


def test_the_budget_that_is_there_is_taken_where_none_is_named(known, tmp_path, capsys):
    shutil.copytree(known.runs_dir, tmp_path / "runs")
    (tmp_path / "runs" / "claims" / "quick").rename(tmp_path / "runs" / "claims" / "full")
    assert main([str(tmp_path / "runs"), "identity", "--json"]) == 0
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
        main(["identity", f"runs_dir={known.runs_dir}", f"out={tmp_path / 'out'}", "--write-readme", str(file)])
    assert not (tmp_path / "out").exists()


def test_figures_are_written_where_asked(known, tmp_path, capsys):
    assert main(["identity", f"runs_dir={known.runs_dir}", f"out={tmp_path}", f"figures={tmp_path / 'figures'}"]) == 0
    assert f"figure identity  {tmp_path / 'figures' / 'identity.png'}" in capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["identity.png", "identity.svg"]


def test_without_any_runs_it_says_how_to_make_them(tmp_path):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(tmp_path)])
    assert str(error.value) == (
        f"nothing was reproduced with budget=quick in this runs folder\n  got: {tmp_path}\n"
        f"  try: bnexp reproduce all budget=quick runs_dir={tmp_path}"
    )


def test_a_whole_report_loads_neither_torch_nor_hydra(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from bnexp.claims import CLAIMS\nfrom bnexp.claims.runs import cells_file\nfrom bnexp.claims.runs import write_cells\n"
        "from bnexp.cli.report import main\n"
        f"write_cells(cells_file(Path({str(tmp_path)!r}), 'quick', next(iter(CLAIMS))), [])\n"
        f"code = main(['--runs-dir', {str(tmp_path)!r}])\n"
        "print('|'.join([str(code), *sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    code_word, *modules = done.stdout.splitlines()[-1].split("|")
    assert code_word == "0"
    assert "jinja2" in modules
    assert not set(modules) & {"torch", "hydra", "omegaconf", "torchvision", "tensorboard"}
