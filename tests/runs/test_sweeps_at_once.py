"""Two sweeps of the same runs: they share them. A sweep whose list of ends cannot be written: it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp.errors import UserError
from bnexp.records.reader import find_runs
from bnexp.runs import sweep as sweeps

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_sweeps_at_once_share_their_runs(small, tmp_path):
    words = ["-m", "bnexp", "train", *small, "train.steps=300", "seed=range(0,12)", "execution.jobs=1", "--json"]
    line = {"cwd": tmp_path, "stdout": subprocess.PIPE, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    both = [subprocess.Popen([sys.executable, *words], **line) for _ in range(2)]
    answers = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert [[row["status"] for row in rows] for rows in answers] == [["finished"] * 12] * 2
    assert len(find_runs(tmp_path / "runs")) == 12
    ends = [
        json.loads(row) for file in (tmp_path / "runs" / "sweeps").iterdir() for row in file.read_text().splitlines()
    ]
    trained = [end["folder"] for end in ends if not end["skipped"]]
    assert len(trained) == len({*trained}) == 12


def test_a_sweep_whose_list_cannot_be_written_goes_on(make, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise UserError("the disk is full", got="runs", todo="free some space")

    monkeypatch.setattr(sweeps, "_note", full)
    configs = [make("train.steps=2", f"seed={seed}") for seed in (0, 1)]
    ended = sweeps.sweep(configs, [["seed=0"], ["seed=1"]], ["seed=0,1"])
    assert [one.status for one in ended] == ["finished", "finished"]
    assert capsys.readouterr().err.count("lacks a line: the disk is full") == 2
