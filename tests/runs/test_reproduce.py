"""Plans of claims: every cell is a command, shared runs are shared, and what is complete is not run again."""

from __future__ import annotations

import shlex

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS
from bnexp.cli.main import run
from bnexp.config.compose import compose
from bnexp.config.identity import run_id
from bnexp.runs.plan import make_plan
from bnexp.runs.reproduce import Share

TRAINED = ("fig1_speed", "input_normalization", "hidden_normalization", "minibatch_noise")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """The plan of all claims at a quick budget, and that making it creates nothing."""
    folder = tmp_path_factory.mktemp("plan")
    made = make_plan([CLAIMS[name] for name in CLAIMS], BUDGETS["quick"], folder / "runs")
    assert not list(folder.iterdir())
    return made


@pytest.mark.parametrize("name", TRAINED)
def test_the_command_of_a_cell_gives_the_run_of_that_cell(name, plan):
    cells = [cell for cell in plan.cells[name] if cell.grid >= 0]
    for cell in (cells[0], cells[-1]):
        overrides = shlex.split(cell.command)[2:]
        assert run_id(compose(overrides)) == cell.run_id


def test_claims_that_need_the_same_run_share_it(plan):
    alone, *others = (
        {cell.run_id for cell in plan.cells[name]}
        for name in ("fig1_speed", "fig1_accuracy", "fig1_stability", "pinned_moments")
    )
    assert all(alone == other for other in others)
    assert len(plan.jobs) < sum(map(len, plan.cells.values()))


def test_every_arm_gets_the_same_tuning_budget_on_seeds_that_are_not_reported(plan):
    for name in TRAINED:
        cells = [cell for cell in plan.cells[name] if cell.regime == "tuning"]
        for grid in {cell.grid for cell in cells}:
            arms = {cell.arm for cell in cells if cell.grid == grid}
            tried = [{(c.value, c.seed) for c in cells if (c.grid, c.arm) == (grid, arm)} for arm in arms]
            assert all(len(one) == len(tried[0]) for one in tried)
        assert min(cell.seed for cell in cells) >= 1000


def test_what_is_reported_is_determined_only_where_nothing_has_to_be_tuned_first(plan):
    assert "fig1_speed" not in plan.determined
    assert "algorithm_1" in plan.determined
    assert plan.undetermined() > 0


def test_shares_cover_every_job_once(plan):
    shares = [Share(index=index, count=3) for index in range(3)]
    assert all(sum(share.has(job) for share in shares) == 1 for job in plan.jobs.values())
    assert all(any(share.has(job) for job in plan.jobs.values()) for share in shares)


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
