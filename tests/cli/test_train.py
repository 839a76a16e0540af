"""``bnexp train`` as a user meets it: the report, JSON, sweeps, plugins, one command in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnexp.engine import loop


def table(out: str) -> list[list[str]]:
    """The cells of a sweep's first table, two spaces apart; its title stands above an empty line."""
    lines = out.partition("\n\n")[2].splitlines()
    return [re.split(r"\s{2,}", line.rstrip()) for line in lines]


def test_a_run_ends_with_what_one_wants_to_know(bnexp, small):
    answer = bnexp("train", *small, "train.targets=[0.4,0.999]", "probes=light")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "npz, mlp, norm batch, lr 0.1, seed 0: finished after 30 steps"
    assert [line[2:].split("  ")[0] for line in lines[1:] if line[2] != " "] == [
        "test accuracy", "steps to 0.4", "steps to 0.999", "layer inputs", "time", "run folder", "look at it",
    ]  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert "of 53 examples with running statistics" in answer.out
    assert "with recomputed population statistics" in answer.out
    assert "not reached in 30 steps" in answer.out
    assert "% of training)" in answer.out
    assert "bnexp tensorboard runs" in lines[-1]


def test_a_net_without_running_statistics_has_one_score(bnexp, small):
    out = bnexp("train", *small, "norm=none").out
    assert "of 53 examples\n" in out
    assert "population statistics" not in out


def test_a_diverged_run_is_a_result(bnexp, small):
    answer = bnexp("train", *small, "norm=none", "model.activation=relu", "optimizer.lr=1e6")
    assert answer.code == 0
    assert answer.out.startswith(
        "npz, mlp, norm none, lr 1e+06, seed 0: diverged; the loss of update 3 was not finite\n"
    )
    assert "not measured: the run diverged" in answer.out
    assert answer.err == ""


def test_a_complete_run_is_skipped_and_said_so(bnexp, small):
    first = bnexp("train", *small)
    again = bnexp("train", *small)
    assert (again.code, again.out) == (0, first.out)
    assert again.err.startswith(
        "already complete, nothing to train (force=true runs it again beside this one):\n  runs/npz-mlp-"
    )


def test_json_is_for_machines_and_alone_on_standard_output(bnexp, small):
    answer = bnexp("train", *small, "--json")
    got = json.loads(answer.out, parse_constant=pytest.fail)
    assert (got["status"], got["step"], got["config"]["norm"]["name"]) == ("finished", 30, "batch")
    assert Path(got["folder"]).name == got["run_id"]


def test_no_bar_is_drawn_where_there_is_no_terminal(bnexp, small, monkeypatch):
    monkeypatch.setattr("bnexp.engine.journal.LINE_SECONDS", 0.0)
    answer = bnexp("train", *small)
    assert "\r" not in answer.err
    lines = answer.err.splitlines()
    assert lines[-1].startswith("npz mlp batch s0: step 30/30, loss ")
    assert lines[-1].endswith(" steps/s, 0 s left")


def fail_for(norm: str, monkeypatch) -> None:
    real = loop.evaluate

    def evaluate(model, split, experiment, forward=None):
        if experiment.config.norm.name == norm:
            raise RuntimeError("out of luck")
        return real(model, split, experiment, forward)

    monkeypatch.setattr(loop, "evaluate", evaluate)


def test_a_run_that_fails_names_its_folder_and_has_exit_code_3(bnexp, small, monkeypatch, tmp_path):
    fail_for("batch", monkeypatch)
    answer = bnexp("train", *small)
    assert (answer.code, answer.out) == (3, "")
    (error,) = tmp_path.glob("runs/*/error.txt")
    assert answer.err == f"the run failed: RuntimeError: out of luck\n  see: {error.relative_to(tmp_path)}\n"


