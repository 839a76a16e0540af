"""Locked declarations: a changed one fails here until ``bnexp lock`` has been told why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bnexp.claims import CLAIMS
from bnexp.claims import lock as lock_file
from bnexp.claims.lock import declaration_hash, read_lock
from bnexp.cli.main import run
from bnexp.stats.rules import Difference


@pytest.mark.parametrize("name", list(CLAIMS))
def test_every_declaration_is_as_it_was_locked(name):
    advice = f'changed: bnexp lock {name} --because "..."'
    assert read_lock().get(name) == declaration_hash(CLAIMS[name]), advice


def test_nothing_is_locked_that_is_gone():
    assert set(read_lock()) == set(CLAIMS)


def test_a_changed_threshold_is_a_changed_declaration():
    claim = CLAIMS["fig1_speed"]
    endpoint = claim.endpoints["own rate"]
    lenient = {**claim.endpoints, "own rate": replace(endpoint, rule=Difference(null=1, smallest=1.1, scale="ratio"))}
    assert declaration_hash(replace(claim, endpoints=lenient)) != declaration_hash(claim)


def test_changed_seeds_are_a_changed_declaration():
    claim = CLAIMS["minibatch_noise"]
    fewer = tuple(replace(grid, num_seeds={}) for grid in claim.grids)
    assert declaration_hash(replace(claim, grids=fewer)) != declaration_hash(claim)


def test_locking_writes_the_hash_and_the_reason(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(lock_file, "LOCK", tmp_path / "claims.lock.json")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    log = tmp_path / "results" / "LOG.md"
    log.write_text("# Log\n\n## An older entry\n", encoding="utf-8")
    assert run(["lock", "fig1_speed", "--because", "the target was too easy"]) == 0
    assert read_lock() == {"fig1_speed": declaration_hash(CLAIMS["fig1_speed"])}
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
