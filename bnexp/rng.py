"""Named random streams, so that drawing more of one thing never moves another.

Every arm of a comparison run at one seed shares the stream ``init/<layer>`` of the layers it shares and the stream ``order``;
that pairing is what makes per-seed differences small (common random numbers). No global generator is read or moved.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

STREAMS = ("init", "order", "augment", "noise", "probe", "split")


def stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed for the stream ``name`` of run seed ``seed``.

    The name is hashed, so streams stay the same when others are added, and differ between neighbouring run seeds.

    Example:
        >>> stream_seed(0, "order") == stream_seed(0, "order"), stream_seed(0, "order") == stream_seed(1, "order")
        (True, False)
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def numpy_stream(seed: int, name: str) -> np.random.Generator:
    """The stream ``name`` of run seed ``seed`` as a numpy generator."""
    return np.random.default_rng(stream_seed(seed, name))


def torch_stream(seed: int, name: str, device: str = "cpu") -> torch.Generator:
    """The stream ``name`` of run seed ``seed`` as a torch generator on ``device``."""
    import torch  # here, so that planning and judging never load it

    return torch.Generator(device).manual_seed(stream_seed(seed, name))
