"""JSON of a record: whole or not there, and never NaN."""

from __future__ import annotations

import json
import os

import pytest

from bnexp.records.jsonfile import finite, write_json


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.5, {"value": 0.5}),
        (float("nan"), {"value": None, "kind": "nan"}),
        (float("inf"), {"value": None, "kind": "inf"}),
        (-float("inf"), {"value": None, "kind": "-inf"}),
    ],
)
def test_a_number_that_json_does_not_know_is_null_with_its_kind(value, written):
    assert finite(value) == written
    assert json.loads(json.dumps(finite(value), allow_nan=False)) == written


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object()])
def test_what_does_not_belong_leaves_the_old_file_whole(tmp_path, bad):
    write_json(tmp_path / "end.json", {"step": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "end.json", {"step": 2, "loss": bad})
    assert json.loads((tmp_path / "end.json").read_text(encoding="utf-8")) == {"step": 1}


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_while_writing_leaves_the_old_file_or_none(tmp_path, monkeypatch, moment):
    def killed(*_):
        raise KeyboardInterrupt

    write_json(tmp_path / "run.json", {"step": 1})
    monkeypatch.setattr(os if moment == "fsync" else type(tmp_path), moment, killed)
    for name in ("run.json", "end.json"):
        with pytest.raises(KeyboardInterrupt):
            write_json(tmp_path / name, {"step": 2})
    assert json.loads((tmp_path / "run.json").read_text(encoding="utf-8")) == {"step": 1}
    assert not (tmp_path / "end.json").exists()
