"""A user's own .npz file: every usual form of labels and pixels is read or refused in words, and advice that is typed works."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import pytest

from bnexp.data import data_fingerprint
from bnexp.data.npz import load
from bnexp.errors import UserError

CLASSES = 3


@pytest.fixture
def saved(tmp_path, arrays):
    """Saves the arrays with some of them changed (None: left out) and returns the path."""

    def save(**changes):
        held = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
        np.savez(tmp_path / "mine.npz", **held)
        return str(tmp_path / "mine.npz")

    return save


def refusal(folder, path):
    with pytest.raises(UserError) as error:
        load(folder, path=path)
    return error.value


def both(arrays, letter, change):
    return {f"{letter}_{part}": change(arrays[f"{letter}_{part}"]) for part in ("train", "test")}


@pytest.mark.parametrize(
    ("change", "classes"),
    [
        (lambda y: y.astype(np.float64), ["0", "1", "2"]),
        (lambda y: y.astype(">i4")[:, None], ["0", "1", "2"]),
        (lambda y: np.array(["owl", "cat", "dog"])[y], ["cat", "dog", "owl"]),
        (lambda y: np.array([b"2", b"10", b"7"])[y], ["2", "7", "10"]),
        (lambda y: np.eye(CLASSES, dtype=bool)[y], ["0", "1", "2"]),
        (lambda y: np.eye(CLASSES)[y], ["0", "1", "2"]),
        (lambda y: y * 10 - 3, ["-3", "7", "17"]),
        (lambda y: (y + 1).astype(np.uint64), ["1", "2", "3"]),
    ],
)
def test_labels_in_any_usual_form_are_classes_in_the_order_of_their_names(tmp_path, saved, arrays, change, classes):
    source = load(tmp_path, path=saved(**both(arrays, "y", change)))
    assert source.facts["classes"] == classes
    for part, y in ((source.train, arrays["y_train"]), (source.test, arrays["y_test"])):
        assert len(set(zip(part.labels.tolist(), y.tolist(), strict=True))) == CLASSES
    assert source.num_classes == CLASSES


def test_truth_values_are_two_classes(tmp_path, saved, arrays):
    assert load(tmp_path, path=saved(**both(arrays, "y", lambda y: y > 0))).num_classes == 2


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (lambda x: (x / 255).astype(np.float32), 0),
        (lambda x: x.astype(np.float64), 0),
        (lambda x: x.astype(np.int64), 0),
        (lambda x: x.astype(">f4") / 127.5 - 1, 0),
        (lambda x: x.astype(np.uint16) * 257, 0),
        (lambda x: x.astype(np.int32) * 16 + 8, 1),
    ],
)
def test_pixels_on_any_usual_scale_become_the_same_bytes_and_it_is_said(tmp_path, saved, arrays, change, tolerance):
    source = load(tmp_path, path=saved(**both(arrays, "x", change)))
    assert np.abs(source.train.images[:, 0].astype(int) - arrays["x_train"]).max() <= tolerance
    assert any("pixels (" in note and "read as" in note for note in source.facts["notes"])


def test_black_and_white_becomes_0_and_255(tmp_path, saved, arrays):
    source = load(tmp_path, path=saved(**both(arrays, "x", lambda x: x > 100)))
    assert np.array_equal(source.train.images[:, 0] == 255, arrays["x_train"] > 100)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("first", [False, True])
def test_channels_may_come_first_or_last(tmp_path, saved, channels, first):
    x = np.random.default_rng(0).integers(0, 256, (100, channels, 6, 5), dtype=np.uint8)
    given = x if first else x.transpose(0, 2, 3, 1)
    source = load(tmp_path, path=saved(x_train=given, x_test=given[:30]))
    assert np.array_equal(source.train.images, x)
    assert any("[N, C, H, W]" in note for note in source.facts["notes"]) == first


def test_plain_files_are_read_without_a_word(tmp_path, saved, arrays):
    source = load(tmp_path, path=saved(x_test=arrays["x_test"] - np.arange(30, dtype=np.uint8)[:, None, None]))
    assert source.facts["notes"] == []
    assert np.array_equal(source.train.images[:, 0], arrays["x_train"])


def test_a_class_that_is_never_tested_is_told(tmp_path, saved, arrays):
    kept = arrays["y_test"] != 2
    x_test = arrays["x_test"][kept] - np.arange(kept.sum(), dtype=np.uint8)[:, None, None]
    source = load(tmp_path, path=saved(x_test=x_test, y_test=arrays["y_test"][kept]))
    assert source.facts["notes"] == ["mine.npz: no test images of class 2"]


def test_flat_squares_are_grey_pictures(tmp_path, saved):
    x = np.random.default_rng(0).integers(0, 256, (100, 49), dtype=np.uint8)
    source = load(tmp_path, path=saved(x_train=x, x_test=x[:30]))
    assert np.array_equal(source.train.images, x.reshape(100, 1, 7, 7))


@pytest.mark.parametrize(
    "names",
    [
        "train_images train_labels test_images test_labels",
        "trainX trainY testX testY",
        "train_data train_targets test_data test_targets",
    ],
)
def test_arrays_under_other_usual_names_are_read_and_it_is_said(tmp_path, arrays, names):
    held = dict(zip(names.split(), (arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")), strict=True))
    np.savez(tmp_path / "mine.npz", **held, val_images=arrays["x_test"])
    source = load(tmp_path, path="mine.npz")
    assert np.array_equal(source.train.images[:, 0], arrays["x_train"])
    said = " ".join(source.facts["notes"])
    assert ", ".join(names.split()) in said
    assert "val_images left out" in said


FLAT_COLOUR = np.random.default_rng(0).integers(0, 256, (100, 3 * 16), dtype=np.uint8)
UNIT = np.random.default_rng(0).random((100, 4, 4))


def test_what_an_interpolation_left_below_zero_is_cut_off_and_black_stays_black(tmp_path, saved):
    """Stretched to its ends instead, every picture would turn grey."""
    error = refusal(tmp_path, saved(x_train=UNIT * 1.04 - 0.04, x_test=UNIT[:30] * 1.04 - 0.04))
    assert error.todo == "x_train, x_test = np.clip(x_train, 0, 1), np.clip(x_test, 0, 1)   (if 0 is black and 1 white)"


@pytest.mark.parametrize(
    "held",
    [
        {"x_train": FLAT_COLOUR, "x_test": FLAT_COLOUR[:30]},
        {"x_train": UNIT * 3.5 - 0.5, "x_test": UNIT[:30] * 3.5 - 0.5},
        {"x_train": UNIT * 16, "x_test": UNIT[:30] * 16},
        {"x_train": UNIT / 255, "x_test": UNIT[:30] / 255},
        {"x_train": UNIT * 1.04 - 0.04, "x_test": UNIT[:30] * 1.04 - 0.04},
        {"x_train": np.where(UNIT > 0.1, UNIT, np.nan), "x_test": UNIT[:30]},
        {"x_train": (UNIT * 255 - 128).astype(np.int8), "x_test": (UNIT[:30] * 255 - 128).astype(np.int8)},
        {"x_train": np.full((100, 5, 5, 4), 99, np.uint8), "x_test": np.full((30, 5, 5, 4), 9, np.uint8)},
        {"x_train": np.moveaxis(UNIT, 0, -1), "x_test": UNIT[:30]},
        {"x_train": UNIT.reshape(100, 16)[:, :13], "x_test": UNIT.reshape(100, 16)[:30, :13]},
        {"y_train": np.random.default_rng(0).random((100, 3)), "y_test": np.random.default_rng(0).random((30, 3))},
        {"y_train": np.array(["a", "b"], object)[np.arange(100) % 2], "y_test": np.array(["a", "b"])[np.arange(30) % 2]},
        {"y_train": np.where(np.arange(100) % 9, np.arange(100) % 3, np.nan)},
        {"y_train": np.eye(3)[np.arange(100) % 3].T, "y_test": np.eye(3)[np.arange(30) % 3].T},
        {"y_test": np.arange(30) % 5},
        {"y_test": (np.arange(30) % 3).astype(str)},
        {"x_test": None, "y_test": None},
        {"x_test": None, "y_test": None, "x_val": UNIT[:30, :1, :1], "y_val": np.arange(30) % 3, "x_train": UNIT[:, :1, :1]},
        {"x_train": None, "y_train": None, "x_test": None, "y_test": None, "data": UNIT, "target": np.arange(100) % 4},
        {"x_train": None, "y_train": None, "x_test": None, "y_test": None, "X": UNIT, "y": np.arange(100) % 4},
        {
            "x_train": None, "y_train": None, "x_test": None, "y_test": None,
            "arr_0": UNIT, "arr_1": np.arange(100) % 4, "arr_2": UNIT[:9] ** 2, "arr_3": np.arange(9) % 4,
        },
    ],
)  # fmt: skip
def test_what_would_be_a_guess_is_refused_and_the_advice_leads_to_a_file_that_is_read(tmp_path, arrays, held):
    held, refused = {key: value for key, value in {**arrays, **held}.items() if value is not None}, False
    for _ in range(4):
        np.savez(tmp_path / "mine.npz", **held)
        try:
            load(tmp_path, path="mine.npz")
        except UserError as error:
            refused = True
            exec(error.todo.split("   (")[0], {"np": np}, held)
        else:
            break
    else:
        pytest.fail("the advice does not lead anywhere")
    assert refused


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"y_train": np.zeros(100, int), "y_test": np.zeros(30, int)}, "y_train has only one class"),
        ({"y_train": np.arange(100) / 7}, "y_train must hold classes, and fractions are none"),
        ({"y_train": np.arange(100), "y_test": np.arange(30)}, "y_train has 100 different labels in 100 examples"),
        ({"y_test": np.arange(7)}, "x_test and y_test must have one label for each image"),
        ({"x_test": np.zeros((30, 5, 5), np.uint8)}, "x_train and x_test must hold images of one size"),
        ({"x_train": np.zeros((100, 6, 5))}, "x_train and x_test must hold pixels of one kind and scale"),
        ({"x_train": np.zeros((100, 6, 5), "U1")}, "x_train must hold numbers"),
        ({"x_test": np.zeros((0, 6, 5), np.uint8), "y_test": np.zeros(0, int)}, "there must be labels in both parts"),
        ({"train_x": np.zeros(3), "x_train": None, "images_train": np.zeros(3)}, "train_x and images_train could both"),
    ],
)
def test_what_no_line_can_mend_is_named_with_what_it_is(tmp_path, saved, change, what):
    error = refusal(tmp_path, saved(**change))
    assert error.what.startswith(what)


def test_pictures_in_both_parts_and_under_two_labels_are_said(tmp_path, saved, arrays):
    x = arrays["x_train"].copy()
    x[99] = x[0]
    notes = load(tmp_path, path=saved(x_train=x, x_test=x[10:40])).facts["notes"]
    assert notes[0].endswith("30 of 30 test pictures are also among the training pictures: test accuracy is flattered")
    assert notes[1].endswith("1 training pictures occur under two classes")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.npz", b"", "is empty"),
        ("a.npy", b"\x93NUMPY\x01\x00", "is a single NumPy array (.npy)"),
        ("a.mat", b"MATLAB 5.0 MAT-file, Platform", "is a MATLAB file"),
        ("a.pkl", b"\x80\x04\x95" + bytes(64), "is a Python pickle"),
        ("a.npz", b"<!DOCTYPE html><title>Sign in", "is a web page"),
        ("a.tar.gz", b"\x1f\x8b\x08", "is a tar archive"),
        ("train-images-idx3-ubyte.gz", b"\x1f\x8b\x08", "is packed with gzip"),
        ("a.npz", b"PK\3\4" + bytes(99), "is a zip archive that is cut short"),
        ("a.npz", b"version https://git-lfs.github.com/spec/v1\n", "is the place-holder that git-lfs keeps"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "is a single picture"),
        ("a.bin", b"\0\1\2\xff\xfe" * 9, "is a file of another kind"),
    ],
)
def test_a_file_of_another_kind_is_called_by_its_kind(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert words in refusal(tmp_path, name).what


def hostile(kind, good):
    """A file that is an archive and yet no .npz file of plain arrays."""
    content = bytearray(good)
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "flipped":
        content[len(content) // 3] ^= 255
    if kind == "encrypted":
        for start in (content.index(b"PK\1\2") + 8, 6):
            content[start] |= 1
    if kind in ("absurd", "overflowing"):
        shape = {"absurd": b"(10000000,)", "overflowing": b"(9**99999,)"}[kind]
        start = content.index(b"'shape': (100,)") + len(b"'shape': ")
        content[start : start + len(shape)] = shape
    return content


@pytest.mark.parametrize("kind", ["truncated", "flipped", "encrypted", "absurd", "overflowing"])
def test_damaged_and_hostile_archives_are_refused(tmp_path, saved, kind):
    path = tmp_path / "mine.npz"
    saved()
    path.write_bytes(hostile(kind, path.read_bytes()))
    assert any(word in refusal(tmp_path, str(path)).what for word in ("damaged", "cut short", "encrypted"))


def test_random_damage_is_never_a_traceback(tmp_path, saved):
    path = tmp_path / "mine.npz"
    saved()
    good, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(good)
        for place in rng.integers(0, len(good), 3):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            load(tmp_path, path=str(path))
        except UserError:
            continue


def test_an_array_that_no_memory_holds_is_refused_before_it_is_read(tmp_path, saved, monkeypatch):
    monkeypatch.setattr("bnexp.data.npz.memory_bytes", lambda: 4000)
    assert "in memory" in refusal(tmp_path, saved()).what


def test_nothing_in_the_file_is_executed(tmp_path, arrays):
    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "mark"),))

    np.savez(tmp_path / "mine.npz", **{**arrays, "y_test": np.array([Payload()], object)})
    assert "never loaded" in refusal(tmp_path, "mine.npz").what
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("kind", ["pipe", "circle", "nowhere", "long", "folder", "denied"])
def test_a_path_that_leads_to_no_file_is_a_message_at_once(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if kind == "pipe":
        os.mkfifo("pipe")
    elif kind == "circle":
        os.symlink("circle", "circle")
    elif kind == "folder":
        os.mkdir("folder")
    elif kind == "denied":
        (tmp_path / "denied").write_bytes(b"PK")
        monkeypatch.setattr("bnexp.data.npz.kind_of", lambda _: (_ for _ in ()).throw(PermissionError(13, "no")))
    what = refusal(tmp_path, "x" * 5000 if kind == "long" else kind).what
    words = {"pipe": "a pipe", "circle": "in a circle", "folder": "needs a file", "denied": "cannot be read"}
    assert words.get(kind, "does not exist") in what


def test_without_a_path_the_message_says_how_to_give_one(tmp_path):
    assert str(refusal(tmp_path, None)) == (
        "dataset=npz needs to know where your images are\n  try: dataset=npz dataset.path=PATH"
    )


def test_a_relative_path_is_looked_for_here_and_then_in_the_data_folder_and_a_tilde_is_home(
    tmp_path, saved, monkeypatch
):
    saved()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert len(load(tmp_path, path="mine.npz").train) == 100
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load(elsewhere, path="~/mine.npz").train) == 100
    error = refusal(elsewhere, "mine.npz")
    assert error.what == f"dataset.path does not exist, neither in {elsewhere} nor in {elsewhere}"
    assert error.got == "dataset.path=mine.npz"


def test_fingerprint_follows_the_contents_of_the_file(tmp_path, saved, arrays, config):
    def fingerprint():
        return data_fingerprint(config(options={"path": str(tmp_path / "mine.npz")}), tmp_path)

    saved()
    first = fingerprint()
    assert fingerprint() == first
    assert len(first) == 32
    saved(y_test=arrays["y_test"][::-1])
    assert fingerprint() != first


def test_built_in_data_has_no_fingerprint_and_options_are_checked_as_everywhere(tmp_path, config):
    assert data_fingerprint(config("mnist"), tmp_path) == ""
    with pytest.raises(UserError, match=r"dataset\.pth"):
        data_fingerprint(config(options={"pth": "x"}), tmp_path)


def test_a_zip_archive_of_pictures_is_told_from_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "pics.zip", "w") as archive:
        archive.writestr("train/a/1.png", b"")
    assert refusal(tmp_path, "pics.zip").todo.startswith("unzip")
