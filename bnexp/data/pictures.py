"""Picture files of any common kind as bytes of one shape, read by Pillow; what is not plain is counted and told.

Legend: N pictures, C channels, H W space.
"""

from __future__ import annotations

import shlex
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from bnexp.data.forms import reading
from bnexp.data.user_files import kind_of, memory_bytes
from bnexp.errors import UserError

_DEEP = ("I", "F")  # what modes of more than 8 bits a channel begin with
_ORIENTATION = 0x0112


class PictureReader:
    """Files as ``[N, C, H, W]`` bytes, in the order they are given in.

    A picture is turned as its EXIF says; transparent pixels show the background; palettes, CMYK and so on become grey or colour; of
    several frames the first is taken. Pictures of more than 8 bits a channel are brought to 8 by one factor for the whole data set
    (:func:`bnexp.data.forms.reading`). ``size`` resizes to size x size by Pillow's bilinear filter, which averages when it shrinks,
    whatever the aspect ratio.

    Args:
        files: training pictures and test pictures, so that both are read alike.
        size: pixels of a side, or None for pictures that all have one size.
        grayscale: one channel instead of three.
        background: colour behind transparent pixels.
    """

    def __init__(self, files: Sequence[Path], *, size: int | None, grayscale: bool, background: str) -> None:
        self._files, self._size, self._grayscale, self._background = files, size, grayscale, background
        self._modes: Counter[str] = Counter()
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._done: Counter[str] = Counter()
        self._deep: dict[int, np.ndarray] = {}
        self._depth = ""
        self._range = 0, 255

    def read(self) -> np.ndarray:
        """All pictures.

        Raises:
            UserError: files that cannot be read, pictures of several sizes without ``size``, more than memory holds.
        """
        images_NCHW = np.empty(0, np.uint8)
        if self._size is not None:
            images_NCHW = self._room((self._size, self._size, 1 if self._grayscale else 3))
        broken: list[tuple[Path, str]] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for index, file in enumerate(self._files):
                try:
                    pixels_HWC = self._read(index, file)
                except Exception as error:  # whatever Pillow's readers make of a damaged or hostile file
                    broken.append((file, str(error) or type(error).__name__))
                    continue
                if not images_NCHW.size:
                    images_NCHW = self._room(pixels_HWC.shape)
                if len(self._sizes) > 1 and self._size is None:
                    continue  # no picture fits any more, but the message tells all sizes
                images_NCHW[index] = pixels_HWC.transpose(2, 0, 1)
        if broken:
            raise self._unreadable(broken)
        if len(self._sizes) > 1 and self._size is None:
            raise self._several_sizes()
        self._fill_in_deep(images_NCHW)
        self._range = int(images_NCHW.min()), int(images_NCHW.max())
        if self._done["blank"] and self._done["blank"] == self._done["transparent"]:
            other = "black" if self._background == "white" else "white"
            raise UserError(
                f"what the {self._done['blank']} transparent pictures show vanishes on a {self._background} background",
                got=f"dataset.background={self._background}",
                todo=f"dataset.background={other}",
            )
        return images_NCHW

    def _room(self, shape_HWC: tuple[int, ...]) -> np.ndarray:
        height, width, channels = shape_HWC
        total = len(self._files) * channels * height * width
        if total > memory_bytes() // 3:
            raise UserError(
                f"{len(self._files)} pictures of {height}x{width} take {total / 1e9:.0f} GB, which this machine has not",
                got=f"dataset.size={self._size if self._size else 'null'}",
                todo=f"dataset.size={min(64, self._size // 2 or 1) if self._size else 64}",
            )
        return np.empty((len(self._files), channels, height, width), np.uint8)

    def _read(self, index: int, file: Path) -> np.ndarray:
        """``[H, W, C]`` bytes of one file; of a deep picture zeros, until all are read."""
        if not file.is_file():
            raise OSError("a link that leads nowhere" if file.is_symlink() else "not a regular file")
        with Image.open(file) as opened:
            self._modes[opened.mode] += 1
            if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":  # what phones write: a preview follows
                self._done["frames"] += 1
            image: Image.Image = opened
            image.load()
            if image.getexif().get(_ORIENTATION, 1) != 1:
                self._done["turned"] += 1
                image = ImageOps.exif_transpose(image)
            self._sizes[image.height, image.width] += 1
            if image.mode.startswith(_DEEP):
                deep = self._resized(image.convert("F"))
                self._deep[index] = np.asarray(deep)
                return np.zeros((deep.height, deep.width, 1 if self._grayscale else 3), np.uint8)
            image = self._resized(self._opaque(image).convert("L" if self._grayscale else "RGB"))
            pixels = np.asarray(image)
        return pixels[..., None] if self._grayscale else pixels

    def _opaque(self, image: Image.Image) -> Image.Image:
        """The picture laid on the background, if any pixel is transparent."""
        if "A" not in image.getbands() and "a" not in image.getbands() and "transparency" not in image.info:
            return image
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] == 255:
            return image
        laid = Image.alpha_composite(Image.new("RGBA", image.size, self._background), image)
        self._done["transparent"] += 1
        self._done["blank"] += all(low == high for low, high in (laid.getchannel(band).getextrema() for band in "RGB"))
        return laid

    def _resized(self, image: Image.Image) -> Image.Image:
        if self._size is None or image.size == (self._size, self._size):
            return image
        return image.resize((self._size, self._size), Image.Resampling.BILINEAR)

    def _fill_in_deep(self, images_NCHW: np.ndarray) -> None:
        """Bring all pictures of more than 8 bits to 8 by one factor, so that they stay comparable."""
        if not self._deep:
            return
        low = min(float(pixels.min()) for pixels in self._deep.values())
        high = max(float(pixels.max()) for pixels in self._deep.values())
        whole = not any(mode.startswith("F") for mode in self._modes)
        self._depth, read = reading(low, high, whole=whole)
        if read is None:
            raise UserError(
                f"pictures of more than 8 bits a channel hold values from {low:g} to {high:g}, which could mean several things",
                got=self._files[min(self._deep)],
                todo="save them with 8 bits a channel (0..255)",
            )
        for index, pixels_HW in self._deep.items():
            images_NCHW[index] = np.rint(np.clip(read(pixels_HW.astype(np.float64)), 0, 255))

    def notes(self) -> list[str]:
        """Sentences about what was converted."""
        notes, done = [], self._done
        if done["turned"]:
            notes.append(f"{done['turned']} pictures turned as their EXIF says")
        if done["transparent"]:
            notes.append(f"{done['transparent']} pictures with transparency (alpha) laid on {self._background}")
        if done["frames"]:
            notes.append(f"{done['frames']} files hold several frames or pages: the first of each is read")
        if self._deep:
            notes.append(
                f"{len(self._deep)} pictures of more than 8 bits a channel, read as {self._depth}, brought to 8 bits"
            )
        if self._size is not None and set(self._sizes) != {(self._size, self._size)}:
            oblong = sum(count for (height, width), count in self._sizes.items() if height != width)
            words = f", {oblong} of them not square before" if oblong else ""
            notes.append(f"pictures of {self._sizes_in_words()} resized to {self._size}x{self._size}{words}")
        if self._range[1] - self._range[0] < 32:
            notes.append(
                f"all pixels of all pictures are between {self._range[0]} and {self._range[1]} of 255: little contrast"
            )
        return notes

    def facts(self) -> dict[str, Any]:
        """Modes and sizes (height x width) of the files, each with how many have it; of many sizes the most frequent."""
        sizes = {f"{height}x{width}": count for (height, width), count in self._sizes.most_common(20)}
        return {"modes": dict(self._modes.most_common()), "sizes": sizes}

    def _sizes_in_words(self) -> str:
        smallest, largest = (pick(self._sizes, key=lambda size: size[0] * size[1]) for pick in (min, max))
        words = f"{smallest[0]}x{smallest[1]}"
        return words if len(self._sizes) == 1 else f"{len(self._sizes)} sizes from {words} to {largest[0]}x{largest[1]}"

    def _several_sizes(self) -> UserError:
        return UserError(
            "images must all have one size (height x width), unless they are resized",
            got=self._sizes_in_words(),
            todo=f"dataset.size={min(64, *(min(size) for size in self._sizes))}   (resizes every image)",
        )

    def _unreadable(self, broken: Sequence[tuple[Path, str]]) -> UserError:
        (file, why), *_ = broken
        try:
            kind = kind_of(file) if file.is_file() else ""
        except OSError:
            kind = ""
        if kind and kind not in ("a single picture", "a file of another kind"):
            why = f"it is {kind}"
        names = " ".join(shlex.quote(str(file)) for file, _ in broken[:50])
        return UserError(
            f"{len(broken)} of {len(self._files)} images cannot be read; the first: {why.splitlines()[0][:200]}",
            got=file,
            todo=f"rm {names}   (or mend them)",
        )
