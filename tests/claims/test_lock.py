"""Locked declarations and analyses: a changed one fails here until ``bnexp lock`` has been told why."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims import lock as lock_file
from bnexp.claims.lock import claim_hash, read_lock
from bnexp.cli.main import run
from bnexp.config import identity
from bnexp.config.identity import measurement_id
from bnexp.stats.rules import Difference


def test_every_declaration_is_as_it_was_locked():
    locked = read_lock()
    changed = [name for name in CLAIMS if locked.get(name) != claim_hash(CLAIMS[name])]
    assert not changed, 'bnexp lock NAME --because "..."'


def test_nothing_is_locked_that_is_gone():
    assert set(read_lock()) == set(CLAIMS)


def test_a_changed_threshold_is_a_changed_declaration():
    claim = CLAIMS["fig1_speed"]
    endpoint = claim.endpoints["own rate"]
    lenient = {**claim.endpoints, "own rate": replace(endpoint, rule=Difference(null=1, smallest=1.1, scale="ratio"))}
    assert claim_hash(replace(claim, endpoints=lenient)) != claim_hash(claim)


def test_changed_seeds_are_a_changed_declaration():
    claim = CLAIMS["minibatch_noise"]
    fewer = tuple(replace(grid, num_seeds={}) for grid in claim.grids)
    assert claim_hash(replace(claim, grids=fewer)) != claim_hash(claim)


@pytest.fixture
def edited(monkeypatch):
    """``edited(module, old, new)``: from now on the module's text has ``new`` in place of ``old``, which stands in it once."""
    read = identity._source

    def edit(module: str, old: str, new: str) -> None:
        text = read(module)
        assert text.count(old) == 1
        monkeypatch.setattr(identity, "_source", lambda name: text.replace(old, new) if name == module else read(name))

    return edit


NOISE = "bnexp.claims.minibatch_noise"


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param(NOISE, "layers.mean(1)[:, FITTED:]", "layers.mean(1)[:, 1:]", id="analyse"),
        pytest.param(NOISE, "train_points(record) - recomputed", "train_points(record) + recomputed", id="a helper of its own"),
        pytest.param(
            NOISE,
            '("m = 16", "m = 32"), "m = 256", "no norm"',
            '("m = 16", "m = 32"), "m = 32", "no norm"',
            id="a constant",
        ),
        pytest.param(
            "bnexp.stats.slopes", "def log_log_slopes(", "def log_log_slopes(*, strict=False, ", id="a helper in stats"
        ),
        pytest.param("bnexp.claims.runs", "def reported(", "def reported(_, ", id="a method of the records' class"),
        pytest.param("bnexp.stats.rules", "MIN_SEEDS = 6", "MIN_SEEDS = 5", id="a constant of the rules"),
        pytest.param("bnexp.stats.rules", "class Difference(Rule):", "class Difference(Rule, object):", id="a rule"),
        pytest.param(
            "bnexp.stats.intervals",
            "def expanded_level(level: float",
            "def expanded_level(low: float",
            id="a helper of a helper",
        ),
        pytest.param("bnexp.stats.verdict", "class Rule(", "class Rule(object, ", id="what a rule inherits"),
    ],
)
def test_an_edit_of_what_judges_is_noticed(edited, module, old, new):
    claim = CLAIMS["minibatch_noise"]
    before = claim_hash(claim)
    edited(module, old, new)
    assert claim_hash(claim) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param(
            NOISE, "Test accuracy, gap and accuracy at equal loss of", "All that is judged of", id="a docstring"
        ),
        pytest.param(NOISE, "#: Arm to what it normalises by;", "#: Arms;", id="a comment"),
        pytest.param(
            NOISE,
            "level = EQUAL_LOSS[runs.budget]",
            "level = (EQUAL_LOSS[runs.budget])",
            id="brackets that mean nothing",
        ),
        pytest.param(NOISE, "def say(evidence: Evidence, ", "def say(found: Evidence, ", id="say"),
        pytest.param(NOISE, "def draw(evidence: Evidence, ", "def draw(shown: Evidence, ", id="draw"),
        pytest.param(
            NOISE, '"quick": 400, "full": 400}', '"quick": 400, "full": 1}', id="what only the measurement uses"
        ),
        pytest.param(
            "bnexp.stats.rules", "class Equivalence(Rule):", "class Equivalence(Rule, object):", id="a rule of others"
        ),
    ],
)
def test_an_edit_of_words_or_pictures_is_not(edited, module, old, new):
    claim = CLAIMS["minibatch_noise"]
    before = claim_hash(claim)
    edited(module, old, new)
    assert claim_hash(claim) == before


