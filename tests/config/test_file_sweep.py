"""A sweep that an experiment's YAML declares as Hydra has it: carried out, less what is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bnexp.config.compose import compose, with_file_sweep
from bnexp.errors import UserError

SWEPT = """# @package _global_
train: {steps: 40}
hydra:
  mode: MULTIRUN
  sweeper:
    params:
      norm: none,batch
      optimizer.lr: logspace(-2,0,3)
      model.depth: 2
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A config folder whose experiment ``swept`` declares a sweep, and ``plain`` none."""
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "swept.yaml").write_text(SWEPT)
    (tmp_path / "experiment" / "plain.yaml").write_text("# @package _global_\ntrain: {steps: 40}\n")
    return tmp_path


def test_the_sweep_stands_before_what_is_typed_and_what_is_typed_counts(mine):
    params = ["norm=none,batch", "optimizer.lr=logspace(-2,0,3)", "model.depth=2"]
    assert with_file_sweep(["experiment=swept"], mine) == [*params, "experiment=swept"]
    assert with_file_sweep(["experiment=swept", "norm=layer"], mine) == [*params[1:], "experiment=swept", "norm=layer"]
    assert with_file_sweep(["experiment=plain", "seed=1"], mine) == ["experiment=plain", "seed=1"]


def test_train_carries_it_out(bnexp, mine, tmp_path):
    answer = bnexp("train", f"--config-dir={mine}", "experiment=swept", "seed=0,1", "--dry-run", "device=cpu")
    assert answer.out.startswith("12 runs, 0 complete already")
    assert "# the first of 6 runs: norm=none optimizer.lr=0.01" in bnexp(
        "train", f"--config-dir={mine}", "experiment=swept", "--cfg", "job"
    ).out  # fmt: skip
    assert not (tmp_path / "runs").exists()


def test_where_one_run_is_wanted_it_is_refused(mine):
    with pytest.raises(UserError, match="one run is wanted here, not a sweep"):
        compose(["experiment=swept"], mine)
    assert compose(["experiment=swept", "norm=none", "optimizer.lr=1"], mine).train.steps == 40


def test_several_experiments_of_which_one_sweeps_are_refused(mine):
    with pytest.raises(UserError) as error:
        with_file_sweep(["experiment=plain,swept"], mine)
    assert error.value.todo == "experiment=swept"


@pytest.mark.parametrize("params", ["[seed]", "{seed: [0,1]}", "3"])
def test_what_is_no_sweep_is_told(mine, params):
    (mine / "experiment" / "swept.yaml").write_text(
        f"# @package _global_\nhydra: {{sweeper: {{params: {params}}}}}\n"
    )
    with pytest.raises(UserError, match="has one line a key"):
        with_file_sweep(["experiment=swept"], mine)
