"""Parsed arrays on disk: complete and intact, or an error that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bnexp.data.cache import cache_file, cached, default_data_dir, resolve_data_dir
from bnexp.data.part import Part
from bnexp.data.source import Source
from bnexp.errors import UserError


@pytest.fixture
def source():
    images = np.random.default_rng(0).integers(0, 256, (50, 1, 8, 8), dtype=np.uint8)
    return Source(Part(images, np.arange(50) % 4), Part(images[:9].copy(), np.arange(9) % 4), 4)


def never():
    raise AssertionError("parsed although the cache was there")


def test_what_was_parsed_once_is_read_back_and_not_parsed_again(tmp_path, source):
    cached(tmp_path, "toy", lambda: source)
    again = cached(tmp_path, "toy", never)
    assert again.checksum == source.checksum
    assert np.array_equal(again.train.images, source.train.images)
    assert again.num_classes == 4


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_cache_is_refused_with_the_file_to_delete(tmp_path, source, kept):
    cached(tmp_path, "toy", lambda: source)
    file = cache_file(tmp_path, "toy")
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(UserError) as error:
        cached(tmp_path, "toy", never)
    assert str(error.value) == (
        "the parsed copy of dataset=toy is damaged: its checksum does not match\n"
        f"  got: {file}\n"
        f"  try: rm '{file}'   (it is made again from the original files; bnexp data check toy looks at those)"
    )


def test_one_changed_byte_is_noticed(tmp_path, source):
    cached(tmp_path, "toy", lambda: source)
    file = cache_file(tmp_path, "toy")
    content = bytearray(file.read_bytes())
    place = content.index(source.train.images.tobytes()[:64]) + 100
    content[place] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        cached(tmp_path, "toy", never)


def test_other_arrays_under_an_old_checksum_are_noticed(tmp_path, source):
    cached(tmp_path, "toy", lambda: source)
    file = cache_file(tmp_path, "toy")
    with np.load(file) as held:
        changed = {**held, "test_labels": (held["test_labels"] + 1) % 4}
    np.savez(file, **changed)
    with pytest.raises(UserError, match="damaged"):
        cached(tmp_path, "toy", never)


def test_a_process_killed_while_writing_leaves_no_cache(tmp_path, source, monkeypatch):
    def half_a_file(stream, **_):
        stream.write(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "toy", lambda: source)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_time_but_no_data(tmp_path, source, caplog):
    (tmp_path / "file").write_text("in the way")
    assert cached(tmp_path / "file", "toy", lambda: source) is source
    assert "dataset=toy is parsed again at every start" in caplog.text


def test_the_data_folder_is_the_users_choice_then_the_cache_folder(monkeypatch):
    monkeypatch.setenv("BNEXP_DATA", "/some/where")
    monkeypatch.setenv("XDG_CACHE_HOME", "/tmp/xdg")
    assert default_data_dir() == Path("/some/where")
    assert resolve_data_dir("mine") == Path("mine")
    monkeypatch.delenv("BNEXP_DATA")
    assert resolve_data_dir(None) == Path("/tmp/xdg/bnexp")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_data_dir() == Path("/home/somebody/.cache/bnexp")
