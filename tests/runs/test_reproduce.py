"""Plans of claims: every cell is a command, shared runs are shared, tuning goes on in rounds, nothing is run twice."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import asdict, replace

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Measurement
from bnexp.cli.main import run
from bnexp.config.compose import compose
from bnexp.config.identity import run_id
from bnexp.runs.plan import Repetition, advance, make_plan
from bnexp.runs.reproduce import Share, carry_out
from bnexp.runs.settle import settled
from bnexp.runs.workers import Workers

TRAINED = [name for name in CLAIMS if CLAIMS[name].grids and "quick" in CLAIMS[name].grids[0].budgets]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """The plan of all claims at a quick budget."""
    return make_plan([CLAIMS[name] for name in CLAIMS], BUDGETS["quick"], tmp_path_factory.mktemp("plan") / "runs")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_the_command_of_a_cell_gives_the_run_of_that_cell(name, plan):
    cells = [cell for cell in plan.cells[name] if cell.grid >= 0]
    for cell in (cells[0], cells[-1]):
        overrides = shlex.split(cell.command)[2:]
        assert run_id(settled(compose(overrides))) == cell.run_id


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_arm_gets_the_same_tuning_budget_on_seeds_that_are_not_reported(name, plan):
    cells = [cell for cell in plan.cells[name] if cell.regime == "tuning"]
    for grid in {cell.grid for cell in cells}:
        arms = {cell.arm for cell in cells if cell.grid == grid}
        assert arms == set(CLAIMS[name].grids[grid].arms)
        tried = [{(c.value, c.seed) for c in cells if (c.grid, c.arm) == (grid, arm)} for arm in arms]
        assert all(one == tried[0] for one in tried)
    assert all(cell.seed >= 1000 for cell in cells)


def test_a_repetition_asks_for_the_same_runs_with_other_seeds_throughout(tmp_path):
    claims = [CLAIMS[name] for name in ("fig1_speed", "batch_leakage", "more_gaussian")]
    budgets = BUDGETS["quick"], Repetition(**asdict(BUDGETS["quick"]), first_seed=100)
    first, again = ([c for of in make_plan(claims, one, tmp_path).cells.values() for c in of] for one in budgets)
    found = [[(c.grid, c.regime, c.arm, c.value, c.seed + later) for c in row] for row, later in ((first, 100), (again, 0))]
    assert found[0] == found[1]
    assert {c.regime for c in first} == {"tuning", "own"}
    assert not {c.run_id for c in first} & {c.run_id for c in again}


@pytest.mark.slow
def test_a_claim_is_determined_when_nothing_has_to_be_tuned_first(plan):
    for name in CLAIMS:
        tuned = any(grid.tuning for grid in CLAIMS[name].grids if "quick" in grid.budgets)
        assert (name in plan.determined) == (not tuned), name
    assert plan.undetermined() > 0


def test_a_plan_makes_nothing_and_shares_cover_every_job_of_it_once(tiny_claim, tmp_path):
    claims = [tiny_claim(id="tuned"), tiny_claim(id="told", tuned=False)]
    plan = make_plan(claims, BUDGETS["quick"], tmp_path / "plan" / "runs")
    assert plan.determined == {"told"}
    assert not (tmp_path / "plan").exists()
    shares = [Share(index=index, count=2) for index in range(2)]
    assert all(sum(share.has(job) for share in shares) == 1 for job in plan.jobs.values())
    assert all(any(share.has(job) for job in plan.jobs.values()) for share in shares)


def test_claims_that_need_the_same_run_share_it(tiny_claim, tmp_path):
    both = make_plan(
        [tiny_claim(id="one", tuned=False), tiny_claim(id="two", tuned=False)], BUDGETS["quick"], tmp_path / "runs"
    )
    ids = [[cell.run_id for cell in both.cells[name]] for name in ("one", "two")]
    assert ids[0] == ids[1]
    assert len(both.jobs) == len(set(ids[0])) == 4


def test_names_of_arms_stand_for_the_claims_layers(tiny_claim, tmp_path):
    claim = tiny_claim(tuned=False, arms={"wide": "{control} model.width=9", "deep": "model.depth=4 {subject}"})
    made = make_plan([claim], BUDGETS["quick"], tmp_path / "runs")
    settings = {(job.config.norm.name, job.config.model.options["width"], job.config.model.options["depth"])
                for job in made.jobs.values()}  # fmt: skip
    assert len(settings) == 2
    assert {(norm, width) for norm, width, _ in settings} == {("none", 9), ("layer", 8)}
    assert {cell.arm for cell in made.cells["tiny"]} == {"wide", "deep"}


def nothing(seed, budget):  # noqa: ARG001 - a measurement's signature
    """A measurement without numbers."""
    return {}


# Rounds of tuning


def rounds(claim, folder):
    """What each round adds to the plan of a claim, carried out one after the other: (regime, value) to number of new runs."""
    made = make_plan([claim], BUDGETS["quick"], folder)
    found, known = [], 0
    while True:
        cells = made.cells[claim.key]
        arm = next(iter(claim.grids[0].arms))
        found.append(Counter((cell.regime, cell.value) for cell in cells[known:] if cell.arm == arm))
        known = len(cells)
        assert {ended.status for _, ended in carry_out(made, Workers(1), Share(), lambda *_: None)} <= {"finished"}
        if not advance(made):
            return found, made


@pytest.mark.slow
def test_tuning_races_then_extends_then_tries_the_contenders_then_reports(tiny_claim, tmp_path):
    claim = tiny_claim(
        arms={"subject": "{subject}"}, values=(0.025, 0.05, 0.1), best=0.2,
        budget={"num_tuning_seeds": 3, "num_first_seeds": 2, "most_extended": 3},
    )  # fmt: skip
    found, made = rounds(claim, tmp_path / "runs")
    assert found == [
        {("tuning", 0.025): 2, ("tuning", 0.05): 2, ("tuning", 0.1): 2},
        {("tuning", 0.2): 2},  # .1 was the best and lay at the edge
        {("tuning", 0.4): 2},  # and so did .2
        {("tuning", 0.1): 1, ("tuning", 0.2): 1, ("tuning", 0.4): 1},  # the others are 1.5 doublings away
        {("own", 0.2): 2},
    ]
    assert made.runs(claim).chosen("subject") == (0.2,)
    assert all(made.runs(claim).tuning_gate().values())
    assert not made.missing()
    assert not advance(made)


def test_a_list_that_may_not_grow_fails_its_gate(tiny_claim, tmp_path):
    claim = tiny_claim(arms={"control": "{control}"}, values=(0.05, 0.1), best=0.8, budget={"most_extended": 1})
    found, made = rounds(claim, tmp_path / "runs")
    assert [set(one) for one in found] == [
        {("tuning", 0.05), ("tuning", 0.1)}, {("tuning", 0.2)}, {("own", 0.2)},
    ]  # fmt: skip
    assert not any(made.runs(claim).tuning_gate().values())


@pytest.mark.slow
def test_a_claim_that_is_tuned_goes_on_in_the_same_round(tiny_claim, tmp_path):
    claims = [tiny_claim(id="one", values=(0.05, 0.2), best=0.05), tiny_claim(id="two", tuned=False)]
    made = make_plan(claims, BUDGETS["quick"], tmp_path / "runs")
    known, order = set(made.jobs), []
    carry_out(made, Workers(1), Share(), lambda job, _: order.append(job.run_id), grow=True)
    assert set(made.jobs) > known
    assert sorted(order) == sorted(made.jobs)
    assert not made.missing()
    assert not advance(made)


def test_what_is_to_come_counts_a_run_that_claims_share_once(tiny_claim, tmp_path):
    one, two = (tiny_claim(id=name, values=(0.1, 0.2)) for name in ("one", "two"))
    plans = [make_plan(claims, BUDGETS["quick"], tmp_path / "runs") for claims in ([one], [one, two])]
    assert [sum(count for _, count in made.to_come()) for made in plans] == [plans[0].undetermined()] * 2
    assert plans[1].undetermined() == 2 * plans[0].undetermined() > 0


@pytest.mark.slow
def test_every_near_tie_is_reported_and_the_records_come_back_by_value_and_seed(tiny_claim, tmp_path):
    claim = tiny_claim(arms={"control": "{control}"}, values=(0.1, 0.2, 0.4, 0.8), best=0.2 * 2**0.5)  # .2 and .4 are equally near
    _, made = rounds(claim, tmp_path / "runs")
    runs = made.runs(claim)
    assert runs.chosen("control") == (0.2, 0.4)
    assert [list(by_seed) for by_seed in runs.candidates("control").values()] == [[0, 1], [0, 1]]
    assert len(runs.reported("control")) == 4
    assert [record.header["config"]["seed"] for record in runs.typical("control")] == [0, 1]
    side = runs.side(lambda record: record.header["config"]["optimizer"]["lr"], "control")
    assert side.values == ((0.2, 0.2), (0.4, 0.4))
    assert side.shares().tolist() == [0.5, 0.5]


def test_a_measurement_is_planned_once_for_each_seed(tiny_claim, tmp_path, monkeypatch):
    claim = tiny_claim(tuned=False)
    seeds = {"quick": 3}
    measured = replace(claim, grids=(), measurement=Measurement(measure=nothing, num_seeds=seeds))
    monkeypatch.setitem(CLAIMS._entries, "tiny", measured)
    made = make_plan([measured], BUDGETS["quick"], tmp_path / "runs")
    assert [(cell.grid, cell.seed) for cell in made.cells["tiny"]] == [(-1, 0), (-1, 1), (-1, 2)]
    assert (made.determined, made.undetermined()) == ({"tiny"}, 0)


@pytest.mark.slow
def test_reproduced_twice_it_trains_nothing_and_a_smoke_budget_decides_nothing(tmp_path, capsys):
    words = ["reproduce", "fig1_speed", "budget=smoke", "jobs=1", f"runs_dir={tmp_path / 'runs'}"]
    assert run(words) == 0
    first = capsys.readouterr()
    assert first.out.count("INCONCLUSIVE") == first.out.count("not powered") == 1
    folders = {folder: folder.stat().st_mtime_ns for folder in (tmp_path / "runs").iterdir() if folder.is_dir()}
    assert run(words) == 0
    assert "finished in" not in capsys.readouterr().err
    assert {folder for folder in (tmp_path / "runs").iterdir() if folder.is_dir()} == set(folders)
