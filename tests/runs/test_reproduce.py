"""Plans of claims: every cell is a command, shared runs are shared, and what is complete is not run again."""

from __future__ import annotations

import shlex

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.budget import BUDGETS
from bnexp.cli.main import run
from bnexp.config.compose import compose
from bnexp.config.identity import run_id
from bnexp.runs.plan import make_plan
from bnexp.runs.reproduce import Share

TRAINED = ("fig1_speed", "input_normalization", "hidden_normalization", "minibatch_noise")


def plan(tmp_path, *names: str, budget: str = "quick"):
    return make_plan([CLAIMS[name] for name in names], BUDGETS[budget], tmp_path / "runs")


@pytest.mark.parametrize("name", TRAINED)
def test_the_command_of_a_cell_gives_the_run_of_that_cell(name, tmp_path):
    cells = [cell for cell in plan(tmp_path, name).cells[name] if cell.grid >= 0]
    for cell in (cells[0], cells[-1]):
        overrides = shlex.split(cell.command)[2:]
        assert run_id(compose(overrides)) == cell.run_id


def test_claims_that_need_the_same_run_share_it(tmp_path):
    alone = plan(tmp_path, "fig1_speed")
    shared = plan(tmp_path, "fig1_speed", "fig1_accuracy", "fig1_stability", "pinned_moments")
    assert set(alone.jobs) == set(shared.jobs)
    assert len(shared.cells) == 4


def test_every_arm_gets_the_same_tuning_budget_on_seeds_that_are_not_reported(tmp_path):
    for name in TRAINED:
        made = plan(tmp_path, name)
        cells = [cell for cell in made.cells[name] if cell.regime == "tuning"]
        for grid in {cell.grid for cell in cells}:
            arms = {cell.arm for cell in cells if cell.grid == grid}
            tried = [{(c.value, c.seed) for c in cells if (c.grid, c.arm) == (grid, arm)} for arm in arms]
            assert all(len(one) == len(tried[0]) for one in tried)
        assert min(cell.seed for cell in cells) >= 1000


def test_planning_creates_nothing(tmp_path):
    plan(tmp_path, *CLAIMS)
    assert not list(tmp_path.iterdir())


def test_shares_cover_every_job_once(tmp_path):
    jobs = list(plan(tmp_path, *TRAINED).jobs.values())
    shares = [Share(index=index, count=3) for index in range(3)]
    assert all(sum(share.has(job) for share in shares) == 1 for job in jobs)
    assert all(any(share.has(job) for job in jobs) for share in shares)


@pytest.mark.slow
def test_reproduced_twice_it_trains_nothing_and_a_smoke_budget_decides_nothing(tmp_path, capsys):
    words = ["reproduce", "fig1_accuracy", "algorithm_1", "budget=smoke", "jobs=1", f"runs_dir={tmp_path / 'runs'}"]
    assert run(words) == 0
    first = capsys.readouterr()
    assert first.out.count("INCONCLUSIVE") == 2
    assert first.out.count("not powered") == 2
    folders = {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "runs").iterdir() if folder.is_dir()}
    assert run(words) == 0
    assert "finished in" not in capsys.readouterr().err
    assert {folder for folder in (tmp_path / "runs").iterdir() if folder.is_dir()} == set(folders)
