"""A user's own images in folders."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bnexp.data.image_folder import fingerprint, load
from bnexp.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Two classes, three training images and one test image each, 8 pixels high and 6 wide, in colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 1)):
        for name in ("cat", "ant"):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "pictures"


def read(root, size=None, grayscale=False):
    return load(root.parent, path=str(root), size=size, grayscale=grayscale)


def refusal(root, **options):
    with pytest.raises(UserError) as error:
        read(root, **options)
    return error.value


def test_classes_are_numbered_by_name_and_pixels_are_those_of_the_files(root):
    source = read(root)
    assert source.train.images.shape == (6, 3, 8, 6)
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    expected = np.asarray(Image.open(root / "train" / "cat" / "2.png")).transpose(2, 0, 1)
    assert np.array_equal(source.train.images[5], expected)


def test_grayscale_and_size_give_one_channel_of_that_size(root):
    source = read(root, size=4, grayscale=True)
    assert source.train.images.shape == (6, 1, 4, 4)
    assert source.test.images.shape == (2, 1, 4, 4)


def test_images_of_several_sizes_need_the_size_option(root):
    Image.new("RGB", (6, 9)).save(root / "test" / "cat" / "0.png")
    error = refusal(root)
    assert error.what == "images must all have one size (height x width)"
    assert error.got == f"8x6, but 9x6 in {root / 'test' / 'cat' / '0.png'}"
    assert error.todo.startswith("dataset.size=6")
    assert read(root, size=6).test.images.shape == (2, 3, 6, 6)


def test_train_and_test_must_have_the_same_classes(root):
    (root / "test" / "cat").rename(root / "test" / "dog")
    assert refusal(root).got == "only in one of them: cat, dog"


def test_a_class_without_images_is_named(root):
    (root / "train" / "bee").mkdir()
    assert refusal(root).got == "no images in: bee"


def test_a_missing_part_is_named(root):
    (root / "test").rename(root / "tests")
    assert refusal(root).what == f"dataset=image_folder needs the folder {root / 'test'}"


def test_a_broken_image_is_named(root):
    broken = root / "train" / "ant" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    assert refusal(root).got == broken


def test_sixteen_bit_images_are_refused_rather_than_clipped(root):
    deep = root / "train" / "ant" / "1.png"
    Image.fromarray(np.full((8, 6), 40000, np.uint16)).save(deep)
    assert "8 bits" in refusal(root).what


def test_fingerprint_follows_names_and_sizes(root):
    def current():
        return fingerprint(root.parent, path=str(root), size=None, grayscale=False)

    first = current()
    assert current() == first
    (root / "train" / "ant" / "0.png").rename(root / "train" / "ant" / "9.png")
    renamed = current()
    assert renamed != first
    Image.new("RGB", (60, 90)).save(root / "train" / "ant" / "9.png")
    assert current() != renamed
