"""Digits in ink on white paper, black or coloured: the blog post's black and coloured cats.

Legend: N examples, H W space.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bnexp.config.checks import choice, real
from bnexp.data.shifts import recolour
from bnexp.data.source import SOURCES, Part, Source, register
from bnexp.rng import numpy_stream

DIGITS = ("mnist_5k", "mnist")
INKS = ("black", "colour")


@register("coloured_digits")
def load(data_dir: Path, *, digits: str, ink: str, lightest: float) -> Source:
    """The digits of another data set as ink on white paper, each in its own shade of black or in a colour of its own.

    Black ink is grey at a level drawn for each image from 0 (black) to ``lightest``, the same in all three channels. Coloured ink
    is that with a random hue (:func:`bnexp.data.shifts.recolour`). Shades and hues are a property of the data, not of a run: they
    come from streams of seed 0.

    Args:
        data_dir: where the files of ``digits`` are.
        digits: the data set that is inked, a key of ``DIGITS``.
        ink: a key of ``INKS``.
        lightest: the palest shade, 0 is black and 1 would be the paper's white.

    Shape: images ``[N, 3, 28, 28]``.

    Raises:
        UserError: an option out of its range, or what loading ``digits`` raises.

    Source: the blog post ("trained on the images of black cats only"); nobody gives the cats a formula.
    """
    choice("dataset.digits", digits, DIGITS)
    choice("dataset.ink", ink, INKS)
    real("dataset.lightest", lightest, least=0, below=1, example=0.4)
    source = SOURCES[digits].load(data_dir)
    train, test = (_inked(getattr(source, part), ink, lightest, part) for part in ("train", "test"))
    return Source(train, test, source.num_classes)


def _inked(part: Part, ink: str, lightest: float, name: str) -> Part:
    """The part's strokes (bright on black) as dark ink on white, in three channels."""
    level_N = numpy_stream(0, f"coloured_digits/{name}/shade").random(len(part)) * lightest
    strength_N = np.rint(255 * (1 - level_N)).astype(np.uint16)
    dark_N1HW = (part.images.astype(np.uint16) * strength_N[:, None, None, None] + 127) // 255
    images_N3HW = np.repeat(255 - dark_N1HW.astype(np.uint8), 3, axis=1)
    if ink == "colour":
        images_N3HW = recolour(images_N3HW, numpy_stream(0, f"coloured_digits/{name}/hue"))
    return Part(images_N3HW, part.labels)
