"""Whole repetitions with other seeds: how many gave a verdict stands beside it, and too few make it fragile."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import bnexp.claims
from bnexp.claims.judge import judge_all
from bnexp.claims.repetitions import FILE, add_repetition, read_repetitions, repetition_of, rule_of
from bnexp.claims.runs import Runs
from bnexp.cli.report import main
from bnexp.errors import UserError
from bnexp.report.markdown import markdown_table
from bnexp.report.page import build, gather
from bnexp.report.words import as_json, claim_row, verdict_table
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Repeat, Verdict

RESULTS = Path(__file__).resolve().parents[2] / "results" / "quick"
SOUND = '{"budget": "quick", "first_seed": 1, "commit": "", "verdicts": %s}'


@pytest.fixture
def published(world, tmp_path):
    """The world's runs in a folder that may be written to."""
    return shutil.copytree(world.runs_dir, tmp_path / "published")


def said(world, first_seed: int, **outcomes: str):
    """A repetition that says what the world says, but for these claims."""
    new = repetition_of(world.judged, "quick")
    verdicts = {key: {**one, "outcome": outcomes.get(key, one["outcome"])} for key, one in new.verdicts.items()}
    return replace(new, first_seed=first_seed, verdicts=verdicts)


def test_verdicts_carry_what_repetitions_said(world, published):
    for seed, outcome in ((100, "INCONCLUSIVE"), (200, "SUPPORTED"), (300, "INCONCLUSIVE")):
        add_repetition(published, said(world, seed, law=outcome))
    judged = {one.claim.key: one for one in judge_all([world.claims[name] for name in world.claims], "quick", published)}
    law, effect = judged["law"].primary, world.of("law").primary.effect
    assert [one.outcome for one in law.repeats] == ["INCONCLUSIVE", "SUPPORTED", "INCONCLUSIVE"]
    assert [one.first_seed for one in law.repeats] == [100, 200, 300]
    assert law.repeats[0].effect.estimate == pytest.approx(effect.estimate, rel=1e-3)
    assert (law.fragile, law.repeat_words) == (True, "1 of 3")
    assert claim_row(judged["law"]).repeats == "1 of 3"
    assert judged["identity"].primary.repeat_words == "3 of 3"
    assert claim_row(judged["identity"]).repeats == ""  # of algebra nothing is drawn
    assert as_json(judged["law"])["endpoints"][next(iter(judged["law"].verdicts))]["repetitions"][0]["first_seed"] == 100


@pytest.mark.slow
def test_table_terminal_and_page_show_them(world, published, tmp_path):
    for seed in (100, 200):
        add_repetition(published, said(world, seed, law="CONTRADICTED"))
    judged = gather([world.claims[name] for name in world.claims], "quick", published)
    table, terminal = markdown_table(judged), verdict_table(judged)
    assert "and 0 of 2 repetitions" in table
    assert "A repetition is the whole protocol with other seeds" in table
    assert "0/2" in terminal
    page = build(judged, tmp_path / "page").page.read_text(encoding="utf-8")
    assert "in 0 of 2 whole repetitions" in page
    assert "Whole repetitions with other seeds, tuning included: CONTRADICTED" in page
    assert "Thin bars: 2 whole repetitions with other seeds." in page
    assert 'class="repeats"' in page
    assert "seeds from 100 on: " in page
    assert "reversed: law" in page


@pytest.mark.parametrize(
    ("stability", "again", "otherwise", "fragile"),
    [
        (0.95, 3, 0, False), (0.95, 2, 1, False), (0.95, 1, 2, True), (0.95, 6, 2, True), (0.95, 8, 2, False),
        (0.70, 3, 0, True), (None, 0, 2, True), (None, 0, 1, False),
    ],
)  # fmt: skip
def test_two_repetitions_that_say_otherwise_make_a_verdict_fragile(stability, again, otherwise, fragile):
    repeats = [*["SUPPORTED"] * again, *["INCONCLUSIVE"] * otherwise]
    told = tuple(Repeat(seed, outcome, None) for seed, outcome in enumerate(repeats))
    assert Verdict("SUPPORTED", "", None, "as claimed", stability, repeats=told).fragile is fragile


