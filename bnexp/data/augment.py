"""Augmentation of whole batches of bytes; every random number comes from the generator that is handed in.

Legend: B batch, C channels, H W space, M mirrored images, Y X places of a crop.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bnexp.config.schema import DatasetConfig


def augment(x_BCHW: Tensor, config: DatasetConfig, generator: torch.Generator) -> Tensor:
    """The batch after the config's random crop and flip; with neither, the batch itself and no number drawn.

    Shape: ``[B, C, H, W]`` uint8 in and out.
    """
    if config.crop:
        x_BCHW = crop(x_BCHW, config.crop, generator)
    if config.flip:
        x_BCHW = flip(x_BCHW, generator)
    return x_BCHW


def flip(x_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2.

    Shape: ``[B, C, H, W]`` uint8 in and out.
    """
    mirrored_M = _draw(2, len(x_BCHW), generator).nonzero()[:, 0].to(x_BCHW.device)
    return x_BCHW.index_copy(0, mirrored_M, x_BCHW.index_select(0, mirrored_M).flip(3))


def crop(x_BCHW: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to ``shift`` pixels in either direction, zeros coming in; all shifts are equally likely.

    Shape: ``[B, C, H, W]`` uint8 in and out.

    Source: He et al. 2016 (CVPR), section 4.2: pad by 4 pixels on each side, then take a random crop of the original
    size.
    """
    batch, _, height, width = x_BCHW.shape
    padded = functional.pad(x_BCHW, (shift, shift, shift, shift))
    windows_BCYXHW = padded.unfold(2, height, 1).unfold(3, width, 1)
    rows_B, columns_B = (_draw(2 * shift + 1, batch, generator).to(x_BCHW.device) for _ in range(2))
    return windows_BCYXHW[torch.arange(batch, device=x_BCHW.device), :, rows_B, columns_B]


def _draw(high: int, count: int, generator: torch.Generator) -> Tensor:
    """``count`` whole numbers in 0..high-1, drawn where the generator is: one on the CPU serves every device alike."""
    return torch.randint(high, (count,), generator=generator, device=generator.device)
