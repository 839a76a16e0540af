"""Changes of pictures that leave their class alone: what a net that has seen one kind of picture meets later.

Pure functions of bytes. Every random number comes from the generator that is handed in; strengths are arguments.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

import numpy as np


def recolour(x_NCHW: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each image in one random colour: full saturation, full value, every hue equally likely; white paper stays white.

    What a pixel lacks to white in a channel is multiplied by what the colour lacks there, so black becomes the colour itself and
    grey a paler shade of it.

    Shape: ``[N, 3, H, W]`` uint8 in and out.

    Source: the blog post's coloured cats.
    """
    lacks_N3 = np.rint(255 * (1 - _rgb(generator.random(len(x_NCHW))))).astype(np.uint16)
    dark = (255 - x_NCHW).astype(np.uint16)  # whole numbers, so that the bytes are the same on every machine
    dark *= lacks_N3[:, :, None, None]
    return 255 - ((dark + 127) // 255).astype(np.uint8)


def brighten(x_NCHW: np.ndarray, amount: float) -> np.ndarray:
    """Every channel plus ``amount`` (in units of 0..1), cut off at white.

    Shape: ``[N, C, H, W]`` uint8 in and out.

    Source: Hendrycks & Dietterich 2019, brightness (0.1, 0.2, 0.3, 0.4, 0.5 at severities 1 to 5).
    Deviation: they add to the value of HSV, which is the same on grey images.
    """
    return _to_bytes(_to_unit(x_NCHW) + amount)


def flatten(x_NCHW: np.ndarray, factor: float) -> np.ndarray:
    """Each image pulled towards its own mean colour: differences from it are multiplied by ``factor``.

    Shape: ``[N, C, H, W]`` uint8 in and out.

    Source: Hendrycks & Dietterich 2019, contrast (0.4, 0.3, 0.2, 0.1, 0.05 at severities 1 to 5).
    """
    u = _to_unit(x_NCHW)
    mean = u.mean(axis=(2, 3), keepdims=True)
    return _to_bytes((u - mean) * factor + mean)


def invert(x_NCHW: np.ndarray) -> np.ndarray:
    """The negative: black for white.

    Shape: ``[N, C, H, W]`` uint8 in and out.
    """
    return 255 - x_NCHW


def add_noise(x_NCHW: np.ndarray, sd: float, generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise of deviation ``sd`` (in units of 0..1) on every pixel and channel by itself, cut off at black and white.

    Shape: ``[N, C, H, W]`` uint8 in and out.

    Source: Hendrycks & Dietterich 2019, Gaussian noise (0.08, 0.12, 0.18, 0.26, 0.38 at severities 1 to 5).
    """
    return _to_bytes(_to_unit(x_NCHW) + sd * generator.standard_normal(x_NCHW.shape, dtype=np.float32))


def _rgb(hue_N: np.ndarray) -> np.ndarray:
    """Red, green and blue of hues in [0, 1) at full saturation and value: ``[N]`` to ``[N, 3]`` in [0, 1]."""
    return np.clip(np.abs((6 * hue_N[:, None] + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


def _to_unit(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float32) / 255


def _to_bytes(u: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(u, 0, 1)).astype(np.uint8)
