"""A user's own images in folders: PATH/train/CLASS/*.png and PATH/test/CLASS/*.png.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from bnexp.config.checks import whole
from bnexp.data.part import Part
from bnexp.data.source import Source, register
from bnexp.data.user_path import find_user_path
from bnexp.errors import UserError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")

_LAYOUT = "PATH/train/CLASS/*.png and PATH/test/CLASS/*.png"


def fingerprint(data_dir: Path, *, path: str | None, size: int | None, grayscale: bool) -> str:  # noqa: ARG001 - as load
    """Hash of the names and sizes of all image files; their contents are not read."""
    root = find_user_path("image_folder", data_dir, path)
    digest = hashlib.blake2b(digest_size=16)
    for part in ("train", "test"):
        for files in _classes(root / part).values():
            for file in files:
                digest.update(f"{file.relative_to(root).as_posix()}\0{file.stat().st_size}\0".encode())
    return digest.hexdigest()


@register("image_folder", fingerprint=fingerprint)
def load(data_dir: Path, *, path: str | None, size: int | None, grayscale: bool) -> Source:
    """The images below ``path`` (looked for in the working folder, then in ``data_dir``), classes sorted by name.

    ``size`` resizes to size x size pixels (Pillow's bilinear filter, which averages when it shrinks, whatever the
    aspect ratio); null takes the images as they are, all of one size. ``grayscale`` gives one channel instead of
    three.

    Shape: images ``[N, C, H, W]``.

    Raises:
        UserError: a missing folder or class, images of several sizes, a file that is no 8-bit image.
    """
    root = find_user_path("image_folder", data_dir, path)
    if size is not None:
        whole("dataset.size", size, least=1, example=32)
    train_files, test_files = _classes(root / "train"), _classes(root / "test")
    if list(train_files) != list(test_files):
        raise UserError(
            "the folders train and test must hold the same classes",
            got=f"only in one of them: {', '.join(sorted(train_files.keys() ^ test_files.keys()))}",
            todo=_LAYOUT,
        )
    shape = _shape(next(iter(train_files.values()))[0], size, grayscale)
    train, test = _read_part(train_files, shape, size, grayscale), _read_part(test_files, shape, size, grayscale)
    return Source(train, test, len(train_files))


def _classes(folder: Path) -> dict[str, list[Path]]:
    """Class name to its image files, both sorted, so that the order does not depend on the file system."""
    if not folder.is_dir():
        raise UserError(f"dataset=image_folder needs the folder {folder}", todo=_LAYOUT)
    classes = {entry.name: _image_files(entry) for entry in sorted(folder.iterdir()) if entry.is_dir()}
    if not classes or not all(classes.values()):
        empty = [name for name, files in classes.items() if not files]
        raise UserError(
            f"every class needs a folder with images ({', '.join(SUFFIXES)}) in {folder}",
            got=f"no images in: {', '.join(empty)}" if empty else "no class folders",
            todo=_LAYOUT,
        )
    return classes


def _image_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _read_part(classes: dict[str, list[Path]], shape: tuple[int, ...], size: int | None, grayscale: bool) -> Part:
    files = [(file, label) for label, files in enumerate(classes.values()) for file in files]
    images_NCHW = np.empty((len(files), *shape), np.uint8)
    for index, (file, _) in enumerate(files):
        pixels_CHW = _read_image(file, size, grayscale)
        if pixels_CHW.shape != shape:
            raise UserError(
                "images must all have one size (height x width)",
                got=f"{shape[1]}x{shape[2]}, but {pixels_CHW.shape[1]}x{pixels_CHW.shape[2]} in {file}",
                todo=f"dataset.size={min(shape[1:])}   (resizes every image)",
            )
        images_NCHW[index] = pixels_CHW
    return Part(images_NCHW, np.array([label for _, label in files], np.int64))


def _shape(file: Path, size: int | None, grayscale: bool) -> tuple[int, ...]:
    return _read_image(file, size, grayscale).shape


def _read_image(file: Path, size: int | None, grayscale: bool) -> np.ndarray:
    """``[C, H, W]`` uint8."""
    try:
        with Image.open(file) as image:
            if image.mode.startswith(("I", "F")):
                raise UserError(
                    f"images must have 8 bits a channel; mode {image.mode} has more",
                    got=file,
                    todo="convert it to 8 bits",
                )
            image = image.convert("L" if grayscale else "RGB")
            if size is not None:
                image = image.resize((size, size), Image.Resampling.BILINEAR)
            pixels = np.asarray(image)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise UserError(f"an image cannot be read: {error}", got=file, todo="delete or mend this file") from error
    return pixels[None] if grayscale else pixels.transpose(2, 0, 1)
