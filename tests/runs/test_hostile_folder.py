"""A run folder that somebody else made: nothing in it is executed, and nothing outside it is written, cut or removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bnexp.errors import UserError
from bnexp.records.reader import RunRecord
from bnexp.runs import run as running
from bnexp.runs.run import execute

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


@pytest.fixture
def make(make):
    """As everywhere, but with a probe, whose arrays have a folder of their own."""
    return lambda *words: make("probes=light", *words)


@pytest.fixture
def folder(make, monkeypatch, tmp_path) -> Path:
    """Of a run that was stopped after its tenth step, with a checkpoint."""
    real = running.Recording.offer

    def stop(self, step: int) -> None:
        real(self, step)
        if step == 10:
            self.save(step)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(running.Recording, "offer", stop)
        with pytest.raises(KeyboardInterrupt):
            execute(make(), show=False)
    (header,) = tmp_path.glob("runs/*/run.json")
    return header.parent


@pytest.fixture
def outside(tmp_path) -> Path:
    """What no run may touch: a file, and a folder with another."""
    (tmp_path / "outside").mkdir()
    for name in ("thesis", "layer_inputs.npz"):
        (tmp_path / "outside" / name).write_text("my thesis")
    return tmp_path / "outside"


def told(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in folder.rglob("*")}


@pytest.mark.parametrize("with_checkpoint", [True, False])
@pytest.mark.parametrize("name", ["events.jsonl", "error.txt", "probes", "tb"])
def test_a_link_in_the_place_of_what_a_run_writes_is_refused(make, folder, outside, name, with_checkpoint):
    before = told(outside)
    if not with_checkpoint:
        (folder / "checkpoint.pt").unlink()
    if (folder / name).exists():
        (folder / name).rename(folder / f"{name}.old")
    (folder / name).symlink_to(outside if name in ("probes", "tb") else outside / "thesis")
    with pytest.raises(UserError, match="is a link") as error:
        execute(make(), show=False)
    assert error.value.todo == f"rm '{folder / name}'"
    assert (folder / name).is_symlink()
    assert told(outside) == before
    assert not (folder / ".lock").exists()
    (folder / name).unlink()
    assert execute(make(), show=False).status == "finished"
    assert told(outside) == before


@pytest.mark.parametrize("name", ["run.json", "checkpoint.pt", "weights.safetensors", "probes/.layer_inputs.npz"])
def test_a_link_in_the_place_of_what_is_replaced_is_not_followed(make, folder, outside, name):
    before = told(outside)
    (folder / "probes").mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / "thesis")
    execute(make(), show=False)
    assert told(outside) == before


def test_a_copy_by_hard_links_keeps_its_events(make, folder, tmp_path):
    copy = tmp_path / "copy.jsonl"
    with (folder / "events.jsonl").open("a") as stream:
        stream.write("after the checkpoint\n")
    os.link(folder / "events.jsonl", copy)
    before = copy.read_bytes()
    assert execute(make(), show=False).status == "finished"
    assert copy.read_bytes() == before


@pytest.mark.parametrize("name", ["run.json", "end.json"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_has_no_end_is_not_read(bnexp, make, folder, name, kind):
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero")
    assert RunRecord(folder).damage == f"{name} is not a file"
    listed = bnexp("list", "runs")
    assert listed.code == 0
    assert name == "run.json" or f"{folder.name}: {name} is not a file" in listed.err
    ended = execute(make(), show=False)
    assert (ended.status, Path(ended.folder).name) == ("finished", f"{folder.name}.2")
