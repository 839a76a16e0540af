"""Records as people want them: list, run again, remove, score what was kept; each mistake is one message and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bnexp.records.reader import find_runs
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


def names(folder: Path) -> list[str]:
    return [record.folder.name for record in find_runs(folder)]


def test_a_list_shows_what_differs_and_takes_filters_and_an_order(bnexp, make):
    for words in (["norm=batch"], ["norm=none"], ["norm=none", "train.batch_size=40"]):
        execute(make("train.steps=2", *words))
    lines = bnexp("list", "runs").out.splitlines()
    assert lines[0].split() == ["run", "norm", "batch_size", "val", "test"]
    assert lines[-1] == "3 runs in runs, all finished, 2 steps each"
    assert max(map(len, lines)) <= 80
    rows = json.loads(bnexp("list", "runs", "norm=none", "sort=-train.batch_size", "--json").out)
    assert [row["label"] for row in rows] == ["batch_size=40", "batch_size=20"]
    assert bnexp("list", "runs", "norm=layer").out.startswith("none of 3 runs fits norm=layer\nnorm is batch, none\n")
    wrong = bnexp("list", "runs", "nrom=none")
    assert (wrong.code, wrong.err.count("\n")) == (2, 3)


def test_a_run_is_done_again_beside_itself_or_with_other_settings(bnexp, make, tmp_path):
    first = execute(make("train.steps=2", "norm=ghost", "norm.ghost_size=10")).record.folder
    assert bnexp("rerun", first.name[-8:]).code == 0
    assert names(tmp_path / "runs") == [first.name, f"{first.name}.2"]
    answer = bnexp("rerun", first.name, "norm=layer", "seed=3,4", "--json")
    configs = [one["config"] for one in json.loads(answer.out)]
    assert [(one["norm"]["name"], one["seed"], one["train"]["steps"]) for one in configs] == [
        ("layer", 3, 2),
        ("layer", 4, 2),
    ]
    assert configs[0]["probes"] == {}


def test_the_command_of_a_rerun_gives_that_run_when_pasted(bnexp, make, tmp_path):
    import shlex

    execute(make("train.steps=2", "probes=light", "probes.layer_inputs.examples=30", "model.activation=relu"))
    assert bnexp("rerun", names(tmp_path / "runs")[0], "seed=5", "optimizer=adam").code == 0
    (record,) = (one for one in find_runs(tmp_path / "runs") if one.header["config"]["seed"] == 5)
    words = shlex.split(record.header["command"])
    assert words[:2] == ["bnexp", "train"]
    assert "complete already: nothing to train" in bnexp("train", *words[2:], "--dry-run").out


#: A command after `bnexp`, RUN standing for the run, and how its advice begins.
WRONG = [
    ("rerun", "bnexp rerun RUN"),
    ("rerun nothing", "bnexp list runs"),
    ("rerun RUN experiment=paper_mnist", "bnexp train experiment=paper_mnist"),
    ("rerun RUN train.stepz=3", "train.steps=3"),
    ("rerun RUN runs_dir=nowhere", "runs_dir=FOLDER"),
    ("rm", "bnexp rm RUN"),
    ("rm RUN norm=batch", "bnexp rm RUN"),
    ("rm nothing", ""),
    ("rm --failed runs_dir=nowhere", "runs_dir=FOLDER"),
    ("rm nrom=batch", "norm=batch"),
    ("eval", "bnexp eval RUN"),
    ("eval RUN", "bnexp rerun RUN train.keep=last"),
    ("eval RUN statistics=runing", "statistics=running"),
    ("eval RUN split=tset", "split=test"),
    ("eval RUN norm=none", "one of runs_dir="),
]


@pytest.mark.parametrize(("words", "todo"), WRONG, ids=[words for words, _ in WRONG])
def test_a_mistake_is_one_message_and_nothing_is_written(bnexp, make, files_below, tmp_path, words, todo):
    run = execute(make("train.steps=1")).record.folder.name
    before = files_below(tmp_path)
    answer = bnexp(*words.replace("RUN", run).split())
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert f"try: {todo}" in answer.err.replace(run, "RUN")
    assert files_below(tmp_path) == before


def test_runs_are_shown_before_they_are_removed(bnexp, make, tmp_path):
    kept = execute(make("train.steps=1")).record.folder
    gone = execute(make("train.steps=1", "norm=none")).record.folder
    shown = bnexp("rm", "norm=none").out
    assert gone.name in shown
    assert kept.name not in shown
    assert "nothing is removed yet: bnexp rm norm=none --yes" in shown
    assert gone.is_dir()
    assert "removed: 1 run" in bnexp("rm", "norm=none", "--yes").out
    assert names(tmp_path / "runs") == [kept.name]
    assert bnexp("rm", "--failed", "--yes").out == "there is no such run here, nothing to remove\n"


def test_links_foreign_folders_and_runs_at_work_are_left_alone(bnexp, make, tmp_path):
    from bnexp.runs.folder import occupied, remove_run

    record = execute(make("train.steps=1")).record
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("mine")
    (record.folder / "link").symlink_to(outside)
    (tmp_path / "runs" / "link").symlink_to(record.folder)
    (tmp_path / "runs" / "foreign").mkdir()
    (tmp_path / "runs" / "foreign" / "run.json").write_text("{}")
    for name in ("link", "foreign"):
        assert remove_run(tmp_path / "runs" / name) == "not a run folder of bnexp's"
    with occupied(tmp_path / "runs", record.header["run_id"], force=True) as place:
        assert remove_run(place.folder) == "not a run folder of bnexp's"  # it has no header yet
    assert bnexp("rm", record.folder.name, "--yes").code == 0
    assert (outside / "mine").read_text() == "mine"
    assert not record.folder.exists()


def test_kept_weights_are_scored_as_the_run_scored_them(bnexp, make):
    record = execute(make("train.keep=last", "norm=batch")).record
    told = json.loads(bnexp("eval", record.folder.name[-8:], "--json").out)
    test = record.end["test"]
    assert told["running"] == {"accuracy": test["accuracy"], "loss": test["loss"]}
    assert told["recomputed"] == {"accuracy": test["recomputed_accuracy"], "loss": test["recomputed_loss"]}
    assert told["batch"]["loss"] != told["running"]["loss"]
    assert (told["step"], told["num_examples"]) == (30, 53)
    train = json.loads(bnexp("eval", record.folder.name, "split=train", "statistics=batch", "--json").out)
    assert (train["num_examples"], train.get("running")) == (200, None)


def test_a_net_without_running_statistics_is_scored_once(bnexp, make):
    name = execute(make("train.keep=last", "norm=layer")).record.folder.name
    assert "no running statistics" in bnexp("eval", name).out
    answer = bnexp("eval", name, "statistics=batch")
    assert (answer.code, answer.err.splitlines()[-1]) == (2, "  try: statistics=running")


def test_another_data_set_has_to_fit_the_net(bnexp, make, pattern_arrays, tmp_path):
    import numpy as np

    name = execute(make("train.keep=last")).record.folder.name
    np.savez(tmp_path / "other.npz", **{**pattern_arrays, "x_test": 255 - pattern_arrays["x_test"]})
    told = json.loads(bnexp("eval", name, "dataset.path=other.npz", "statistics=running", "--json").out)
    assert told["num_examples"] == 53
    answer = bnexp("eval", name, "dataset=mnist_5k")
    assert answer.code == 2
    assert "the net takes pictures of 6x6 pixels in 1 channel and knows 3 classes; dataset=mnist_5k has" in answer.err


def test_data_that_have_changed_since_are_refused(bnexp, make, pattern_arrays, tmp_path):
    import numpy as np

    own = tmp_path / "own.npz"
    np.savez(own, **pattern_arrays)
    name = execute(make("train.keep=last", f"dataset.path={own}")).record.folder.name
    np.savez(own, **{**pattern_arrays, "x_test": 255 - pattern_arrays["x_test"]})
    assert "are others than those the run was trained on" in bnexp("eval", name).err


def test_a_kept_net_is_folded_compared_and_timed(bnexp, make):
    name = execute(make("train.keep=last", "norm=batch")).record.folder.name
    told = json.loads(bnexp("eval", name, "--fold", "--json").out)
    assert [one["reason"] for one in told["norms"]] == [""] * 3
    assert told["before"]["accuracy"] == told["after"]["accuracy"]
    assert 0 <= told["difference"] < 1e-4
    assert told["time"]["low"] <= told["time"]["times"] <= told["time"]["high"]
    assert "3 of 3 norms folded" in bnexp("eval", name, "--fold").out
    plain = execute(make("train.keep=last", "norm=none")).record.folder.name
    for words, advice in (([plain, "--fold"], "norm=batch"), ([name, "--fold", "statistics=batch"], "--fold alone")):
        answer = bnexp("eval", *words)
        assert answer.code == 2
        assert advice in answer.err
