"""Runs in lists: what tells them apart, which are meant, and that a kept row is the row of its record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bnexp.errors import UserError
from bnexp.records import rows as rows_module
from bnexp.records.filters import chosen, conditions, find_run, ordered
from bnexp.records.names import differing_settings, label, settings
from bnexp.records.rows import KEPT, read_rows


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write("name", norm="batch", lr=0.1, ...)``: a run folder of two small files; ``accuracy=None`` is one without an end."""

    def put(name: str, *, accuracy: float | None = 0.5, status: str = "finished", **values: object) -> Path:
        norm, lr, batch, seed = (
            values.get(key, default)
            for key, default in (("norm", "batch"), ("lr", 0.1), ("batch_size", 60), ("seed", 0))
        )
        options = {"ghost_size": 4} if norm == "ghost" else {}
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        config = {
            "seed": seed, "train": {"batch_size": batch}, "norm": {"name": norm, "options": options},
            "optimizer": {"name": "sgd", "lr": lr}, "probes": {},
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps({"run_id": name, "config": config}))
        if accuracy is not None:
            targets = [{"target": 0.9, "steps": 70, "observed": accuracy > 0.9}]
            test = None if status == "diverged" else {"accuracy": accuracy}
            end = {"status": status, "step": 9, "validation": {"final": accuracy}, "test": test, "targets": targets}
            (folder / "end.json").write_text(json.dumps(end))
        return folder

    return put


@pytest.fixture
def folder(write, tmp_path) -> Path:
    write("a-11111111", norm="batch", accuracy=0.95)
    write("b-22222222", norm="ghost", accuracy=0.91, batch_size=20)
    write("c-33333333", norm="none", accuracy=0.2, status="diverged", lr=1.0)
    write("d-44444444", norm="none", accuracy=None, seed=7)
    return tmp_path / "runs"


#: Filters, and the first letters of the runs that meet them.
MET = [
    (["norm=batch"], "a"),
    (["norm=batch,none"], "acd"),
    (["norm!=none"], "ab"),
    (["norm.name=ghost"], "b"),
    (["val.accuracy>0.9"], "ab"),
    (["val.accuracy>=95%"], "a"),
    (["val.accuracy<=0.91", "status=finished"], "b"),
    (["steps_to.0.9<100"], "ab"),
    (["steps_to.0.9=null"], "cd"),
    (["test.accuracy=null"], "cd"),
    (["status=interrupted"], "d"),
    (["lr=1e0"], "c"),
    (["bs=20"], "b"),
    (["norm.ghost_size=4"], "b"),
    (["seed=7"], "d"),
    (["train.keep=none", "optimizer=sgd"], "abcd"),
]


@pytest.mark.parametrize(("words", "names"), MET, ids=[" ".join(words) for words, _ in MET])
def test_filters_choose_by_settings_and_by_what_was_measured(folder, words, names):
    rows = read_rows(folder)
    assert "".join(row.name[0] for row in chosen(rows, conditions(words, rows))) == names


@pytest.mark.parametrize(
    ("word", "todo"),
    [
        ("nrom=batch", "norm=batch"),
        ("val.acuracy>0.9", "val.accuracy>0.9"),
        ("norm>x", "norm=batch"),
        ("val.accuracy", "'val.accuracy>0.9'"),
        ("status=", "status=diverged"),
        ("norm=btach", "norm=batch   (there are batch, "),
        ("norm!=btach,none", "norm!=batch   (there are batch, "),
        ("status=finishd", "status=finished"),
    ],
)
def test_what_is_no_filter_is_told_with_the_nearest_that_is(folder, word, todo):
    with pytest.raises(UserError) as error:
        conditions([word], read_rows(folder))
    assert error.value.todo.startswith(todo)


@pytest.mark.parametrize("word", ["norm=layer", "status=failed", "seed=99", "model.activation=tanh"])
def test_a_value_that_could_be_there_is_no_mistake(folder, word):
    rows = read_rows(folder)
    assert chosen(rows, conditions([word], rows)) == []


def test_runs_are_sorted_and_those_without_a_value_stand_last(folder):
    rows = read_rows(folder)
    assert [row.name[0] for row in ordered(rows, "val.accuracy")] == ["c", "b", "a", "d"]
    assert [row.name[0] for row in ordered(rows, "-val.accuracy")] == ["a", "b", "c", "d"]
    assert [row.name[0] for row in ordered(rows, "norm")] == ["a", "b", "c", "d"]


def test_a_label_says_what_differs_and_nothing_else(folder):
    differs = differing_settings({row.name: row.settings for row in read_rows(folder)})
    assert [label(found) for found in differs.values()] == [
        "batch lr=0.1 batch_size=60 s0",
        "ghost lr=0.1 batch_size=20 s0",
        "none lr=1 batch_size=60 s0",
        "none lr=0.1 batch_size=60 s7",
    ]
    assert label({}) == ""


def test_a_setting_that_old_headers_lack_has_its_default():
    old, new = ({"config": {"train": train}} for train in ({"steps": 3}, {"steps": 3, "keep": "last"}))
    differs = differing_settings({"old": settings(old), "new": settings(new)})
    assert differs == {"old": {"train.keep": "none"}, "new": {"train.keep": "last"}}


def test_kept_rows_are_the_rows_until_a_record_changes(folder, monkeypatch):
    fresh = read_rows(folder)
    assert not (folder / KEPT).exists()  # so few runs are read as fast
    monkeypatch.setattr(rows_module, "WORTH_KEEPING", 2)
    assert read_rows(folder) == fresh
    monkeypatch.setattr(rows_module, "_row_at", lambda _, name: pytest.fail(name) if name[0] != "d" else fresh[3])
    assert read_rows(folder) == fresh
    monkeypatch.undo()
    monkeypatch.setattr(rows_module, "WORTH_KEEPING", 2)
    end = folder / "a-11111111" / "end.json"
    end.write_text(end.read_text().replace("0.95", "0.333"))
    assert read_rows(folder)[0].measured["val.accuracy"] == 0.333
    (folder / KEPT).write_text("torn")
    assert len(read_rows(folder)) == 4


@pytest.mark.parametrize("content", ["", "[]", '{"status": 3}', "{}"])
def test_a_damaged_record_is_a_row_that_says_so(folder, content):
    (folder / "a-11111111" / "end.json").write_text(content)
    row = read_rows(folder)[0]
    assert row.status == "damaged"
    assert row.damage.startswith("end.json is ")


def test_a_run_is_found_by_any_part_of_its_name(folder):
    names = [row.name for row in read_rows(folder)]
    for word in ("2222", "b-22222222", str(folder / "b-22222222"), f"{folder}/b-22222222/"):
        assert find_run(word, folder, names).header["run_id"] == "b-22222222"
    with pytest.raises(UserError, match="4 runs have this in their names"):
        find_run("-", folder, names)
    with pytest.raises(UserError) as error:
        find_run("b-2222222x", folder, names)
    assert error.value.todo == "b-22222222"