def test_a_verdict_by_another_rule_is_not_compared(world, published):
    new = said(world, 100)
    verdicts = {**new.verdicts, "law": {**new.verdicts["law"], "rule": "00000000"}}
    add_repetition(published, replace(new, verdicts=verdicts))
    judged = {one.claim.key: one for one in judge_all([world.claims[name] for name in world.claims], "quick", published)}
    assert judged["law"].primary.repeats == ()
    assert len(judged["identity"].primary.repeats) == 1


def test_a_verdict_from_another_number_of_seeds_is_not_compared():
    claim = bnexp.claims.CLAIMS["fig1_accuracy"]
    (grid,) = claim.grids
    fewer = replace(grid, num_seeds={"quick": 8})
    tuned = replace(grid, tuning=replace(grid.tuning, num_seeds={"quick": 4}))
    rules = {rule_of(one, "quick") for one in (claim, *(replace(claim, grids=(grid,)) for grid in (fewer, tuned)))}
    assert len(rules) == 3
    assert rule_of(replace(claim, grids=(fewer,)), "full") == rule_of(claim, "full")


def test_runs_with_fewer_seeds_than_declared_are_no_repetition():
    (judged,) = judge_all([bnexp.claims.CLAIMS["residual_branch"]], "quick", RESULTS)
    assert set(repetition_of([judged], "quick").verdicts) == {"residual_branch"}
    fewer = Runs(judged.claim, "quick", [cell for cell in judged.runs.cells if cell.seed], RESULTS)
    assert repetition_of([replace(judged, runs=fewer)], "quick").verdicts == {}


def test_a_repetition_judged_again_replaces_what_it_said_and_others_stay(world, published):
    add_repetition(published, said(world, 200))
    add_repetition(published, said(world, 100, law="INCONCLUSIVE"))
    part = said(world, 100, law="CONTRADICTED")
    add_repetition(published, replace(part, verdicts={"law": part.verdicts["law"]}))
    first, second = read_repetitions(published, "quick")
    assert (first.first_seed, second.first_seed) == (100, 200)
    assert first.verdicts["law"]["outcome"] == "CONTRADICTED"
    assert first.verdicts.keys() == second.verdicts.keys()
    assert read_repetitions(published, "full") == []


@pytest.mark.slow
def test_an_interval_without_an_end_comes_back(world, published):
    new = said(world, 100)
    law = {**new.verdicts["law"], "effect": {"estimate": 2.0, "low": 1.0, "high": None, "level": 0.95, "num_seeds": 8}}
    add_repetition(published, replace(new, verdicts={**new.verdicts, "law": law}))
    judged = {one.claim.key: one for one in judge_all([world.claims[name] for name in world.claims], "quick", published)}
    assert judged["law"].primary.repeats[0].effect == Interval(2.0, 1.0, float("inf"), 0.95, 8)
    build(list(judged.values()), published / "page")


def test_the_command_writes_them_down_and_says_how_many_came_out_again(world, published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bnexp.claims, "CLAIMS", world.claims)
    again = tmp_path / "again"
    shutil.copytree(world.runs_dir, again)
    with pytest.raises(UserError, match=r"(?s)a repetition has seeds of its own, and .* of these stand in .*first_seed=100"):
        main([str(again), f"repeats={published}", "law"])
    assert not (published / FILE).exists()
    for name in (path.name for path in again.iterdir() if (path / "run.json").is_file()):
        (again / name).rename(again / f"other-{name}")
    for file in (again / "claims" / "quick").iterdir():
        cells = json.loads(file.read_text())
        listed = cells if isinstance(cells, list) else cells["cells"]
        for cell in listed:
            cell["run_id"], cell["seed"] = f"other-{cell['run_id']}", cell["seed"] + 500
        file.write_text(json.dumps(cells))
    assert main([str(again), f"repeats={published}", "law"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "seeds from 500 on: 1 of 1 verdict as here, none reversed"
    (one,) = read_repetitions(published, "quick")
    assert (one.first_seed, one.commit, list(one.verdicts)) == (500, "0123456789ab", ["law"])


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"budget": "quick"}',
     '{"budget": "quick", "first_seed": "a", "commit": "", "verdicts": {}}',
     SOUND % '{"law": {"outcome": "MAYBE", "effect": null, "rule": ""}}',
     SOUND % '{"law": {"outcome": "SUPPORTED", "effect": {"low": 1}, "rule": ""}}'],
)  # fmt: skip
def test_a_damaged_line_is_named(published, line):
    (published / FILE).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)line 1 of this file is not a repetition.*repetitions\.jsonl"):
        read_repetitions(published, "quick")
