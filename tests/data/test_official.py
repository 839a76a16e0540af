"""Official files: recognised by checksum, downloaded whole or not at all, imported under any name."""

from __future__ import annotations

import gzip
import os
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bnexp.data import SOURCES, torchvision_sets
from bnexp.data.official import OFFICIAL, OfficialFile, OfficialSet, copy_in, file_md5, find_official, inspect
from bnexp.errors import UserError

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files without talking about it."""

    def log_message(self, *_):
        pass


def load(data_dir):
    return SOURCES["mnist"].load(data_dir)


def names(files):
    return [file.name for file in files]


def left_behind(data_dir):
    return sorted(path.name for path in data_dir.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def served(fake_mnist, monkeypatch):
    """A network that delivers what torchvision was not given already; returns the names that were asked for."""
    asked = []

    def download(official, folder):
        for file in official.forms[0]:
            if not (folder / file.path).exists():
                asked.append(file.name)
                fake_mnist.write(folder, file.name)

    monkeypatch.setattr(torchvision_sets, "_download", download)
    return asked


@pytest.mark.slow
@pytest.mark.parametrize("name", list(OFFICIAL))
def test_checksums_and_places_are_those_of_torchvision(name):
    datasets = pytest.importorskip("torchvision.datasets")
    official = OFFICIAL[name]
    known = getattr(datasets, official.class_name)
    held = [(file.name, file.md5) for form in official.forms for file in form]
    if hasattr(known, "resources"):
        assert held == known.resources
        assert {file.path.split("/")[0] for file in official.forms[0]} == {known.__name__}
    elif hasattr(known, "tgz_md5"):
        extracted = [*known.train_list, *known.test_list, [known.meta["filename"], known.meta["md5"]]]
        assert held == [(known.filename, known.tgz_md5), *map(tuple, extracted)]
        assert {file.path.split("/")[0] for file in official.forms[1]} == {known.base_folder}
    else:
        assert held == [tuple(known.split_list[part][1:]) for part in ("train", "test")]


@pytest.mark.usefixtures("offline")
def test_idx_files_are_parsed_by_torchvision_and_cached(tmp_path, fake_mnist):
    pytest.importorskip("torchvision")
    fake_mnist.write(tmp_path)
    source = load(tmp_path)
    assert np.array_equal(source.train.images[:, 0], fake_mnist.images["train"])
    assert source.test.labels.tolist() == fake_mnist.labels["t10k"].tolist()
    assert left_behind(tmp_path) == sorted([*fake_mnist.packed, "mnist.npz"])
    for file in fake_mnist.official.forms[0]:
        (tmp_path / file.path).unlink()
    assert load(tmp_path).checksum == source.checksum


@pytest.mark.usefixtures("offline")
def test_extracted_files_lying_about_are_not_trusted(tmp_path, fake_mnist):
    pytest.importorskip("torchvision")
    fake_mnist.write(tmp_path)
    for name, content in fake_mnist.plain.items():
        (tmp_path / "MNIST" / "raw" / name.removesuffix(".gz")).write_bytes(content[:-1])
    assert len(load(tmp_path).train) == 40


@pytest.mark.usefixtures("offline")
def test_offline_the_message_names_files_folder_and_ways_out(tmp_path, fake_mnist):
    fake_mnist.write(tmp_path, LABELS)
    with pytest.raises(UserError) as error:
        load(tmp_path)
    assert str(error.value) == (
        "dataset=mnist is not on this machine and its host did not deliver it (no network)\n"
        "  got: missing train-images-idx3-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
        f" in {tmp_path / 'MNIST' / 'raw'}\n"
        "  try: bnexp data import PATH   (a folder that holds these files), "
        "or dataset=mnist_5k, which needs no download"
    )


@pytest.mark.usefixtures("offline")
def test_a_truncated_file_is_damaged_not_there(tmp_path, fake_mnist):
    fake_mnist.write(tmp_path)
    file = tmp_path / "MNIST" / "raw" / IMAGES
    file.write_bytes(file.read_bytes()[:-1])
    holding = inspect(tmp_path, fake_mnist.official)
    assert holding.form is None
    assert names(holding.damaged) == [IMAGES]
    with pytest.raises(UserError) as error:
        load(tmp_path)
    assert error.value.what == "files of dataset=mnist are not the official ones: truncated or changed"
    assert error.value.todo == f"rm {file} && bnexp data fetch mnist"


def test_the_same_contents_compressed_again_are_good(tmp_path, fake_mnist):
    fake_mnist.write(tmp_path)
    (tmp_path / "MNIST" / "raw" / IMAGES).write_bytes(gzip.compress(fake_mnist.plain[IMAGES], 1, mtime=77))
    assert inspect(tmp_path, fake_mnist.official).form == fake_mnist.official.forms[0]


def test_either_form_of_a_set_is_enough(tmp_path):
    content = b"some bytes"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "batch").write_bytes(content)
    extracted = OfficialFile("folder/batch", file_md5(tmp_path / "folder" / "batch"))
    archive = OfficialFile("archive.tar.gz", "0" * 32)
    toy = OfficialSet(class_name="Toy", num_classes=2, download_mb=1, forms=((archive,), (extracted,)))
    assert inspect(tmp_path, toy).form == (extracted,)


def test_only_missing_files_are_downloaded(tmp_path, fake_mnist, served):
    fake_mnist.write(tmp_path, IMAGES)
    torchvision_sets.fetch("mnist", tmp_path)
    assert served == [name for name in fake_mnist.packed if name != IMAGES]
    assert left_behind(tmp_path) == sorted(fake_mnist.packed)
    assert torchvision_sets.fetch("mnist", tmp_path) == fake_mnist.official.forms[0]
    assert len(served) == 3


def test_a_file_that_torchvision_would_overwrite_is_never_linked_to_it(tmp_path, fake_mnist, served):
    fake_mnist.write(tmp_path, IMAGES)
    mine = tmp_path / "MNIST" / "raw" / IMAGES
    mine.write_bytes(gzip.compress(fake_mnist.plain[IMAGES], 1, mtime=77))
    before = mine.read_bytes()
    torchvision_sets.fetch("mnist", tmp_path)
    assert IMAGES in served
    assert mine.read_bytes() == before


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt, TimeoutError("timed out"), RuntimeError("File not found or corrupted.")]
)
def test_an_interrupted_download_leaves_nothing_that_could_be_taken_for_data(tmp_path, fake_mnist, monkeypatch, end):
    def half(_, folder):
        fake_mnist.write(folder, IMAGES)
        (folder / "MNIST" / "raw" / LABELS).write_bytes(b"half")
        raise end

    monkeypatch.setattr(torchvision_sets, "_download", half)
    with pytest.raises(KeyboardInterrupt if end is KeyboardInterrupt else UserError) as error:
        torchvision_sets.fetch("mnist", tmp_path)
    assert left_behind(tmp_path) == []
    assert inspect(tmp_path, fake_mnist.official).damaged == ()
    if error.type is UserError:
        assert error.value.what == f"dataset=mnist is not on this machine and its host did not deliver it ({end})"


@pytest.mark.usefixtures("served")
def test_what_a_killed_process_left_is_cleared_by_the_next_download(tmp_path, fake_mnist):
    leftover = tmp_path / ".mnist.partial" / "MNIST" / "raw"
    leftover.mkdir(parents=True)
    (leftover / IMAGES).write_bytes(b"half")
    torchvision_sets.fetch("mnist", tmp_path)
    assert inspect(tmp_path, fake_mnist.official).form
    assert not (tmp_path / ".mnist.partial").exists()


@pytest.mark.usefixtures("served")
def test_a_data_folder_that_cannot_be_made_is_a_message(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="the data folder cannot be written"):
        torchvision_sets.fetch("mnist", tmp_path / "file")


@pytest.mark.usefixtures("served")
def test_a_lock_that_is_a_link_does_not_empty_what_it_leads_to(tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / ".mnist.lock").symlink_to(mine)
    with pytest.raises(UserError, match="the data folder cannot be written"):
        torchvision_sets.fetch("mnist", tmp_path)
    assert mine.read_text() == "precious"


def test_import_recognises_files_by_contents_whatever_they_are_called(tmp_path, fake_mnist):
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    first, second, third, fourth = fake_mnist.packed
    (there / "renamed.gz").write_bytes(fake_mnist.packed[first])
    (there / second.removesuffix(".gz")).write_bytes(fake_mnist.plain[second])
    (there / "again.gz").write_bytes(gzip.compress(fake_mnist.plain[third], 1, mtime=5))
    (there / fourth).write_bytes(fake_mnist.packed[fourth][:-9])
    found = find_official(there, ["mnist"])
    assert sorted(names(match.file for match in found)) == sorted([first, second, third])
    for match in found:
        assert copy_in(match, here) == here / match.file.path
        assert copy_in(match, here) is None
    holding = inspect(here, fake_mnist.official)
    assert (names(holding.missing), holding.damaged) == ([fourth], ())
    assert left_behind(here) == sorted([first, second, third])


def test_a_copy_that_differs_from_what_was_read_is_not_kept(tmp_path, fake_mnist, monkeypatch):
    fake_mnist.write(tmp_path / "there", IMAGES)
    (match,) = find_official(tmp_path / "there", ["mnist"])
    monkeypatch.setattr("shutil.copyfile", lambda _, target: target.write_bytes(b"bad disk"))
    with pytest.raises(UserError, match="the copy is not what was read"):
        copy_in(match, tmp_path / "here")
    assert left_behind(tmp_path / "here") == []


def test_import_does_not_overwrite_a_damaged_file(tmp_path, fake_mnist):
    fake_mnist.write(tmp_path / "there")
    target = tmp_path / "here" / "MNIST" / "raw" / IMAGES
    target.parent.mkdir(parents=True)
    target.write_bytes(b"mine")
    match = next(match for match in find_official(tmp_path / "there", ["mnist"]) if match.file.name == IMAGES)
    with pytest.raises(UserError, match="a damaged file is in the way"):
        copy_in(match, tmp_path / "here")
    assert target.read_bytes() == b"mine"


def test_a_real_download_goes_through_torchvision_and_ends_in_place(tmp_path, fake_mnist, monkeypatch):
    known = pytest.importorskip("torchvision.datasets").MNIST
    fake_mnist.write(tmp_path / "served")
    handler = partial(QuietHandler, directory=str(tmp_path / "served" / "MNIST" / "raw"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}/"
        monkeypatch.setattr(known, "mirrors", [host])
        monkeypatch.setattr(known, "resources", [(file.name, file.md5) for file in fake_mnist.official.forms[0]])
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        source = load(tmp_path / "here")
        (tmp_path / "served" / "MNIST" / "raw" / IMAGES).write_bytes(b"a captive portal's page")
        with pytest.raises(UserError, match="did not deliver it"):
            load(tmp_path / "elsewhere")
        server.shutdown()
    assert source.train.labels.tolist() == fake_mnist.labels["train"].tolist()
    assert left_behind(tmp_path / "here") == sorted([*fake_mnist.packed, "mnist.npz"])
    assert left_behind(tmp_path / "elsewhere") == []


def test_two_processes_do_not_download_the_same_set_at_once(tmp_path, capsys):
    pytest.importorskip("fcntl")
    order = []

    def second():
        with torchvision_sets._alone("mnist", tmp_path):
            order.append("second")

    with torchvision_sets._alone("mnist", tmp_path):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert "note: another process is fetching dataset=mnist; waiting for it" in capsys.readouterr().err
    assert order == ["first", "second"]


@pytest.mark.data
def test_real_mnist_has_the_known_mean_and_deviation(tmp_path):
    root = os.environ.get("BNEXP_DATA")
    if not root:
        pytest.skip("$BNEXP_DATA is not set")
    found = find_official(Path(root), ["mnist"])
    if len(found) < 4:
        pytest.skip("the four MNIST files are not below $BNEXP_DATA")
    for match in found:
        copy_in(match, tmp_path)
    source = load(tmp_path)
    pixels = source.train.images / 255
    assert source.train.images.shape == (60000, 1, 28, 28)
    assert (round(pixels.mean(), 4), round(pixels.std(), 4)) == (0.1307, 0.3081)


def test_a_download_has_a_time_limit_which_is_put_back(tmp_path, fake_mnist, monkeypatch):
    before, during = socket.getdefaulttimeout(), []
    monkeypatch.setattr(torchvision_sets, "_torchvision_parts", lambda *_: during.append(socket.getdefaulttimeout()))
    torchvision_sets._download(fake_mnist.official, tmp_path)
    assert during == [torchvision_sets._SILENCE_SECONDS]
    assert socket.getdefaulttimeout() == before
