"""What another budget says stands beside a verdict; of two opposite ones the larger budget's speaks."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from bnexp.report.beside import elsewhere, other_budgets
from bnexp.report.page import answers, build

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

EXPORTS = {"quick": "quick", "full": "full"}


@pytest.fixture(scope="module")
def speed(world):
    return next(one for one in world.judged if one.claim.id == "speed" and not one.claim.variant)


def turned(one, outcome: str, budget: str):
    """The same claim with another verdict at another budget."""
    name, verdict = next(iter(one.verdicts.items()))
    return replace(one, budget=budget, verdicts={**one.verdicts, name: replace(verdict, outcome=outcome)})


def test_the_same_verdict_is_told_and_nothing_is_explained(speed):
    (told,) = elsewhere(speed, [replace(speed, budget="full")])["own rate"]
    assert told.words.startswith(f"With budget=full: {speed.primary.outcome}, ")
    assert "opposite" not in told.words
    assert not told.overruled


def test_opposite_verdicts_are_explained_and_the_larger_budget_speaks(speed):
    assert speed.primary.outcome == "SUPPORTED"
    (told,) = elsewhere(speed, [turned(speed, "CONTRADICTED", "full")])["own rate"]
    assert "That is the opposite. The two differ in what was run (quick: " in told.words
    assert told.words.endswith("What is said is what budget=full shows.")
    assert told.overruled
    (back,) = elsewhere(turned(speed, "CONTRADICTED", "full"), [speed])["own rate"]
    assert "With budget=quick: SUPPORTED" in back.words
    assert not back.overruled


def test_an_open_verdict_is_the_opposite_of_none(speed):
    (told,) = elsewhere(speed, [turned(speed, "INCONCLUSIVE", "full")])["own rate"]
    assert "opposite" not in told.words
    assert not told.overruled


def test_what_a_larger_budget_overrules_does_not_open_the_page(speed, tmp_path):
    first = turned(replace(speed, claim=replace(speed.claim, id="fig1_speed")), "SUPPORTED", "quick")
    assert answers([first]) == [first]
    alone = build([first], tmp_path / "a").page.read_text(encoding="utf-8")
    others = {first.claim.key: [turned(first, "CONTRADICTED", "full")]}
    both = build([first], tmp_path / "b", others).page.read_text(encoding="utf-8")
    assert '<ol class="answers"' in alone
    assert '<ol class="answers"' not in both
    assert "a larger budget says the opposite" in both
    assert "a larger budget says the opposite" not in alone


def test_other_budgets_are_found_in_exports_that_lie_beside(tmp_path):
    for name in EXPORTS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "runs.jsonl").write_text("")
        (tmp_path / name / "claims.json").write_text(f'{{"{name}": {{}}, "smoke": {{}}}}')
    assert other_budgets(tmp_path / "quick", "quick") == {"full": tmp_path / "full"}
    assert other_budgets(tmp_path / "full", "full") == {"quick": tmp_path / "quick"}
    shutil.rmtree(tmp_path / "full")
    assert other_budgets(tmp_path / "quick", "quick") == {}
