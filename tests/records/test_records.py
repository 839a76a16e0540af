"""A run's folder, written and read back: statuses, attempts, events cut short, arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bnexp.records import paths
from bnexp.records.header import command, git_commit
from bnexp.records.reader import RunRecord, find_runs
from bnexp.records.writer import RunWriter

NAN = float("nan")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def writer(folder):
    """A record with a header and three evaluations, the last one not a number; still open."""
    writer = RunWriter.begin(folder, {"run_id": "run"})
    for step, value in ((0, 0.1), (10, 0.5), (20, NAN)):
        writer.event(step, "val/accuracy", value, step / 7)
    yield writer
    writer.close()


def test_events_come_back_as_a_curve_with_none_for_what_was_not_finite(writer, folder):
    writer.close()
    curve = RunRecord(folder).curve("val/accuracy")
    assert (curve.steps, curve.values, curve.seconds) == ((0, 10, 20), (0.1, 0.5, None), (0.0, 1.428571, 2.857143))
    assert [event.get("kind") for event in RunRecord(folder).events()] == [None, None, "nan"]


def test_no_line_holds_nan(writer, folder):
    writer.close()

    def refuse(word):
        raise AssertionError(word)

    for line in (folder / paths.EVENTS).read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_last_line_cut_short_by_a_kill_is_left_out(writer, folder, cut):
    writer.close()
    file = folder / paths.EVENTS
    file.write_bytes(file.read_bytes()[:-cut])
    assert [event["step"] for event in RunRecord(folder).events()] == [0, 10]


def test_a_resumed_record_forgets_what_came_after_its_checkpoint(writer, folder):
    size = writer.size()
    writer.event(30, "val/accuracy", 0.7, 1.0)
    writer.close()
    again = RunWriter.resume(folder, size)
    again.event(25, "val/accuracy", 0.6, 1.0)
    again.close()
    assert RunRecord(folder).curve("val/accuracy").steps == (0, 10, 20, 25)


def test_a_name_that_was_never_recorded_is_an_empty_curve(writer, folder):
    writer.close()
    assert RunRecord(folder).curve("val/los").steps == ()


@pytest.mark.parametrize(
    ("end", "status", "complete"),
    [
        (None, "interrupted", False),
        ({"status": "failed"}, "failed", False),
        ({"status": "finished"}, "finished", True),
        ({"status": "diverged"}, "diverged", True),
    ],
)
def test_a_record_is_complete_when_its_end_says_finished_or_diverged(writer, folder, end, status, complete):
    if end:
        writer.end(end)
    record = RunRecord(folder)
    assert (record.status, record.complete) == (status, complete)


def test_arrays_come_back_as_they_were_and_leave_no_temporary_file(writer, folder, files_below):
    content = {"steps": np.array([0, 1]), "hidden1/pre_norm/unit_mean": np.array([[1.5, NAN]], np.float32)}
    writer.arrays("layer_inputs", content)
    back = RunRecord(folder).arrays("layer_inputs")
    assert set(back) == set(content)
    for name, array in content.items():
        np.testing.assert_array_equal(back[name], array)
    assert files_below(folder / paths.PROBES) == ["layer_inputs.npz"]


def test_attempts_are_ordered_by_number_and_leave_other_runs_out(tmp_path):
    for name in ("run", "run.10", "run.2", "run.2x", "run-other", "run.x", "runs", "another"):
        (tmp_path / name).mkdir()
    (tmp_path / "run.3").write_text("a file", encoding="utf-8")
    assert [path.name for path in paths.attempts(tmp_path, "run")] == ["run", "run.2", "run.10"]


def test_runs_are_the_folders_with_a_header(tmp_path, writer):
    (tmp_path / "sweeps").mkdir()
    assert [record.folder.name for record in find_runs(tmp_path)] == ["run"]
    assert find_runs(tmp_path / "nowhere") == []
    writer.close()


def test_the_command_in_a_header_leaves_out_where_the_run_was():
    words = ["norm=none", "runs_dir=/x", "+data_dir=/y", "device=cuda", "threads=2", "force=true", "seed=1"]
    assert command(words) == "bnexp train norm=none seed=1"


def test_a_folder_outside_any_repository_has_no_commit(tmp_path):
    assert git_commit(tmp_path) is None
