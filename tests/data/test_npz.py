"""A user's own .npz file: what is taken, and what a refusal says."""

from __future__ import annotations

import numpy as np
import pytest

from bnexp.data import data_fingerprint
from bnexp.data.npz import load
from bnexp.errors import UserError


@pytest.fixture
def saved(tmp_path, arrays):
    """Saves the arrays with some of them changed (None: left out) and returns the path."""

    def save(**changes):
        held = {key: value for key, value in {**arrays, **changes}.items() if value is not None}
        np.savez(tmp_path / "mine.npz", **held)
        return str(tmp_path / "mine.npz")

    return save


def refusal(tmp_path, path):
    with pytest.raises(UserError) as error:
        load(tmp_path, path=path)
    return error.value


@pytest.mark.parametrize("axis", [None, 3])
def test_grey_images_may_have_a_channel_axis_or_none(tmp_path, saved, arrays, axis):
    x = {key: arrays[key] if axis is None else arrays[key][..., None] for key in ("x_train", "x_test")}
    source = load(tmp_path, path=saved(**x))
    assert source.train.images.shape == (100, 1, 6, 5)
    assert np.array_equal(source.train.images[:, 0], arrays["x_train"])
    assert source.num_classes == 3


def test_colour_images_become_channels_first(tmp_path, saved):
    x = np.random.default_rng(0).integers(0, 256, (100, 6, 5, 3), dtype=np.uint8)
    source = load(tmp_path, path=saved(x_train=x, x_test=x[:30]))
    assert np.array_equal(source.train.images[7, 2], x[7, :, :, 2])


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64, np.uint64])
def test_labels_may_be_any_integers_in_one_column(tmp_path, saved, arrays, kind):
    y = arrays["y_train"].astype(kind)[:, None]
    assert load(tmp_path, path=saved(y_train=y)).train.labels.tolist() == arrays["y_train"].tolist()


def test_a_missing_array_is_named(tmp_path, saved):
    assert str(refusal(tmp_path, saved(y_test=None))) == (
        "mine.npz lacks y_test\n"
        "  got: it holds x_train, y_train, x_test\n"
        "  try: np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"
    )


@pytest.mark.parametrize(
    ("key", "change", "what", "got"),
    [
        ("x_train", lambda x: x / 255, "x_train must hold uint8 pixels 0..255", "float64 [100, 6, 5]"),
        ("x_test", lambda x: x.astype(int), "x_test must hold uint8 pixels 0..255", "int64 [30, 6, 5]"),
        ("x_train", lambda x: x[:, None], "x_train must be [N, H, W], [N, H, W, 1] or [N, H, W, 3]", "[100, 1, 6, 5]"),
        ("x_train", lambda x: x[:, 0], "x_train must be [N, H, W], [N, H, W, 1] or [N, H, W, 3]", "[100, 5]"),
        ("y_train", lambda y: y + 1, "y_train has 3 different labels, which must be 0..2", "labels from 1 to 3"),
        ("y_train", lambda y: y * 2, "y_train has 3 different labels, which must be 0..2", "labels from 0 to 4"),
        ("y_train", lambda y: y - 1, "y_train has 3 different labels, which must be 0..2", "labels from -1 to 1"),
        ("y_test", lambda y: y + 1, "y_test must hold classes of y_train, 0..2", "labels from 1 to 3"),
        ("y_test", lambda y: y.astype(float), "y_test must hold whole numbers, [N] or [N, 1]", "float64 [30]"),
        (
            "y_train",
            lambda y: np.eye(3, dtype=int)[y],
            "y_train must hold whole numbers, [N] or [N, 1]",
            "int64 [100, 3]",
        ),
        (
            "y_test",
            lambda y: y[:7],
            "x_test and y_test must have one label for each image",
            "x_test [30, 6, 5], y_test [7]",
        ),
        (
            "x_test",
            lambda x: x[:, :5],
            "x_train and x_test must hold images of one size and number of channels",
            "x_train [100, 6, 5], x_test [30, 5, 5]",
        ),
    ],
)
def test_an_array_of_the_wrong_kind_is_named_with_what_it_is(tmp_path, saved, arrays, key, change, what, got):
    error = refusal(tmp_path, saved(**{key: change(arrays[key])}))
    assert (error.what, str(error.got)) == (what, got)


def test_the_advice_for_labels_with_gaps_works(arrays):
    names, y_train = np.unique(arrays["y_train"] * 5 + 2, return_inverse=True)
    assert y_train.tolist() == arrays["y_train"].tolist()
    assert np.searchsorted(names, arrays["y_test"] * 5 + 2).tolist() == arrays["y_test"].tolist()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    (tmp_path / "mine.npz").write_bytes(content)
    assert "is not an .npz file of plain arrays" in refusal(tmp_path, str(tmp_path / "mine.npz")).what


def test_a_truncated_file_is_refused(tmp_path, saved):
    path = tmp_path / "mine.npz"
    saved()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is not an .npz file of plain arrays" in refusal(tmp_path, str(path)).what


def test_pickled_objects_are_never_loaded(tmp_path, saved):
    assert "is not an .npz file of plain arrays" in refusal(tmp_path, saved(y_test=np.array([{}], object))).what


def test_without_a_path_the_message_says_how_to_give_one(tmp_path):
    assert str(refusal(tmp_path, None)) == (
        "dataset=npz needs to know where your images are\n  try: dataset=npz dataset.path=PATH"
    )


def test_a_relative_path_is_looked_for_here_and_then_in_the_data_folder(tmp_path, saved, monkeypatch):
    saved()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert len(load(tmp_path, path="mine.npz").train) == 100
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


def test_built_in_data_has_no_fingerprint(tmp_path, config):
    assert data_fingerprint(config("mnist"), tmp_path) == ""


def test_options_are_checked_as_everywhere(tmp_path, config):
    with pytest.raises(UserError, match=r"dataset=npz has no option dataset\.pth"):
        data_fingerprint(config(options={"pth": "x"}), tmp_path)


def test_a_folder_where_a_file_should_be_is_told_as_such(tmp_path):
    (tmp_path / "folder").mkdir()
    assert str(refusal(tmp_path, "folder")) == (
        "dataset=npz needs a file, and dataset.path is a folder\n  got: dataset.path=folder\n"
        "  try: dataset=npz dataset.path=folder/FILE, or dataset=image_folder for a folder of images"
    )
