"""An archive holds what the folders held, bit for bit, as text with a line a run, and is read as they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bnexp.errors import UserError
from bnexp.records.archive import ARRAYS, CLAIMS, RUNS, open_record, read_cells, write_archive
from bnexp.records.jsonfile import write_json
from bnexp.records.reader import RunRecord, find_runs
from bnexp.records.writer import RunWriter

NAN, INF = float("nan"), float("inf")
EVENTS = [
    (0, "train/loss", 2.3),
    (0, "val/accuracy", 0.1),
    (10, "train/loss", NAN),
    (10, "val/accuracy", 1 / 3),
    (20, "val/accuracy", -INF),
]
SD_TU = np.array([[0.1, np.nan], [-0.0, 3e-39]], "float32")
ARRAYS_OF = {
    "layer_inputs": {"steps": np.array([0, 10]), "hidden1/pre_norm/unit_sd": SD_TU},
    "measure": {"names": np.array(["a", "bc"]), "flag": np.array(True)},
}
CELLS = {"quick": {"speed": [{"run_id": "b", "seed": 0}, {"run_id": "a", "seed": 1}]}, "full": {"law": []}}


def make_run(runs, name, status="finished"):
    (runs / name).mkdir(parents=True)
    writer = RunWriter.begin(runs / name, {"run_id": name, "config": {"seed": 0, "lr": 0.1}})
    for step, curve, value in EVENTS:
        writer.event(step, curve, value, step / 7)
    for probe, content in ARRAYS_OF.items():
        writer.arrays(probe, content)
    writer.end({"status": status, "step": 20, "validation": {"final": 1 / 3}})


@pytest.fixture
def runs(tmp_path):
    """Three runs, one of which has a failed first attempt and a complete second one."""
    for name, status in (("b", "diverged"), ("a", "finished"), ("c", "failed"), ("c.2", "finished")):
        make_run(tmp_path / "runs", name, status)
    for budget, claims in CELLS.items():
        for claim, rows in claims.items():
            (tmp_path / "runs" / "claims" / budget).mkdir(parents=True, exist_ok=True)
            write_json(tmp_path / "runs" / "claims" / budget / f"{claim}.json", {"cells": rows})
    return tmp_path / "runs"


@pytest.fixture
def archive(runs, tmp_path):
    write_archive(tmp_path / "archive", [run for run in find_runs(runs) if run.complete], read_cells(runs))
    return tmp_path / "archive"


def test_what_is_read_from_the_archive_is_what_the_folders_say(runs, archive):
    found = find_runs(archive)
    assert [run.folder.name for run in found] == ["a", "b", "c.2"]
    for run in found:
        before = RunRecord(runs / run.folder.name)
        assert (run.status, run.complete, run.header, run.end) == (before.status, True, before.header, before.end)
        assert run.curve("val/accuracy") == before.curve("val/accuracy")
        assert list(run.events()) == list(before.events())
        assert run.curve("no such curve").steps == ()
        assert run.probes() == before.probes() == ["layer_inputs", "measure"]
        for probe in run.probes():
            ours, theirs = run.arrays(probe), before.arrays(probe)
            assert set(ours) == set(theirs)
            assert all(
                (a := ours[name], b := theirs[name]) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
                for name in ours
            )
        with pytest.raises(FileNotFoundError, match=f"{run.folder.name} has no arrays of shift"):
            run.arrays("shift")


def test_claims_lists_are_the_same_from_both_kinds_of_folder(runs, archive):
    assert read_cells(runs) == read_cells(archive) == CELLS


@pytest.mark.parametrize(("asked", "found"), [("a", "a"), ("c", "c.2"), ("absent", "absent")])
def test_a_run_is_found_by_its_id_whichever_attempt_is_complete(runs, archive, asked, found):
    for folder in (runs, archive):
        record = open_record(folder, asked)
        assert (record.folder.name, record.complete) == (found, asked != "absent")


def test_the_newest_of_many_attempts_is_taken_by_number_and_not_by_spelling(runs, tmp_path):
    for attempt in ("d.2", "d.10"):
        make_run(runs, attempt)
    write_archive(tmp_path / "out", [RunRecord(runs / name) for name in ("d.2", "d.10")], {})
    assert open_record(tmp_path / "out", "d").folder.name == open_record(runs, "d").folder.name == "d.10"


def test_there_is_a_line_for_every_run_and_every_cell_and_no_nan(archive):
    lines = (archive / RUNS).read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["run"] for line in lines] == ["a", "b", "c.2"]
    assert list(json.loads(lines[0])) == ["run", "header", "end", "curves"]
    assert sum('"run_id"' in line for line in (archive / CLAIMS).read_text().splitlines()) == 2


def test_the_same_records_give_the_same_bytes_and_one_changed_run_changes_one_line(runs, archive, tmp_path):
    write_archive(tmp_path / "again", list(reversed(find_runs(archive))), read_cells(archive))
    assert all(
        (archive / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in (RUNS, ARRAYS, CLAIMS)
    )
    write_json(runs / "b" / "end.json", {"status": "finished", "step": 21})
    write_archive(tmp_path / "again", [RunRecord(runs / name) for name in ("a", "b", "c.2")], {})
    changed = zip(
        (archive / RUNS).read_text().splitlines(), (tmp_path / "again" / RUNS).read_text().splitlines(), strict=True
    )
    assert [ours == theirs for ours, theirs in changed] == [True, False, True]
    assert not (tmp_path / "again" / CLAIMS).exists()  # no list of an older export is left beside other runs


def test_arrays_that_need_not_be_kept_are_left_out(runs, tmp_path):
    write_archive(tmp_path / "out", [RunRecord(runs / "a")], {}, lambda *array: array == ("a", "measure", "flag"))
    (run,) = find_runs(tmp_path / "out")
    assert run.probes() == ["measure"]
    assert run.arrays("measure") == {"flag": np.array(True)}


def test_an_array_of_objects_is_never_written_and_leaves_no_file(runs, tmp_path):
    np.savez(runs / "a" / "probes" / "own.npz", things=np.array([{}], object))
    with pytest.raises(ValueError, match="allow_pickle"):
        write_archive(tmp_path / "out", [RunRecord(runs / "a")], {})
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [RUNS]


@pytest.mark.parametrize("damage", ["{", '{"run": "a"}', "[]", "\0\0"])
def test_a_damaged_line_is_named(archive, damage):
    with (archive / RUNS).open("a") as stream:
        stream.write(damage + "\n")
    with pytest.raises(UserError, match=r"line 4 of runs\.jsonl is not a run"):
        find_runs(archive)


@pytest.mark.parametrize("name", [ARRAYS, CLAIMS])
def test_another_damaged_file_is_named(archive, name):
    (archive / name).write_bytes(b"not this")
    with pytest.raises(UserError, match=f"{name} is"):
        find_runs(archive)[0].probes() if name == ARRAYS else read_cells(archive)


def test_a_folder_that_was_exported_anew_is_read_anew(runs, archive):
    assert len(find_runs(archive)) == 3
    write_archive(archive, [RunRecord(runs / "a")], {})
    assert [run.folder.name for run in find_runs(archive)] == ["a"]
