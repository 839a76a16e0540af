"""Which runs a word means, and how they are called."""

from __future__ import annotations

import json
import shutil

import pytest

from bnexp.errors import UserError
from bnexp.look.choose import MOST_RUNS, choose, fewer, labels
from bnexp.records.reader import RunRecord


def names(runs):
    return [(run.header["config"]["norm"]["name"], run.header["config"]["seed"]) for run in runs]


def test_without_a_word_it_is_the_newest_run_and_those_that_differ_in_norm_and_seed_only(runs_dir):
    assert names(choose([], runs_dir)) == [("none", 0), ("none", 1), ("batch", 0), ("batch", 1)]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["none"], [("none", 0), ("none", 1)]),
        (["norm=batch,none", "seed=1"], [("none", 1), ("batch", 1)]),
        (["npz-mlp-batch-lr0.1-s0"], [("batch", 0)]),
        (["none", "batch", "seed=0"], [("none", 0), ("batch", 0)]),
        (["train.steps=30.0", "seed=0"], [("none", 0), ("batch", 0)]),
    ],
)
def test_a_word_is_a_name_the_beginning_of_names_a_norm_or_a_value(words, meant, runs_dir):
    assert names(choose(words, runs_dir)) == meant


def test_a_folder_is_a_run_or_takes_the_place_of_the_runs_folder(runs_dir, tmp_path):
    (run,) = choose(["npz-mlp-batch-lr0.1-s1"], runs_dir)
    assert choose([str(run.folder)], tmp_path / "nowhere") == [run]
    assert len(choose([str(runs_dir), "batch"], tmp_path / "nowhere")) == 2


@pytest.mark.parametrize(
    ("words", "what", "todo"),
    [
        (["bacth"], "there is no run and no arm 'bacth' in ", "bnexp look batch"),
        (["norm=layer"], "none of these runs has this value", "norm=batch,none"),
        (["model.widht=8"], "none of these runs has such a setting", "model.width=8"),
        (["optimizer.lr=1"], "this run has not recorded what its layers received", "probes=light"),
    ],
)
def test_a_word_that_means_nothing_is_told_with_what_to_type(words, what, todo, runs_dir):
    with pytest.raises(UserError) as refusal:
        choose(words, runs_dir)
    assert refusal.value.what.startswith(what)
    assert todo in refusal.value.todo


def test_an_empty_folder_leads_to_the_demo(tmp_path):
    with pytest.raises(UserError, match="there is no complete run to look at"):
        choose([], tmp_path)


def test_a_label_says_the_norm_and_what_differs(runs_dir):
    assert labels(choose(["seed=0", "optimizer.lr=0.1"], runs_dir)) == ["without BN", "with BN"]
    assert labels(choose(["none"], runs_dir)) == ["without BN, seed 0", "without BN, seed 1"]


def test_of_too_many_runs_every_arm_keeps_some(runs_dir, tmp_path):
    runs = choose(["norm=none,batch", "optimizer.lr=0.1"], runs_dir)
    many = []
    for seed in range(15):
        for run in runs[::2]:
            folder = tmp_path / f"{run.folder.name}-{seed}"
            shutil.copytree(run.folder, folder)
            header = json.loads((folder / "run.json").read_text())
            header["config"]["seed"] = seed
            (folder / "run.json").write_text(json.dumps(header))
            many.append(RunRecord(folder))
    kept = fewer(many)
    assert len(kept) == MOST_RUNS
    assert names(kept) == [(norm, seed) for norm in ("none", "batch") for seed in range(MOST_RUNS // 2)]
