"""A user's own images in folders, as they lie on people's disks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import unicodedata
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from bnexp.cli.data import main
from bnexp.data import data_fingerprint
from bnexp.data.image_folder import fingerprint, load
from bnexp.errors import UserError

PLAIN = {"size": None, "grayscale": False, "background": "white"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Two classes, three training images and one test image each, 8 pixels high and 6 wide, in colour."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 1)):
        for name in ("cat", "ant"):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "pictures"


def read(root, **options):
    return load(root.parent, path=str(root), **{**PLAIN, **options})


def refusal(root, **options):
    with pytest.raises(UserError) as error:
        read(root, **options)
    return error.value


def said(root, **options):
    return " | ".join(read(root, **options).facts["notes"])


def replace_with(root, image, suffix=".PNG", **options):
    """Every picture becomes this one."""
    for file in sorted(root.rglob("*.png")):
        file.unlink()
        image.save(file.with_suffix(suffix), **options)


def test_classes_are_numbered_by_name_and_pixels_are_those_of_the_files(root):
    source = read(root)
    assert source.train.images.shape == (6, 3, 8, 6)
    assert source.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    expected = np.asarray(Image.open(root / "train" / "cat" / "2.png")).transpose(2, 0, 1)
    assert np.array_equal(source.train.images[5], expected)
    facts = {key: source.facts[key] for key in ("classes", "modes", "sizes")}
    assert facts == {"classes": ["ant", "cat"], "modes": {"RGB": 8}, "sizes": {"8x6": 8}}


def test_classes_that_are_numbers_are_in_the_order_of_numbers(root):
    for part in ("train", "test"):
        (root / part / "ant").rename(root / part / "10")
        (root / part / "cat").rename(root / part / "2")
    assert read(root).facts["classes"] == ["2", "10"]


def test_grayscale_and_size_give_one_channel_of_that_size_and_resizing_is_said(root):
    source = read(root, size=4, grayscale=True)
    assert (source.train.images.shape, source.test.images.shape) == ((6, 1, 4, 4), (2, 1, 4, 4))
    assert "pictures of 8x6 resized to 4x4, 8 of them not square before" in source.facts["notes"]


def test_images_of_several_sizes_need_the_size_option(root):
    Image.new("RGB", (6, 9)).save(root / "test" / "cat" / "0.png")
    error = refusal(root)
    assert error.what == "images must all have one size (height x width), unless they are resized"
    assert error.got == "2 sizes from 8x6 to 9x6"
    assert error.todo.startswith("dataset.size=6")
    assert read(root, size=6).test.images.shape == (2, 3, 6, 6)


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "__MACOSX"])
def test_hidden_folders_and_files_are_left_out_and_counted(root, name):
    for part in ("train", "test"):
        (root / part / name).mkdir()
        (root / part / name / "0.png").write_bytes((root / part / "cat" / "0.png").read_bytes())
        for clutter in ("._0.png", ".DS_Store", "Thumbs.db", "labels.txt"):
            (root / part / "cat" / clutter).write_bytes(b"\0\5\26\7")
    source = read(root)
    assert (len(source.train), len(source.test), source.num_classes) == (6, 2, 2)
    assert "10 files left out: 8 hidden, 2 not pictures" in source.facts["notes"]


@pytest.mark.parametrize(("mode", "background"), [("RGBA", "white"), ("LA", "black"), ("P", "white")])
def test_ink_in_the_alpha_channel_is_seen(root, mode, background):
    ink = np.zeros((8, 6, 4), np.uint8)
    ink[2:5, 1:4, 3] = 255
    ink[..., :3] = 255 if background == "black" else 0
    image = Image.fromarray(ink)
    replace_with(root, image if mode == "RGBA" else image.convert(mode) if mode == "LA" else image.quantize(2))
    source = read(root, background=background)
    drawn = source.train.images[0, 0]
    assert (len(set(drawn[2:5, 1:4].ravel())), len(set(drawn.ravel()))) == (1, 2)
    assert f"8 pictures with transparency (alpha) laid on {background}" in source.facts["notes"]
    other = "white" if background == "black" else "black"
    assert refusal(root, background=other).todo == f"dataset.background={background}"


def test_an_opaque_alpha_channel_changes_nothing(root):
    before = read(root).train.images
    for file in root.rglob("*.png"):
        Image.open(file).convert("RGBA").save(file)
    assert np.array_equal(read(root).train.images, before)
    assert "alpha" not in said(root)


def test_pictures_are_turned_as_their_exif_says(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6) * 5)
    replace_with(root, upright.transpose(Image.Transpose.ROTATE_90), exif=exif)
    assert np.array_equal(read(root).train.images[0, 0], np.asarray(upright))
    assert "8 pictures turned as their EXIF says" in said(root)


@pytest.mark.parametrize(
    ("top", "kind"), [(65535, np.uint16), (4095, np.uint16), (255, np.uint16), (1.0, np.float32), (70000, np.int32)]
)
def test_deep_pictures_come_to_8_bits_by_one_factor_and_never_clipped(root, top, kind):
    ramp = (np.linspace(0, 1, 48).reshape(8, 6) * top).astype(kind)
    replace_with(root, Image.fromarray(ramp), ".tif")
    if top > 65535:
        assert refusal(root).what.startswith("pictures of more than 8 bits a channel hold values from 0 to 70000")
        return
    dark = root / "train" / "ant" / "0.tif"
    Image.fromarray((ramp / 2).astype(kind)).save(dark)
    source = read(root)
    assert np.abs(source.train.images[1, 2].astype(int) - np.rint(np.linspace(0, 255, 48)).reshape(8, 6)).max() <= 1
    assert source.train.images[0].max() in (127, 128)
    assert "brought to 8 bits" in said(root)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "I;16"])
def test_pictures_of_any_mode_look_as_their_viewer_shows_them(root, mode):
    grey = Image.fromarray(np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((4, 3), np.uint8)))
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    replace_with(root, image, ".tiff")
    assert np.abs(read(root).train.images[0].astype(int) - np.asarray(grey)).max() <= 1
    assert np.abs(read(root, grayscale=True).train.images[0, 0].astype(int) - np.asarray(grey)).max() <= 1


@pytest.mark.parametrize("suffix", ["gif", "webp", "tiff"])
def test_of_several_frames_the_first_is_read_and_it_is_said(root, suffix):
    frames = [Image.new("RGB", (6, 8), colour) for colour in ("red", "blue")]
    exact = {"lossless": True} if suffix == "webp" else {}
    replace_with(root, frames[0], f".{suffix}", save_all=True, append_images=frames[1:], **exact)
    assert read(root).train.images[0, :, 0, 0].tolist() == [255, 0, 0]
    assert "8 files hold several frames or pages: the first of each is read" in said(root)


@pytest.mark.parametrize("suffix", ["JPG", "jfif", "bmp", "none"])
def test_other_endings_upper_case_and_none_are_read(root, suffix):
    for file in root.rglob("*.png"):
        kind = {"bmp": "bmp", "pgm": "ppm"}.get(suffix, "jpeg")
        Image.open(file).convert("L").save(file.with_suffix("" if suffix == "none" else f".{suffix}"), kind)
        file.unlink()
    assert len(read(root).train) == 6


@pytest.mark.parametrize("suffix", [".heic", ".SVG"])
def test_pictures_in_a_format_that_is_not_read_are_refused_not_skipped(root, suffix):
    (root / "train" / "ant" / f"7{suffix}").write_bytes(b"whatever")
    error = refusal(root)
    assert f"are in a format that is not read ({suffix.lower()})" in error.what
    assert error.got == root / "train" / "ant" / f"7{suffix}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "1 of 8 images cannot be read"),
        (b"", "it is empty"),
        (b"<html>not found", "it is a web page"),
        (b"version https://git-lfs", "it is the place-holder that git-lfs keeps"),
    ],
)
def test_damaged_pictures_are_all_named_and_the_command_takes_them_away(root, content, words):
    broken = root / "train" / "ant" / "1.png"
    broken.write_bytes(broken.read_bytes()[:60] if content is None else content)
    error = refusal(root)
    assert words in error.what
    assert error.got == broken
    subprocess.run(shlex.split(error.todo.split("   (")[0]), check=True)
    assert len(read(root).train) == 5


def test_a_picture_that_would_fill_the_memory_is_refused(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    assert "decompression bomb" in refusal(root).what
    monkeypatch.undo()
    assert (refusal(root, size=10**7).got, refusal(root, size=10**7).todo) == ("dataset.size=10000000", "dataset.size=64")
    monkeypatch.setattr("bnexp.data.pictures.memory_bytes", lambda: 1000)
    assert refusal(root).todo == "dataset.size=64"


def test_links_in_circles_links_to_nothing_and_pipes_end_in_a_message(root):
    (root / "train" / "ant" / "loop").symlink_to(root / "train")
    error = refusal(root)
    assert error.what == "a link leads in a circle"
    subprocess.run(shlex.split(error.todo), check=True)
    (root / "train" / "ant" / "again").symlink_to(root / "train" / "ant", target_is_directory=True)
    assert refusal(root).what == "a link leads in a circle"
    (root / "train" / "ant" / "again").unlink()
    (root / "train" / "ant" / "gone.png").symlink_to("nowhere")
    assert "a link that leads nowhere" in refusal(root).what
    (root / "train" / "ant" / "gone.png").unlink()
    os.mkfifo(root / "train" / "ant" / "pipe.png")
    assert "not a regular file" in refusal(root).what


def test_pictures_in_deeper_folders_count_to_the_class(root):
    deep = root / "train" / "ant" / "more" / "still more"
    deep.mkdir(parents=True)
    (root / "train" / "ant" / "0.png").rename(deep / "0.png")
    assert read(root).train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert "1 pictures lie in folders inside their class's folder" in said(root)


def test_a_class_that_only_one_part_has_is_refused_or_said(root):
    (root / "test" / "cat").rename(root / "test" / "Cat")
    error = refusal(root)
    assert error.got == f"only in {root / 'test'}: Cat"
    subprocess.run(shlex.split(error.todo), check=True)
    read(root)
    (root / "test" / "cat" / "0.png").unlink()
    assert "no test images of class cat" in said(root)


def test_classes_that_differ_in_capitals_and_pictures_without_contrast_are_said(root):
    for part in ("train", "test"):
        (root / part / "ant").rename(root / part / "CAT")
    assert "classes CAT, cat differ in capital letters only" in said(root)
    replace_with(root, Image.new("L", (6, 8), 20))
    assert "all pixels of all pictures are between 20 and 20 of 255" in said(root)


def test_a_file_that_only_sounds_like_a_picture_is_left_out(root):
    (root / "train" / "ant" / "sound.wav").write_bytes(b"RIFF....WAVEfmt ")
    assert "1 files left out: 1 not pictures" in said(root)


def test_pictures_without_class_folders_are_told_as_such(root):
    for name in ("cat", "ant"):
        for file in (root / "train" / name).iterdir():
            file.rename(root / "train" / f"{name}.{file.name}")
        (root / "train" / name).rmdir()
    assert refusal(root).got == f"{root / 'train'} holds 6 files and no folders"


def test_a_class_without_images_is_named(root):
    (root / "train" / "bee").mkdir()
    assert refusal(root).got == "no images in: bee"


def test_one_class_is_none(root):
    for part in ("train", "test"):
        (root / part / "cat").rename(root / part / ".cat")
    assert "at least two classes" in refusal(root).what


def test_accents_are_the_same_whatever_system_wrote_them_and_other_bytes_are_no_traceback(root):
    for part, form in (("train", "NFC"), ("test", "NFD")):
        (root / part / "ant").rename(root / part / unicodedata.normalize(form, "fée"))
        os.rename(root / part / "cat", os.fsencode(root / part) + b"/\xff")
    source = read(root)
    assert source.facts["classes"] == ["fée", "\\udcff"]
    assert len(fingerprint(root.parent, path=str(root), **PLAIN)) == 32
    (root / "train" / unicodedata.normalize("NFD", "fée")).mkdir()
    assert refusal(root).what == "two folders have names that look the same"


def typed(path, words):
    with pytest.raises(UserError) as error:
        load(path, path=words, **PLAIN)
    return error.value.todo.split("   (")[0]


@pytest.mark.parametrize("deeper", ["train", "train/cat", "../pictures/test"])
def test_a_path_one_level_too_deep_or_too_high_is_told_with_the_right_one(root, tmp_path, deeper):
    right = typed(tmp_path, f"pictures/{deeper}")
    assert len(load(tmp_path, path=right.removeprefix("dataset.path="), **PLAIN).train) == 6
    (tmp_path / "above").mkdir()
    root.rename(tmp_path / "above" / "pictures")
    assert typed(tmp_path, "above") == "dataset.path=above/pictures"
    shutil.copytree(tmp_path / "above" / "pictures", tmp_path / "above" / "class first")
    assert typed(tmp_path, "above") == "PATH/train/CLASS/*.png and PATH/test/CLASS/*.png"


def test_other_names_of_the_parts_are_read_or_the_command_makes_them_so(root, tmp_path):
    (root / "train").rename(root / "Training")
    (root / "test").rename(root / "testing")
    assert len(read(root).train) == 6
    (root / "testing").rename(root / "val")
    subprocess.run(shlex.split(typed(tmp_path, "pictures")), check=True)
    assert "folders val beside train and test are not read" in said(root)


@pytest.mark.parametrize("whole", [True, False])
def test_class_folders_without_a_test_part_are_split_by_the_command(root, tmp_path, whole, capsys):
    (root / "test").rename(tmp_path / "elsewhere")
    if whole:
        (root / "train").rename(tmp_path / "flat")
    command = typed(tmp_path, "flat" if whole else "pictures")
    assert command == f"bnexp data split {'flat' if whole else 'pictures/train'}"
    assert main(shlex.split(command)[2:]) == 0
    path = capsys.readouterr().out.split("dataset.path=")[1].strip()
    source = load(tmp_path, path=path, **PLAIN)
    assert (np.bincount(source.train.labels).tolist(), np.bincount(source.test.labels).tolist()) == ([2, 2], [1, 1])
    with pytest.raises(UserError, match="there is something at the place"):
        main(shlex.split(command)[2:])
    for file in list(Path(path).rglob("*.*")):
        file.write_bytes(b"")  # the user's own pictures are not these
    assert all(file.stat().st_size for file in tmp_path.rglob("*.*") if file.is_file() and not file.is_relative_to(path))


def test_a_split_that_cannot_be_finished_leaves_nothing(root, monkeypatch):
    before = sorted(root.parent.rglob("*"))

    monkeypatch.setattr("shutil.copyfile", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(UserError, match="No space left"):
        main(["split", str(root / "train")])
    assert sorted(root.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content", "todo"),
    [
        ("pics.zip", b"PK\3\4", "download or copy it again"),
        ("pics.tgz", b"\x1f\x8b", "mkdir pics && tar xf pics.tgz -C pics"),
        ("pics.npz", None, "dataset=npz dataset.path=pics.npz"),
    ],
)
def test_a_file_in_the_place_of_the_folder_is_told_what_to_do_with_it(tmp_path, monkeypatch, name, content, todo):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "pics.npz", a=1) if content is None else (tmp_path / name).write_bytes(content)
    assert typed(tmp_path, name) == todo


def test_fingerprint_follows_names_and_contents(root):
    current = partial(fingerprint, root.parent, path=str(root), **PLAIN)
    first = current()
    assert current() == first
    (root / "train" / "ant" / "0.png").rename(root / "train" / "ant" / "9.png")
    renamed = current()
    assert renamed != first
    file = root / "train" / "ant" / "9.png"
    content, facts = bytearray(file.read_bytes()), file.stat()
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert current() != renamed


def test_a_plan_looks_at_the_files_of_a_data_set_once(root, config):
    known, options = {}, {"path": str(root), **PLAIN}
    first = data_fingerprint(config("image_folder", options=options), root.parent, known)
    (root / "train" / "ant" / "0.png").unlink()
    assert data_fingerprint(config("image_folder", options=options, flip=True), root.parent, known) == first
    assert data_fingerprint(config("image_folder", options=options), root.parent) != first
    other = {**options, "path": str(root.parent / "other")}
    root.rename(root.parent / "other")
    assert data_fingerprint(config("image_folder", options=other), root.parent, known) != first


def test_hashes_are_kept_and_only_changed_files_are_read_again(root, tmp_path, monkeypatch):
    monkeypatch.setattr("bnexp.data.cache._KEPT_FROM", 1)
    monkeypatch.setattr("bnexp.data.cache._UNSETTLED_NS", -(10**15))
    first = fingerprint(tmp_path, path=str(root), **PLAIN)
    reads, original = [], type(root).read_bytes
    monkeypatch.setattr(type(root), "read_bytes", lambda file: reads.append(file) or original(file))
    assert fingerprint(tmp_path, path=str(root), **PLAIN) == first
    assert reads == []
    file = root / "test" / "cat" / "0.png"
    Image.new("RGB", (6, 8)).save(file)
    assert fingerprint(tmp_path, path=str(root), **PLAIN) != first
    assert reads == [file]
    (kept,) = (tmp_path / "cache").glob("pictures-*.json")
    kept.write_text("[torn")
    assert len(fingerprint(tmp_path, path=str(root), **PLAIN)) == 32