def test_a_measurement_is_named_by_its_own_code_and_what_it_uses(edited):
    measure = CLAIMS["minibatch_noise"].measurement.measure

    def name() -> str:
        return measurement_id("minibatch_noise", "quick", 0, measure)

    before = name()
    edited(NOISE, "def draw(evidence: Evidence, ", "def draw(shown: Evidence, ")
    assert name() == before
    edited(NOISE, '"quick": 400, "full": 400}', '"quick": 400, "full": 1}')
    assert name() != before


def test_a_changed_imported_value_is_another_measurement(edited):
    claim = CLAIMS["algorithm_1"]
    before = measurement_id(claim.id, "quick", 0, claim.measurement.measure)
    edited("bnexp.norms.factory", 'Registry("norm")', 'Registry("norms")')
    assert measurement_id(claim.id, "quick", 0, claim.measurement.measure) != before


def test_of_a_function_without_a_name_the_whole_module_counts():
    found = identity.reached([(__name__, "<lambda>")], lambda _: True)
    assert list(found) == [__name__]
    assert "test_of_a_function_without_a_name" in found[__name__]


def test_locking_writes_the_hash_and_the_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lock_file, "LOCK", tmp_path / "claims.lock.json")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    log = tmp_path / "results" / "LOG.md"
    log.write_text("# Log\n\n## An older entry\n", encoding="utf-8")
    assert run(["lock", "fig1_speed", "--because", "the target was too easy"]) == 0
    assert read_lock() == {"fig1_speed": claim_hash(CLAIMS["fig1_speed"])}
    written = log.read_text(encoding="utf-8")
    assert 0 < written.index("the target was too easy") < written.index("## An older entry")
    capsys.readouterr()
    assert run(["lock", "fig1_speed", "--because", "again"]) == 0
    assert "as it stands" in capsys.readouterr().out
    assert "again" not in log.read_text(encoding="utf-8")


def test_without_the_log_of_evidence_nothing_is_locked(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lock_file, "LOCK", tmp_path / "claims.lock.json")
    monkeypatch.chdir(tmp_path)
    assert run(["lock", "fig1_speed", "--because", "the target was too easy"]) == 2
    assert "run this from the top of a checkout" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_claim_gets_the_nearest_name(capsys):
    assert run(["lock", "fig1_sped", "--because", "x"]) == 2
    assert "fig1_speed" in capsys.readouterr().err


@pytest.mark.slow
def test_all_locks_what_changed_and_forgets_what_is_gone(monkeypatch, tmp_path, capsys):
    hashes = {name: claim_hash(CLAIMS[name]) for name in CLAIMS}
    file = tmp_path / "claims.lock.json"
    file.write_text(json.dumps({**hashes, "fig1_speed": "old", "long_gone": "old"}), encoding="utf-8")
    monkeypatch.setattr(lock_file, "LOCK", file)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    log = tmp_path / "results" / "LOG.md"
    log.write_text("# Log\n", encoding="utf-8")
    assert run(["lock", "all", "--because", "another target"]) == 0
    assert read_lock() == hashes
    written = log.read_text(encoding="utf-8")
    assert "fig1_speed, long_gone (gone) locked\n\n- another target" in written
    assert "fig1_accuracy" not in written
    capsys.readouterr()
    assert run(["lock", "all", "--because", "again"]) == 0
    assert capsys.readouterr().out == "every claim is locked as it stands\n"
