"""``bnexp figure`` at the command line: which figures there are, what it writes, what it refuses."""

from __future__ import annotations

import json

import pytest

import bnexp.claims
from bnexp.cli.figure import main
from bnexp.errors import UserError


@pytest.fixture
def known(world, monkeypatch):
    """The world's claims in the place of the real ones."""
    monkeypatch.setattr(bnexp.claims, "CLAIMS", world.claims)
    return world


def test_without_a_name_it_lists_every_figure(known, capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[:-1]} == {"fig1", *known.claims}
    assert max(map(len, lines)) <= 80


def test_it_writes_the_formats_that_are_asked_for_the_same_bytes_each_time(known, tmp_path, capsys):
    for out in ("a", "b"):
        words = ["identity", str(known.runs_dir), f"out={tmp_path / out}", "format=pdf,svg", "--json"]
        assert main(words) == 0
    assert [name[-12:] for name in json.loads(capsys.readouterr().out.splitlines()[-1])] == ["identity.pdf", "identity.svg"]
    for name in ("identity.pdf", "identity.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["identiti", "out=x"], "this is neither a figure nor a folder"),
        (["identity"], "needs a folder to write to"),
        (["identity", "out=x", "format=jpg"], "a figure is written as svg, png, pdf"),
        (["missing", "out=x"], "in this folder with budget=quick"),
    ],
)
def test_a_mistake_is_one_message_and_nothing_is_written(known, tmp_path, monkeypatch, words, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=what):
        main([*words, f"runs_dir={known.runs_dir}"])
    assert not (tmp_path / "x").exists()


def test_all_draws_what_there_is_and_names_the_rest(known, tmp_path, capsys):
    assert main(["all", str(known.runs_dir), f"out={tmp_path / 'x'}", "format=svg"]) == 0
    told = capsys.readouterr()
    assert "identity.svg" in told.out
    assert not (tmp_path / "x" / "missing.svg").exists()
    (line,) = told.err.splitlines()
    assert line.startswith("not drawn, for want of runs in ")
    assert "missing" in line
