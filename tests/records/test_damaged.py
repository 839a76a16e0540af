"""Files of a record with torn, flipped and foreign bytes: read, or named as damaged in one message."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnexp.records.reader import Damaged, RunRecord
from bnexp.records.shape import header_misfit
from bnexp.records.writer import RunWriter


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A complete record of three events and two arrays."""
    folder = tmp_path_factory.mktemp("run")
    writer = RunWriter.begin(folder, {"run_id": "run"})
    for step in range(3):
        writer.event(step, "val/loss", 1 / (1 + step), 0.1 * step)
    writer.arrays("gains", {"steps": np.arange(3), "gain": np.ones((3, 2), np.float32)})
    writer.end({"status": "finished", "step": 2})
    return folder


def read_all(folder: Path) -> None:
    record = RunRecord(folder)
    assert isinstance(record.status, str)
    for read in (lambda: record.curve("val/loss"), lambda: record.arrays("gains")):
        with suppress(Damaged):
            read()


FILES = ("run.json", "end.json", "events.jsonl", "probes/gains.npz")


@given(name=st.sampled_from(FILES), data=st.data())
@settings(max_examples=60)
def test_random_damage_is_read_or_named(sound, name, data):
    file = sound / name
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    how = data.draw(st.sampled_from(["torn", "flipped", "inserted"]))
    damage = {
        "torn": whole[:place],
        "flipped": whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :],
        "inserted": whole[:place] + data.draw(st.binary(max_size=20)) + whole[place:],
    }
    try:
        file.write_bytes(damage[how])
        read_all(sound)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("line", [b"[1]", b'{"a": 1}', b"x", b"[" * 100_000, b"9" * 5000, b"\xff"])
def test_a_line_that_is_no_event_is_named(sound, line):
    file = sound / "events.jsonl"
    whole = file.read_bytes()
    try:
        file.write_bytes(whole + line + b"\n")
        with pytest.raises(Damaged, match=r"line 4 of .*events.jsonl is not an event"):
            RunRecord(sound).curve("val/loss")
    finally:
        file.write_bytes(whole)


def test_a_run_that_lost_its_name_is_named_by_what_it_lacks():
    header = {"schema_version": 2, "config": {"seed": 0}}
    assert header_misfit(header) == "run_id"
    assert header_misfit({"run_id": "a-s0", **header}) == "arm_id"


class Payload:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("inside", [True, False])
def test_no_array_of_a_record_is_executed(tmp_path, inside):
    (tmp_path / "probes").mkdir()
    file, mark = tmp_path / "probes" / "gains.npz", tmp_path / "mark"
    if inside:
        np.savez(file, steps=np.array([Payload(mark)], dtype=object))
    else:
        file.write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(Damaged, match="the arrays of gains are damaged"):
        RunRecord(tmp_path).arrays("gains")["steps"]
    assert not mark.exists()
