"""``bnexp report`` at the command line: what it writes, what it says, and that it needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import bnexp.claims
from bnexp.cli.report import main
from bnexp.errors import UserError


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
    with pytest.raises(UserError, match=r"(?s)no such setting.*got: jobs.*one of budget, runs_dir, out"):
        main(["jobs=2"])


def test_a_misspelt_claim_is_answered_with_the_nearest(known):
    with pytest.raises(UserError) as error:
        main(["lwa", "--runs-dir", str(known.runs_dir)])
    assert str(error.value).startswith("there is no claim named 'lwa'\n  got: claim=lwa\n  try: claim=law (known: ")


def test_a_misspelt_budget_is_answered_with_the_nearest(known):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(known.runs_dir), "--budget", "quikc"])
    assert str(error.value) == (
        "there is no budget named 'quikc'\n  got: --budget quikc\n  try: --budget quick (known: smoke, quick, full)"
    )


def test_a_budget_that_was_never_run_points_to_the_one_that_was(known):
    with pytest.raises(UserError) as error:
        main(["--runs-dir", str(known.runs_dir), "--budget", "full"])
    assert error.value.todo == "bnexp report --budget quick"


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
