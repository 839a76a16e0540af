"""``bnexp compare`` as it is typed: on an export that is committed, and everything that may be typed wrongly."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from bnexp.text import WIDTH

QUICK = str(Path(__file__).resolve().parents[2] / "results" / "quick")

#: The paper's experiment in the committed evidence: one learning rate, eight seeds, with BN and without.
FIG1 = (
    QUICK,
    "dataset=mnist_5k",
    "dataset.binarize=true",
    "train.steps=3000",
    "model.init_scale=0.1",
    "norm=none,batch",
    "model.depth=3",
)
FIG1 = (*FIG1, "train.stop_at_accuracy=null", "optimizer.lr=4", "seed=0,1,2,3,4,5,6,7")


def test_committed_evidence_is_compared(bnexp):
    answer = bnexp("compare", *FIG1)
    assert (answer.code, answer.err) == (0, "")
    assert "by norm" in answer.out
    assert "against norm=none: paired by seed" in answer.out
    assert max(map(len, answer.out.splitlines())) <= WIDTH


@pytest.mark.slow
def test_machines_get_rows(bnexp):
    arms = json.loads(bnexp("compare", *FIG1, "--json").out)
    assert [row["n"] for row in arms] == [8, 8]
    assert len(json.loads(bnexp("compare", *FIG1, "--json", "--runs").out)) == 16
    rows = list(csv.DictReader(io.StringIO(bnexp("compare", *FIG1, "--csv").out)))
    assert [row["norm"] for row in rows] == [row["norm"] for row in arms]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "what", "todo"),
    [
        (["nowhere"], "there is no such folder", "bnexp train"),
        ([QUICK, "by=nrom"], "no run has a setting 'nrom'", "by=norm"),
        ([QUICK, "batch_size=60"], "no run has a setting 'batch_size'", "train.batch_size=60"),
        ([QUICK, "bsae=norm=none"], "bnexp compare has no such setting, and no run has it", "base=norm=none"),
        ([QUICK, "norm=bacth"], "no complete run has this setting", "norm=batch"),
        ([QUICK, "norm="], "a setting needs a value", "norm=VALUE"),
        ([QUICK, "norm=none", "norm=batch"], "a setting is given twice", "norm=none,batch"),
        ([QUICK, "base=norm"], "base is a setting of the arm", "base=norm=VALUE"),
        ([QUICK, "by=norm=none"], "by takes names of settings", "by=norm"),
        ([QUICK, "effect=0"], "effect must be a number above 0", "effect=0.5"),
        ([QUICK, "paired=perhaps"], "paired is true or false", "paired=false"),
        ([QUICK, "targets=90"], "targets are validation accuracies", "targets=0.9,0.95"),
        ([QUICK, "runs_dir=runs"], "the folder is named twice", "bnexp compare"),
        ([*FIG1, "base=optimizer.lr=4"], "the arms do not differ in optimizer.lr", "base=norm="),
        ([*FIG1, "measure=tset"], "there is no measure named 'tset'", "measure=test"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_message(bnexp, words, what, todo):
    answer = bnexp("compare", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"error: {what}")
    assert "try: " in answer.err
    assert todo in answer.err.split("try: ")[1]


def test_a_folder_without_complete_runs_says_how_many_there_are(bnexp, tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "run.json").write_text('{"config": {}}', encoding="utf-8")
    answer = bnexp("compare")
    assert answer.code == 2
    assert "no complete run in this folder (1 that are not)" in answer.err
