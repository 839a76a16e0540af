"""What a rule judges: numbers of two sides, paired by seed, the choice of a tuned value being part of what may come out otherwise.

Legend: C candidates (tuned values that were reported), S reported seeds, J tuning seeds, R re-draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

#: Whether an effect is ``arm - base`` or ``base / arm``.
Scale = Literal["difference", "ratio"]


@dataclass(frozen=True)
class Side:
    """One arm of a comparison.

    Attributes:
        values: the judged quantity of every reported run, ``[C, S]``.
        tuning: what each candidate scored on each tuning seed, ``[C, J]``, higher is better; None where nothing was tuned.

    Raises:
        ValueError: rows of different length, tuning scores of other candidates, or a value that is not finite.
    """

    values: tuple[tuple[float, ...], ...]
    tuning: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        if not self.values or len({len(row) for row in self.values}) != 1:
            raise ValueError(f"a side needs rows over the same seeds, got lengths {[len(row) for row in self.values]}")
        if not np.isfinite(self.values).all():
            raise ValueError("values must be finite; a run that diverged needs a number that says so")
        if self.tuning is not None:
            if len(self.tuning) != len(self.values) or len({len(row) for row in self.tuning}) != 1:
                raise ValueError("every candidate needs the same tuning seeds")
            if not np.isfinite(self.tuning).all():
                raise ValueError("tuning scores must be finite")

    @property
    def num_tuning(self) -> int:
        """Tuning seeds, 0 where nothing was tuned."""
        return len(self.tuning[0]) if self.tuning else 0

    def times(self, factor: float) -> Side:
        """The same in another unit."""
        return Side(tuple(tuple(value * factor for value in row) for row in self.values), self.tuning)

    def shares(self, draws_RJ: np.ndarray | None = None) -> np.ndarray:
        """What each candidate counts for: all that :func:`near_best` alike, the others nothing.

        Shape: ``[C]``, or ``[R, C]`` for re-drawn tuning seeds; rows sum to 1.
        """
        if self.tuning is None:
            shape = (len(self.values),) if draws_RJ is None else (len(draws_RJ), len(self.values))
            return np.full(shape, 1 / len(self.values))
        scores = np.asarray(self.tuning)
        near = near_best(scores if draws_RJ is None else scores[:, draws_RJ].swapaxes(0, 1))
        return near / near.sum(-1, keepdims=True)


def near_best(score_CJ: np.ndarray) -> np.ndarray:
    """Which candidates count as chosen: those whose mean score is within one standard error of the best one's.

    Shape: ``[..., C, J]`` to booleans ``[..., C]``. With one tuning seed there is no standard error, and only the best counts.

    Source: the one-standard-error rule of Breiman et al. 1984 (Classification and Regression Trees, section 3.4.3).
    """
    mean_C = score_CJ.mean(-1)
    best = mean_C.argmax(-1, keepdims=True)
    num_seeds = score_CJ.shape[-1]
    error = 0.0
    if num_seeds > 1:
        of_best_J = np.take_along_axis(score_CJ, best[..., None], axis=-2)[..., 0, :]
        error = of_best_J.std(-1, ddof=1, keepdims=True) / np.sqrt(num_seeds)
    return np.asarray(mean_C >= np.take_along_axis(mean_C, best, axis=-1) - error)


@dataclass(frozen=True)
class Sample:
    """Both sides of an effect; each may be the mean of several arms, as the main effect of a factorial is.

    Attributes:
        arm: the side the claim is about.
        base: the side the claim compares with; empty where the effect is ``arm`` itself.
        summed: True where the arms of a side are added instead of averaged, as for an interaction.

    Raises:
        ValueError: no arm, or arms of different seeds.
    """

    arm: tuple[Side, ...]
    base: tuple[Side, ...] = ()
    summed: bool = False

    def __post_init__(self) -> None:
        lengths = {len(side.values[0]) for side in (*self.arm, *self.base)}
        if not self.arm or len(lengths) != 1:
            raise ValueError(f"pairs need both sides at the same seeds, got {sorted(lengths)}")
        if len({side.num_tuning for side in (*self.arm, *self.base)} - {0}) > 1:
            raise ValueError("both sides need the same tuning seeds")

    @classmethod
    def of(cls, arm: ArrayLike, base: ArrayLike | None = None) -> Sample:
        """From one number a seed (or a case); of arrays with more than one axis, as errors of many cases, every entry counts."""

        def side(values: ArrayLike | None) -> tuple[Side, ...]:
            return () if values is None else (Side((tuple(np.ravel(np.asarray(values, float)).tolist()),)),)

        return cls(side(arm), side(base))

    @property
    def num_seeds(self) -> int:
        """Reported seeds."""
        return len(self.arm[0].values[0])

    @property
    def num_tuning(self) -> int:
        """Tuning seeds, 0 where nothing was tuned."""
        return max(side.num_tuning for side in (*self.arm, *self.base))

    def seeds_of(self, sides: Sequence[Side], *, log: bool = False) -> np.ndarray:
        """One number a seed for a side: mean over its chosen candidates and arms (a geometric one with ``log``). Shape ``[S]``."""
        rows = [_values(side, "ratio" if log else "difference").T @ side.shares() for side in sides]
        mean_S = np.mean(rows, axis=0)
        return np.exp(mean_S) if log else mean_S

    def effects(self, scale: Scale) -> np.ndarray:
        """What each seed says, ``arm - base`` or ``log(base / arm)``, with the choices as they were made. Shape ``[S]``.

        Raises:
            ValueError: a ratio of values that are not positive.
        """
        return sum(
            (weight * (_values(side, scale).T @ side.shares()) for weight, side in self._terms(scale)),
            np.zeros(self.num_seeds),
        )

    def redrawn(self, scale: Scale, seeds_RS: np.ndarray, tuning_RJ: np.ndarray | None) -> np.ndarray:
        """What each seed of each re-draw says when its tuning seeds make the choice. Shape ``[R, S]``."""
        total_RS = np.zeros(seeds_RS.shape)
        for weight, side in self._terms(scale):
            shares_RC = side.shares(tuning_RJ) if tuning_RJ is not None else np.tile(side.shares(), (len(seeds_RS), 1))
            values_RSC = _values(side, scale).T[seeds_RS]
            total_RS += weight * np.einsum("rsc,rc->rs", values_RSC, shares_RC)
        return total_RS

    def _terms(self, scale: Scale) -> list[tuple[float, Side]]:
        sign = 1 if scale == "difference" else -1
        parts = ((sign, self.arm), (-sign, self.base))
        return [(weight / (1 if self.summed else len(sides)), side) for weight, sides in parts for side in sides]


def _values(side: Side, scale: Scale) -> np.ndarray:
    values_CS = np.asarray(side.values, float)
    if scale == "ratio" and (values_CS <= 0).any():
        raise ValueError("ratios need positive values")
    return np.log(values_CS) if scale == "ratio" else values_CS
