"""An archive holds what the folders held, bit for bit, as text with a line a run, and is read as they are."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pytest

from bnexp.errors import UserError
from bnexp.parallel import for_each
from bnexp.records.archive import ARRAYS, CLAIMS, RUNS, USUAL, open_record, read_cells, write_archive
from bnexp.records.curves import time_to_target
from bnexp.records.jsonfile import write_json
from bnexp.records.reader import RunRecord, find_runs
from bnexp.records.shared import pack, unpack
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
CELLS = {
    "quick": {"speed": [{**USUAL, "run_id": "b", "seed": 0, "command": "x"},
                        {**USUAL, "run_id": "a", "seed": 1, "regime": "tuning", "value": 0.5, "grid": 1, "command": "y"}]},
    "full": {"law": []},
}  # fmt: skip


def make_run(runs, name, status="finished"):
    (runs / name).mkdir(parents=True)
    writer = RunWriter.begin(runs / name, {"run_id": name, "versions": {"bnexp": "0.1.0"}, "config": {"seed": 0, "lr": 0.1}})
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
        end = {key: value for key, value in before.end.items() if key != "events"}
        assert (run.status, run.complete, run.header, run.end) == (before.status, True, before.header, end)
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


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_processes_that_are_forked_after_it_was_read_read_it_at_once_and_right(tmp_path, monkeypatch):
    """Claims are judged on all cores: with one file open in common each moved the place that the others read at."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    rng, names = np.random.default_rng(0), [f"r{number}" for number in range(12)]
    for name in names:
        (tmp_path / "runs" / name).mkdir(parents=True)
        writer = RunWriter.begin(tmp_path / "runs" / name, {"run_id": name, "versions": {"bnexp": "0.1.0"}, "config": {"seed": 0}})
        writer.arrays("measure", {"noise": rng.integers(0, 256, 100_000, dtype=np.uint8)})
        writer.end({"status": "finished", "step": 20})
    write_archive(tmp_path / "archive", find_runs(tmp_path / "runs"), {})

    def sum_of(name: str) -> int | str:
        try:
            return int(open_record(tmp_path / "archive", name).arrays("measure")["noise"].sum())
        except UserError as error:  # what fails in a process is done again here, so it has to be an answer
            return str(error)

    alone = [sum_of(name) for name in names]  # and the file stays open
    assert for_each(lambda place: sum_of(names[place % len(names)]), 48, least=1) == alone * 4


def test_claims_lists_are_the_same_from_both_kinds_of_folder(runs, archive):
    assert read_cells(runs) == read_cells(archive) == CELLS
    assert '{"run_id":"b","seed":0,"command":"x"}' in (archive / CLAIMS).read_text()


@pytest.mark.parametrize("lists", ["1", "[]", '{"law": 1}', '{"law": [1]}', '{"law": ["ab"]}', '{"law": [{"grid": 0}]}'])
def test_a_damaged_list_is_named(archive, lists):
    (archive / CLAIMS).write_text(f'{{"quick": {lists}}}', encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)the lists of runs for budget=quick are damaged.*claims\.json"):
        read_cells(archive)


def test_the_command_of_a_cell_is_stated_once_with_the_run(tmp_path):
    commands = {"a": "bnexp train seed=0", "b": "bnexp train seed=1"}
    for name, command in commands.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        RunWriter.begin(tmp_path / "runs" / name, {"run_id": name, "command": command}).end({"status": "finished"})
    cells = {"quick": {"speed": [{"run_id": "a", "command": commands["a"]}, {"run_id": "b", "command": "another"},
                                 {"run_id": "gone", "command": "bnexp train"}]}}  # fmt: skip
    write_archive(tmp_path / "out", find_runs(tmp_path / "runs"), cells)
    assert (tmp_path / "out" / CLAIMS).read_text().count("command") == 2
    assert read_cells(tmp_path / "out") == {"quick": {"speed": [USUAL | row for row in cells["quick"]["speed"]]}}


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


def test_there_is_a_line_for_every_run_and_every_cell_after_what_runs_share_and_no_nan(archive):
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (archive / RUNS).read_text().splitlines()]
    assert [line.get("run") for line in lines] == [None, None, "a", "b", "c.2"]
    assert [list(line) for line in lines[1:3]] == [["part", "is"], ["run", "shared", "header", "end", "curves"]]
    assert [line["part"].partition("-")[0] for line in lines[:2]] == ["arm", "versions"]
    assert lines[1]["is"] == {"bnexp": "0.1.0"}
    assert [line["header"] for line in lines[2:]] == [{"config": {"seed": 0}}] * 3
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
    assert [ours == theirs for ours, theirs in changed] == [True, True, True, False, True]
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


def test_what_a_run_shares_with_no_other_leaves_the_lines_of_the_others_as_they_are(runs, archive, tmp_path):
    header = json.loads((runs / "b" / "run.json").read_text())
    write_json(runs / "b" / "run.json", {**header, "versions": {"bnexp": "0.2.0"}})
    write_archive(tmp_path / "out", [RunRecord(runs / name) for name in ("a", "b", "c.2")], {})
    before, after = ((folder / RUNS).read_text().splitlines() for folder in (archive, tmp_path / "out"))
    assert before[2] in after
    assert before[4] in after
    assert open_record(tmp_path / "out", "b").header["versions"] == {"bnexp": "0.2.0"}


