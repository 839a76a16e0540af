"""From turns to numbers: milliseconds per step and seed, ratios within rounds, how cost grows.

Legend: R rounds, K sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median over rounds, and the 5th and 95th percentile."""

    median: float
    low: float
    high: float

    def words(self, digits: int = 2) -> str:
        """``1.23 [1.10, 1.40]``."""
        return f"{self.median:,.{digits}f} [{self.low:,.{digits}f}, {self.high:,.{digits}f}]"


def spread(values: Sequence[float] | np.ndarray) -> Spread:
    """Of one number a round."""
    low, middle, high = np.percentile(values, (5, 50, 95))
    return Spread(float(middle), float(low), float(high))


def milliseconds(row: Mapping[str, Any]) -> np.ndarray:
    """Wall-clock milliseconds per step and seed of every round ``[R]``: what all processes together trained counts."""
    return 1e3 * np.array(row["seconds"]) / (row["steps"] * row["seeds"] * row["processes"])


def ratio(above: Mapping[str, Any], below: Mapping[str, Any]) -> Spread:
    """How many times as long a step and seed takes, by rounds."""
    return spread(milliseconds(above) / milliseconds(below))


def distance_from_line(sizes: Sequence[int], seconds_KR: np.ndarray) -> Spread:
    """The largest distance of a cost from the round's straight line through all costs, as a fraction of the line's value.

    The line is ``start + price * size``, fitted to relative errors, so that small sizes count as much as large ones.
    """
    design = np.stack([np.ones(len(sizes)), np.asarray(sizes, float)], 1)
    worst = []
    for seconds_K in seconds_KR.T:
        line, *_ = np.linalg.lstsq(design / seconds_K[:, None], np.ones(len(sizes)), rcond=None)
        fitted_K = design @ line
        worst.append(np.abs(seconds_K / fitted_K - 1).max())
    return spread(worst)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column to the left, the others to the right."""
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])
