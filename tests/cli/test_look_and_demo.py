"""``bnexp look`` and ``bnexp demo`` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp.cli import demo
from bnexp.runs.run import execute


@pytest.fixture
def no_screen(monkeypatch):
    """A machine without a browser."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.mark.slow
def test_look_writes_a_page_and_opens_it(bnexp, make, monkeypatch):
    for norm in ("none", "batch"):
        execute(make("probes=light", f"norm={norm}"))
    opened = []
    monkeypatch.setenv("BROWSER", "any")
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    answer = bnexp("look", "--page-only", "--open")
    assert (answer.code, answer.err) == (0, "")
    assert opened == [Path("runs/look/index.html").resolve().as_uri()]
    assert "runs  2: without BN, with BN" in answer.out
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    told = json.loads(bnexp("look", "norm=none", "out=elsewhere", "--page-only", "--json").out)
    assert (len(told["runs"]), told["files"]) == (1, {"page": "elsewhere/index.html"})


@pytest.mark.slow
def test_look_loads_neither_torch_nor_hydra(make, tmp_path):
    execute(make("probes=light"))
    code = "import sys; from bnexp.cli.main import run; run(sys.argv[1:]); print({'torch', 'hydra'} & set(sys.modules))"
    words = [sys.executable, "-c", code, "look", "--page-only"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["look"], "error: there is no complete run to look at\n  got: runs\n  try: bnexp demo"),
        (["look", "point=after"], "error: a layer cannot be looked at there\n  got: point=after\n  try: point="),
        (["look", "--fast"], "error: bnexp look does not know this flag\n  got: --fast\n  try: bnexp look --help"),
        (["demo", "runs"], "error: bnexp demo takes no more words than it has\n  got: runs\n  try: bnexp demo --help"),
        (["demo", "seed=3"], "error: bnexp demo has no such setting\n  got: seed=3\n  try: "),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(bnexp, words, message, files_below, tmp_path):
    answer = bnexp(*words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(message)
    assert files_below(tmp_path) == []


@pytest.mark.slow
@pytest.mark.usefixtures("no_screen")
def test_the_demo_trains_both_arms_says_three_lines_and_writes_the_page(bnexp, small, monkeypatch):
    monkeypatch.setattr(demo, "RUNS", ("norm=none,batch", *small, "probes=light"))
    monkeypatch.setattr(demo, "NUM_PROCESSES", 1)
    answer = bnexp("demo", "runs_dir=my runs")
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[1].startswith("Without BN the median unit of layer 3 ")
    assert lines[2].startswith("With BN the median unit of layer 3 ")
    assert Path("my runs/look/index.html").is_file()
    assert f"no browser here; open it yourself: {Path('my runs/look/index.html').resolve().as_uri()}\n" in answer.err
    again = bnexp("demo", "runs_dir=my runs", "--no-open", "--json")
    told = json.loads(again.out)
    assert told["sentences"][0] == " ".join(lines[:1])
    assert "was complete already" in again.err
    assert "open it" not in again.err


def test_the_demo_makes_ordinary_runs_that_differ_in_the_norm_alone(bnexp):
    answer = bnexp("train", *demo.RUNS, "--dry-run")
    assert (answer.code, answer.out.splitlines()[0]) == (0, "2 runs, 0 complete already")
