"""From bytes to network inputs: one multiplication and one addition, with constants fitted on the training part only.

Legend: N examples, B batch, C channels, H W space.
"""

from __future__ import annotations

from copy import copy

import numpy as np
import torch
from torch import Tensor

from bnexp.config.schema import DatasetConfig

#: Least standard deviation of a pixel in units of 0..1. Pixels at the border of MNIST are (almost) always 0, and
#: dividing by their own deviation would make a rare stroke there hundreds of units large; with this floor no input is
#: beyond +-10.
SD_FLOOR = 0.1

_TOP_BIT = 7  # set in just the bytes with byte / 255 > 0.5 (128..255); a shift is five times as fast as a comparison
_HALF = 127.5  # between those bytes and the others
_CHUNK = 1000


class Standardizer:
    """Bytes to floats as ``config.binarize`` and ``config.standardize`` say.

    First a pixel becomes a number u: ``byte / 255``, or with ``binarize`` 1 where that is above 0.5 and 0 elsewhere.
    Then

    - ``none``: the byte itself, 0..255
    - ``unit``: u
    - ``center``: u minus the mean of its channel
    - ``global``: that, divided by the standard deviation of the channel
    - ``per_pixel``: u minus the mean of its pixel, divided by the standard deviation of the pixel, at least
      ``SD_FLOOR``

    Means and standard deviations are over all training images as the network sees them without augmentation (padding
    included); deviations are biased (1/m).

    Shape: ``[B, C, H, W]`` uint8 to ``[B, C, H, W]`` float32.

    Args:
        train_images_NCHW: images of the training part; no other part may enter.
        config: says what to do.

    Attributes:
        shift: bits that a byte loses first.
        scale, offset: it is multiplied by the one, and the other is added. Shape: ``[1, 1, 1]``, ``[C, 1, 1]`` or ``[C, H, W]``.

    Source: LeCun et al. 1998 (Efficient BackProp), section 4.3, for the idea of centring and scaling inputs.
    Deviation: they scale each input variable; ``center`` and ``global`` treat all pixels of a channel alike, as is
    usual today.
    """

    def __init__(self, train_images_NCHW: np.ndarray, config: DatasetConfig) -> None:
        self.shift = _TOP_BIT if config.binarize else 0
        self.scale, self.offset = (torch.tensor(x, dtype=torch.float32) for x in _affine(train_images_NCHW, config))
        self.layout = torch.preserve_format

    def to(
        self, device: torch.device | str, memory_format: torch.memory_format = torch.preserve_format
    ) -> Standardizer:
        """This standardiser with its constants on ``device``, where batches will be; they come out in ``memory_format``."""
        if memory_format is self.layout and self.scale.device == torch.device(device):
            return self
        other = self.of(self.scale.to(device), self.offset.to(device))
        other.layout = memory_format
        return other

    def of(self, scale: Tensor, offset: Tensor) -> Standardizer:
        """This standardiser with other constants in place of its own."""
        other = copy(self)
        other.scale, other.offset = scale, offset
        return other

    def __call__(self, x_BCHW: Tensor) -> Tensor:
        """The batch as network inputs."""
        if self.shift:
            x_BCHW = x_BCHW >> self.shift
        return x_BCHW.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.offset)

    def of_floats(self, x_BCHW: Tensor) -> Tensor:
        """The same, to the bit, of bytes that have been made floats; for a compiled step, to which bytes come dear."""
        if self.shift:
            x_BCHW = (x_BCHW > _HALF).to(torch.float32)
        return (x_BCHW * self.scale + self.offset).contiguous(memory_format=self.layout)


def _affine(images_NCHW: np.ndarray, config: DatasetConfig) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of ``input = scale * value + offset``, value being the byte or the 0 or 1 of binarize."""
    unit = 1.0 if config.binarize else 1 / 255
    one, zero = np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    if config.standardize == "none":
        return one, zero
    if config.standardize == "unit":
        return one * unit, zero
    mean, sd = _moments(images_NCHW, config.binarize, per_pixel=config.standardize == "per_pixel")
    mean, sd = mean * unit, sd * unit
    if config.standardize == "center":
        return one * unit, -mean
    sd = np.maximum(sd, SD_FLOOR) if config.standardize == "per_pixel" else np.where(sd > 0, sd, 1.0)
    return unit / sd, -mean / sd


def _moments(images_NCHW: np.ndarray, binarize: bool, *, per_pixel: bool) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased (1/m) standard deviation of the values, per pixel ``[C, H, W]`` or per channel ``[C, 1, 1]``.

    The sums are of whole numbers and exact, so the result does not depend on the order of the examples.
    """
    sum_CHW = np.zeros(images_NCHW.shape[1:], np.int64)
    squares_CHW = np.zeros_like(sum_CHW)
    for start in range(0, len(images_NCHW), _CHUNK):
        chunk = images_NCHW[start : start + _CHUNK]
        values = (chunk >> _TOP_BIT if binarize else chunk).astype(np.uint32)
        sum_CHW += values.sum(0, dtype=np.int64)
        squares_CHW += (values * values).sum(0, dtype=np.int64)
    count = len(images_NCHW)
    if not per_pixel:
        count *= sum_CHW[0].size
        sum_CHW, squares_CHW = (s.sum((1, 2), keepdims=True) for s in (sum_CHW, squares_CHW))
    mean = sum_CHW / count
    return mean, np.sqrt(np.maximum(squares_CHW / count - mean**2, 0))