HEADERS = {
    "of a run": {
        "schema_version": 2, "run_id": "a-s7", "arm_id": "a", "command": "bnexp train norm=batch seed=7", "created": "then",
        "config": {"seed": 7, "train": {"steps": 10}, "norm": {"name": "batch", "options": {"eps": 1e-5}}, "plugins": []},
        "hashes": {"init": {"hidden1": "0a"}, "order": "1b"}, "data": {"name": "digits"}, "git": None,
    },
    "of a measurement": {"run_id": "b", "measurement": {"claim": "law", "seed": 3}, "command": "bnexp reproduce law", "git": {}},
    "with a command that looks like a template": {"run_id": "b", "command": "bnexp train seed=7 ' seed={}'", "config": {"seed": 7}},
    "with words where parts stand": {"config": "none", "hashes": None, "data": {}, "run_id": None},
    "empty": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_comes_back_as_it_was_to_the_order_of_its_keys(kind):
    parts = {}
    shared, own = pack(HEADERS[kind], "a-s7", parts)
    parts, own = json.loads(json.dumps([parts, own]))
    assert json.dumps(unpack(shared, own, "a-s7", parts)) == json.dumps(HEADERS[kind])


def test_seeds_of_an_arm_share_all_but_their_seeds_and_hashes():
    parts, header = {}, HEADERS["of a run"]
    other = {**header, "run_id": "a-s8", "config": {**header["config"], "seed": 8}, "command": "bnexp train norm=batch seed=8"}
    (one, own), (two, theirs) = pack(header, "a-s7", parts), pack(other, "a-s8", parts)
    assert one == two
    assert {key for key in own if own[key] != theirs[key]} == {"config"}
    assert set(own) == {"config", "hashes", "created"}
    assert own["hashes"]["init"] in parts


def test_parts_of_other_content_never_have_one_name(monkeypatch):
    monkeypatch.setattr("hashlib.sha256", lambda text: SimpleNamespace(hexdigest=lambda: "0" * 8 + f"{len(text):08d}"))
    parts = {}
    first, second = (pack({"config": {"seed": 0, "norm": {"name": name}}}, "a", parts)[0] for name in ("bb", "ccc"))
    assert first != second
    assert {json.dumps(content) for name, content in parts.items() if name.startswith("norm")} == {
        '{"name": "bb"}', '{"name": "ccc"}',
    }  # fmt: skip


def test_an_archive_of_an_older_bnexp_with_whole_headers_is_read(archive):
    found = find_runs(archive)
    keys = ("header", "end", "curves")
    lines = [{"run": one.folder.name} | dict(zip(keys, (one.header, one.end, one.line["curves"]), strict=True)) for one in found]
    (archive / RUNS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    again = find_runs(archive)
    assert [(one.header, one.end, list(one.events())) for one in again] == [
        (one.header, one.end, list(one.events())) for one in found
    ]


@pytest.fixture
def long_runs(tmp_path):
    """Runs of 400 evaluations that climb through two targets, in and out."""
    rng = np.random.default_rng(0)
    for seed in range(8):
        folder = tmp_path / "long" / f"r{seed}"
        folder.mkdir(parents=True)
        writer = RunWriter.begin(folder, {"run_id": folder.name, "config": {"seed": seed, "train": {"stop_at_accuracy": 0.7}}})
        values = 0.5 + 0.5 * np.linspace(0, 1, 401) + rng.normal(0, 0.05, 401)
        for step, value in enumerate(values.tolist()):
            writer.event(step, "val/accuracy", NAN if step == 7 else value, step / 100)
            writer.event(step, "train/loss", -value, step / 100)
        writer.end({"status": "finished", "step": 400, "targets": [{"target": 0.9}, {"target": 0.97}, {"target": 2.0}]})
    return tmp_path / "long"


def test_curves_may_be_kept_as_a_few_points_which_tell_when_targets_were_reached(long_runs, tmp_path):
    keep = {"val/accuracy": 24, "train/loss": np.inf}
    for source, out in ((long_runs, "a"), (tmp_path / "a", "b")):
        write_archive(tmp_path / out, find_runs(source), {}, lambda *_: True, lambda _, name: keep[name])
    assert (tmp_path / "a" / RUNS).read_bytes() == (tmp_path / "b" / RUNS).read_bytes()  # no point is lost twice
    for run in find_runs(tmp_path / "a"):
        whole, few = (record.curve("val/accuracy") for record in (RunRecord(long_runs / run.folder.name), run))
        assert (run.points_before("val/accuracy"), run.points_before("train/loss")) == (401, None)
        assert 12 < len(few.steps) < 24 + 16
        assert (few.steps[0], few.steps[-1]) == (0, 400)
        assert set(zip(few.steps, few.values, strict=True)) < set(zip(whole.steps, whole.values, strict=True))
        assert len(run.curve("train/loss").steps) == 401
        for target in (0.7, 0.9, 0.97, 2.0):
            one, other = time_to_target(whole, target), time_to_target(few, target)
            assert (one.steps, one.observed) == (other.steps, other.observed)


@pytest.mark.parametrize(
    "damage", ["{", '{"run": "a"}', "[]", "\0\0", '{"run": "d", "shared": "no", "header": {}, "end": {}, "curves": {}}']
)
def test_a_damaged_line_is_named(archive, damage):
    with (archive / RUNS).open("a") as stream:
        stream.write(damage + "\n")
    with pytest.raises(UserError, match=r"line 6 of runs\.jsonl is not a run"):
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