def test_a_sweep_ends_with_one_table_best_arms_first_and_seeds_together(bnexp, small, tmp_path):
    answer = bnexp("train", *small, "norm=none,batch", "seed=1,0", "--runs")
    assert answer.code == 0
    heading, *rows = table(answer.out)[:7]
    assert heading[0] == "norm"
    assert "test accuracy %" in heading
    assert [row[:2] for row in rows if row[0]] == [["batch", "2"], ["none", "2"]]
    assert [row[1] for row in rows if not row[0]] == ["seed 0", "seed 1"] * 2
    assert answer.out.splitlines()[-2:] == ["look at them: bnexp tensorboard runs", "ask again: bnexp compare runs"]
    assert len(list(tmp_path.glob("runs/*/end.json"))) == 4
    (manifest,) = tmp_path.glob("runs/sweeps/*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    assert [(line["status"], line["skipped"]) for line in lines] == [("finished", False)] * 4
    assert (tmp_path / "runs" / ".gitignore").exists()


def test_progress_of_a_sweep_is_told_on_standard_error(bnexp, small):
    first, *lines = bnexp("train", *small, "seed=0,1").err.splitlines()
    assert first == "2 runs, 0 complete, 1 process, into runs"
    assert [line.split(";")[0] for line in lines] == ["[1/2] seed=0: finished", "[2/2] seed=1: finished"]
    again = bnexp("train", *small, "seed=0,1")
    assert again.code == 0
    assert [line.split(";")[0] for line in again.err.splitlines()] == [
        f"[{n}/2] seed={n - 1}: was complete already" for n in (1, 2)
    ]


def test_one_failure_or_refusal_does_not_stop_the_rest(bnexp, small, monkeypatch):
    fail_for("layer", monkeypatch)
    answer = bnexp("train", *small, "norm=layer,group,batch", "+norm.num_groups=3")
    assert answer.code == 2  # a key that not every norm has is refused before anything starts
    answer = bnexp("train", *small, "norm=layer,instance,batch")
    assert answer.code == 3
    rows = table(answer.out)
    assert (rows[0][0], rows[1][0]) == ("arm", "all runs")  # nothing else is complete
    failures = sorted(line for line in answer.out.splitlines() if line.startswith(("failed", "refused")))
    assert "norm=layer: RuntimeError: out of luck (see runs/" in failures[0]
    assert failures[1].startswith("refused: ")
    assert "norm=instance" in failures[1]


@pytest.mark.slow
def test_a_sweep_trains_side_by_side_when_asked_and_each_run_has_its_record(bnexp, small):
    answer = bnexp("train", *small, "norm=none,batch", "optimizer.lr=0.1,0.3", "execution.stack=2", "--json")
    assert answer.code == 0
    rows = json.loads(answer.out)
    assert [row["execution"] for row in rows] == ["2 side by side, eager"] * 4
    assert len({(row["config"]["norm"]["name"], row["config"]["optimizer"]["lr"]) for row in rows}) == 4


def test_a_failed_run_of_a_sweep_is_tried_again_when_that_is_asked_for(bnexp, small, monkeypatch, tmp_path):
    with monkeypatch.context() as broken:
        fail_for("layer", broken)
        assert bnexp("train", *small, "norm=layer,batch").code == 3
    again = bnexp("train", *small, "norm=layer,batch")
    assert again.code == 3
    assert "norm=layer: failed before (RuntimeError: out of luck); retry=failed tries it again" in again.err
    assert len(list(tmp_path.glob("runs/*layer*"))) == 1
    tried = bnexp("train", *small, "norm=layer,batch", "retry=failed")
    assert (tried.code, len(list(tmp_path.glob("runs/*layer*/end.json")))) == (0, 2)


def test_a_sweep_stops_after_as_many_failures_as_it_may_have(bnexp, small, monkeypatch, tmp_path):
    fail_for("layer", monkeypatch)
    answer = bnexp("train", *small, "norm=layer,batch", "seed=0,1,2", "max_failures=2")
    assert answer.code == 3
    assert "stopped: 2 runs failed (max_failures=2); the same command goes on" in answer.err
    assert not list(tmp_path.glob("runs/*batch*"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert bnexp("train", *small, "norm=layer,batch", "seed=0,1,2", "retry=failed").code == 0


def test_a_sweep_of_which_no_run_can_begin_is_a_mistake_told_once_that_leaves_nothing_behind(bnexp, small, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    answer = bnexp("train", *small, "model.depth=-1", "seed=0,1,2")
    why = "model.depth must be a whole number of at least 1 (got: -1; try: model.depth=3)"
    assert (answer.code, answer.out, answer.err.count(why)) == (2, "", 2)
    assert answer.err.splitlines()[-1].endswith(f"seed=0 and 2 more: {why}")
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_that_can_begin_are_trained_beside_those_that_cannot(bnexp, small, tmp_path):
    answer = bnexp("train", *small, "model.depth=-1,1", "seed=0,1")
    assert (answer.code, answer.out.count("refused: ")) == (3, 1)
    assert (len(list(tmp_path.glob("runs/*/end.json"))), len(list(tmp_path.glob("runs/sweeps/*")))) == (2, 1)


def test_a_sweep_as_json_has_a_row_for_each_run_failed_or_not(bnexp, small, monkeypatch):
    fail_for("layer", monkeypatch)
    answer = bnexp("train", *small, "norm=layer,batch", "--json")
    rows = json.loads(answer.out, parse_constant=pytest.fail)
    assert answer.code == 3
    assert [row["status"] for row in rows] == ["failed", "finished"]
    assert rows[0]["reason"].startswith("RuntimeError: out of luck")


def test_a_diverged_arm_comes_last_in_the_table_and_is_no_failure(bnexp, small):
    answer = bnexp("train", *small, "model.activation=relu", "norm=none", "optimizer.lr=1e6,0.1")
    assert answer.code == 0
    rows = table(answer.out)
    assert [float(row[0]) for row in rows[1:3]] == [0.1, 1e6]
    assert rows[2][1] == "1, 1 diverged"


def test_one_run_with_m_is_a_sweep_of_one(bnexp, small):
    answer = bnexp("train", *small, "-m", "~plugins")
    assert answer.code == 0
    assert answer.out.startswith("1 run, 1 arm; ")


def test_cfg_prints_the_configuration_and_runs_nothing(bnexp, small, tmp_path, files_below):
    answer = bnexp("train", *small, "norm=ghost", "norm.ghost_size=15", "--cfg", "job")
    assert answer.code == 0
    assert "ghost_size: 15" in answer.out
    assert files_below(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [("execution.jobs=2",), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")])
def test_a_sweep_on_several_processes_gives_the_same_records(bnexp, small, tmp_path, without_clock, how):
    answer = bnexp("train", *small, "seed=0,1", *how)
    assert answer.code == 0
    assert answer.out.startswith("2 runs, 1 arm; ")
    parallel = {path.parent.name: without_clock(path.parent) for path in tmp_path.glob("runs/*/end.json")}
    assert bnexp("train", *small, "seed=0,1", "runs_dir=one_by_one").code == 0
    assert {path.parent.name: without_clock(path.parent) for path in tmp_path.glob("one_by_one/*/end.json")} == parallel


PLUGIN = """
import numpy as np
from torch import nn

from bnexp.data import Part, Source
from bnexp.data import register as register_dataset
from bnexp.models import register as register_model
from bnexp.models.blocks import linear_block, linear_layer
from bnexp.norms import register as register_norm


@register_norm("tamed", centers=True)
def tamed(num_features, dims, *, strength: float):
    return nn.GroupNorm(1, num_features, eps=strength)


@register_model("one_layer")
def one_layer(input_shape, num_classes, norm, *, width: int):
    layers = dict(flatten=nn.Flatten(), hidden=linear_block(norm, 16, width, "relu"), output=linear_layer(width, num_classes))
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


@register_dataset("stripes")
def stripes(data_dir, *, count: int):
    labels = np.arange(count) % 2
    images = np.zeros((count, 1, 4, 4), np.uint8)
    images[labels == 1, :, ::2] = 255
    return Source(Part(images, labels), Part(images[:10], labels[:10]), 2)
"""

YAMLS = {
    "norm/tamed.yaml": "# Mine.\nname: tamed\nplacement: before\nstrength: 1.0e-3\n",
    "model/one_layer.yaml": "# Mine.\nname: one_layer\ninit: he\ninit_scale: 1.0\nwidth: 7\n",
    "dataset/stripes.yaml": "# Mine.\nname: stripes\nvalidation_examples: 10\ntrain_examples: null\nbinarize: false\n"
    "standardize: unit\npad: 0\nflip: false\ncrop: 0\ncount: 60\n",
}


def in_a_process(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bnexp", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ},
    )


@pytest.mark.slow
def test_norm_model_and_data_of_ones_own_train_like_the_built_in_ones(tmp_path):
    (tmp_path / "my_things.py").write_text(PLUGIN, encoding="utf-8")
    for name, text in YAMLS.items():
        file = tmp_path / "my_configs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    own = ["--config-dir", "my_configs", "plugins=[my_things]", "model=one_layer", "dataset=stripes"]
    done = in_a_process(
        tmp_path, "train", *own, "norm=tamed", "norm.strength=0.5", "train.steps=40", "train.batch_size=10", "--json"
    )
    assert done.returncode == 0, done.stderr
    end = json.loads(done.stdout)
    assert end["config"]["norm"]["options"] == {"strength": 0.5}
    assert end["run_id"].startswith("stripes-one_layer-tamed-")
    assert end["test"]["accuracy"] == 1.0
    listing = in_a_process(tmp_path, "list", "norms", "--config-dir", "my_configs")
    assert "tamed       Mine." in listing.stdout


@pytest.mark.slow
def test_one_command_in_an_empty_folder_trains_on_real_digits(tmp_path):
    done = in_a_process(tmp_path, "train", "train.steps=100")
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr
    assert done.stdout.startswith("mnist_5k, mlp, norm batch, lr 0.1, seed 0: finished after 100 steps\n")
    accuracy = float(done.stdout.split("test accuracy")[1].split("%")[0])
    assert accuracy > 60
    for words in ("steps to 0.9 ", "layer inputs", "% of training)", "run folder", "bnexp tensorboard runs"):
        assert words in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
