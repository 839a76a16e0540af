"""One part of a data set (training, validation or test): images and labels, in memory, as bytes.

Legend: N examples, C channels, H W space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their labels.

    Shape: images ``[N, C, H, W]`` uint8 in 0..255, contiguous; labels ``[N]`` int64.

    Raises:
        ValueError: anything else; a source that builds such a part has a bug.
    """

    images: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or not images.flags.c_contiguous:
            raise ValueError(f"images must be contiguous uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"labels must be int64 [{len(images)}], not {labels.dtype} {list(labels.shape)}")

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices_M: np.ndarray) -> Part:
        """The examples at ``indices_M``, in that order, as a copy."""
        return Part(self.images[indices_M], self.labels[indices_M])

    def padded(self, pixels: int) -> Part:
        """The same examples with ``pixels`` zero pixels on each side."""
        if pixels == 0:
            return self
        return Part(np.pad(self.images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels))), self.labels)
