"""What had to hold before runs speak of a claim, seed by seed, so that another draw of seeds can be asked as well."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bnexp.stats.redraws import as_far_as_new, redrawn_seeds

#: Seeds for each that may fail a gate that most have to keep (docs/claims.md, O0: 7 of 8).
SEEDS_A_FAILURE = 8


@dataclass(frozen=True)
class Gate:
    """A number of every seed and where it has to be; true where it is.

    Attributes:
        values: one a seed.
        low, high: both ends belong to it.
        of: what has to be between them: the ``mean`` over seeds, the ``median``, or the number of ``most`` seeds, 7 of 8.

    Raises:
        ValueError: no values.

    Example:
        >>> bool(Gate.above(0.0, [1.0] * 7 + [-1.0], "most")), bool(Gate.above(0.0, [1.0] * 6 + [-1.0] * 2, "most"))
        (True, False)
    """

    values: tuple[float, ...]
    low: float = -math.inf
    high: float = math.inf
    of: Literal["mean", "median", "most"] = "mean"

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a gate needs a number of at least one seed")

    @classmethod
    def above(cls, low: float, values: ArrayLike, of: Literal["mean", "median", "most"] = "mean") -> Gate:
        """At least ``low``."""
        return cls(tuple(np.asarray(values, float).tolist()), low=low, of=of)

    @classmethod
    def below(cls, high: float, values: ArrayLike, of: Literal["mean", "median", "most"] = "mean") -> Gate:
        """At most ``high``."""
        return cls(tuple(np.asarray(values, float).tolist()), high=high, of=of)

    @classmethod
    def most(cls, held: ArrayLike) -> Gate:
        """Whether each seed keeps it; 7 of 8 have to."""
        return cls.above(1.0, held, "most")

    def __bool__(self) -> bool:
        return bool(self._held(np.asarray(self.values)[None])[0])

    def redrawn(self, rng: np.random.Generator) -> np.ndarray:
        """Whether it holds in each re-draw of the seeds. Shape ``[R]``."""
        values_S = np.asarray(self.values)
        return self._held(values_S[redrawn_seeds(len(values_S), rng)])

    def _held(self, values_RS: np.ndarray) -> np.ndarray:
        if self.of == "most":
            inside_RS = (self.low <= values_RS) & (values_RS <= self.high)
            return np.asarray((~inside_RS).sum(-1) <= values_RS.shape[-1] // SEEDS_A_FAILURE)
        middle = np.mean if self.of == "mean" else np.median
        found, num_seeds = float(middle(self.values)), values_RS.shape[-1]
        middle_R = middle(values_RS, axis=-1)
        if num_seeds > 1:
            middle_R = as_far_as_new(middle_R, found, num_seeds)
        return np.asarray((self.low <= middle_R) & (middle_R <= self.high))
