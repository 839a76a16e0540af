"""What another run of the whole experiment, with seeds of its own, would say: the re-draws behind a verdict's stability.

Two things make a new experiment differ from the one at hand: its own seeds, and that the one at hand has already missed
the truth by as much. So a new mean lies sqrt(2) standard errors from the one found, not one.

Source: Cumming & Maillardet 2006 (Confidence intervals and replication: where will the next mean fall?, Psychological Methods 11).

Legend: R re-draws, S seeds.
"""

from __future__ import annotations

import math

import numpy as np

#: Re-draws behind a stability.
REDRAWS = 500


def redrawn_seeds(num_seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Places of seeds drawn with replacement, ``[R, S]``."""
    return rng.integers(num_seeds, size=(REDRAWS, num_seeds))


def as_far_as_new(redrawn_R: np.ndarray, found: float, num_seeds: int) -> np.ndarray:
    """Means over re-drawn seeds, each as far from the one found as a new experiment's.

    Drawing with replacement varies by (S-1)/S of what new seeds would.
    """
    return found + math.sqrt(2 * num_seeds / (num_seeds - 1)) * (redrawn_R - found)
