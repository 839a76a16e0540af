"""Parsed arrays on disk: complete and intact, or an error that says what to do."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bnexp.data.cache import cache_file, cached, default_data_dir, read_cache, resolve_data_dir
from bnexp.data.source import Part, Source
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


def truncated(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file):
    file.write_bytes(b"")


def one_byte_changed(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def other_labels(file):
    with np.load(file) as held:
        changed = {**held, "test_labels": (held["test_labels"] + 1) % 4}
    np.savez(file, **changed)


def a_link_to_nothing(file):
    file.unlink()
    file.symlink_to("nowhere")


@pytest.mark.parametrize("damage", [truncated, empty, one_byte_changed, other_labels, a_link_to_nothing])
def test_a_damaged_cache_is_named_and_made_anew(tmp_path, source, damage, capsys):
    cached(tmp_path, "toy", lambda: source)
    file = cache_file(tmp_path, "toy")
    damage(file)
    with pytest.raises(UserError, match="the parsed copy of dataset=toy is damaged"):
        read_cache(file)
    assert cached(tmp_path, "toy", lambda: source) is source
    assert f"({file}); it is made anew" in capsys.readouterr().err
    assert cached(tmp_path, "toy", never).checksum == source.checksum


def test_a_cache_that_may_not_be_read_is_named_and_the_data_parsed(tmp_path, source, monkeypatch, capsys):
    cached(tmp_path, "toy", lambda: source)
    monkeypatch.setattr(np, "load", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert cached(tmp_path, "toy", lambda: source) is source
    assert "Permission denied" in capsys.readouterr().err


def test_readers_beside_many_writers_see_a_whole_file_or_none(tmp_path, source):
    def write_and_read(_):
        cache_file(tmp_path, "toy").unlink(missing_ok=True)
        return cached(tmp_path, "toy", lambda: source).checksum

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write_and_read, range(40))) == {source.checksum}
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["toy.npz"]


def test_a_process_killed_while_writing_leaves_no_cache(tmp_path, source, monkeypatch):
    def half_a_file(stream, **_):
        stream.write(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", half_a_file)
    with pytest.raises(KeyboardInterrupt):
        cached(tmp_path, "toy", lambda: source)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_time_but_no_data(tmp_path, source, capsys):
    (tmp_path / "file").write_text("in the way")
    assert cached(tmp_path / "file", "toy", lambda: source) is source
    assert "dataset=toy is parsed again at every start" in capsys.readouterr().err


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
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    assert default_data_dir() == Path(tempfile.gettempdir()) / "bnexp"
