"""Weights that a run keeps: the last ones or the best, with their buffers, whatever else happened to the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from bnexp.engine.build import build
from bnexp.engine.weights import Unfit, load_weights
from bnexp.runs.run import execute


def test_by_default_nothing_is_kept(make):
    record = execute(make()).record
    assert not (record.folder / "weights.safetensors").exists()
    assert "weights" not in record.end


def test_the_last_weights_are_those_that_were_tested(make):
    config = make("train.keep=last", "norm=batch")
    record = execute(config).record
    assert record.end["weights"] == {"keep": "last", "step": 30}
    experiment = build(config)
    assert load_weights(experiment.model, record.folder) == 30
    from bnexp.engine.evaluate import evaluate

    score = evaluate(experiment.model, experiment.test, experiment)
    assert (score.accuracy, score.loss) == (record.end["test"]["accuracy"], record.end["test"]["loss"])
    assert any("running_mean" in name for name in load_file(record.folder / "weights.safetensors"))


@pytest.mark.parametrize("stack", [[], pytest.param(["execution.stack=2"], marks=pytest.mark.slow)])
def test_the_best_weights_are_those_of_the_best_evaluation(bnexp, small, tmp_path, stack):
    words = [*small, "train.steps=90", "optimizer.lr=0.5", "train.keep=best", "seed=0,1", *stack]
    assert bnexp("train", *words).code == 0
    from bnexp.records.reader import find_runs

    for record in find_runs(tmp_path / "runs"):
        curve = record.curve("val/accuracy")
        best = curve.steps[curve.values.index(max(curve.values))]
        assert record.end["weights"] == {"keep": "best", "step": best}


def test_keeping_changes_nothing_else(make, without_clock):
    plain, keeping = (execute(make(word, "norm=batch")).record for word in ("train.keep=none", "train.keep=best"))
    assert without_clock(plain.folder) == without_clock(keeping.folder)


def test_a_diverged_run_has_no_last_weights(make):
    record = execute(make("train.keep=last", "norm=none", "model.activation=relu", "optimizer.lr=1e6")).record
    assert record.end["weights"] == {"keep": "last", "step": None}


def test_a_torn_file_and_one_of_another_net_are_told(make):
    config = make("train.keep=last")
    folder = execute(config).record.folder
    with pytest.raises(Unfit):
        load_weights(torch.nn.Linear(2, 2), folder)
    (folder / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(Unfit):
        load_weights(build(config).model, folder)
    with pytest.raises(FileNotFoundError):
        load_weights(build(config).model, execute(replace(config, seed=1)).record.folder / "nowhere")
