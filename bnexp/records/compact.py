"""Numbers in few characters, for an archive: steps as ranges, arrays to 12 bits, curves that no verdict needs as a few points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from bnexp.records.curves import Curve

#: float64 arrays from this many numbers on hold the rounding errors of algebra, case by case; smaller ones are measurements.
MANY = 1000

#: Significant digits that a kept training loss has, which is the mean of one mini-batch.
LOSS_DIGITS = 5

#: Kept accuracies are written in units of one in so many, where they are whole in these: of 10,000 examples, or of 1,000 or 500.
PER = 10_000


def as_shares(values: Sequence[float | str]) -> list[int | str] | None:
    """Accuracies as whole numbers of ten-thousandths, words as they are; None where that would not be exact.

    Example:
        >>> as_shares([0.1, 0.9676, "nan"])
        [1000, 9676, 'nan']
        >>> as_shares([1 / 3])
    """
    shares = [value if isinstance(value, str) else round(value * PER) for value in values]
    exact = all(isinstance(share, str) or share / PER == value for share, value in zip(shares, values, strict=True))
    return shares if exact else None


def rounded(array: np.ndarray) -> np.ndarray:
    """float32 numbers, and many float64 ones, to 12 bits, a relative error of at most 2^-12; others as they are.

    What probes record in float32 are moments and percentiles of some hundred examples, whose own error is a hundred times larger.

    Source: Zender 2016 and Kouznetsov 2021 (Geoscientific Model Development), rounding of mantissas.

    Example:
        >>> rounded(np.array([1.0001, 3.14159265], np.float32)).tolist()
        [1.0, 3.1416015625]
    """
    if array.dtype != np.float32 and not (array.dtype == np.float64 and array.size >= MANY):
        return array
    mantissa, exponent = np.frexp(array)
    nearest = np.ldexp(np.round(mantissa * 2**12) / 2**12, exponent).astype(array.dtype)
    return np.where(np.isfinite(array), nearest, array)


def spans(steps: Sequence[int]) -> str:
    """Steps, increasing, as people write them down; :func:`steps_of` reads them.

    Example:
        >>> spans([1, 2, 3, 4, 6, 8, 10, 15, 20, 100])
        '1-4 6-10/2 15 20 100'
    """
    words, place = [], 0
    while place < len(steps):
        end, stride = place + 1, steps[place + 1] - steps[place] if place + 1 < len(steps) else 0
        while end < len(steps) and steps[end] - steps[end - 1] == stride:
            end += 1
        if end - place < 3:
            words.append(str(steps[place]))
            place += 1
        else:
            words.append(f"{steps[place]}-{steps[end - 1]}" + (f"/{stride}" if stride != 1 else ""))
            place = end
    return " ".join(words)


def steps_of(written: str | Sequence[int], count: int) -> tuple[int, ...]:
    """The steps that :func:`spans` wrote, or a list of them as it is.

    Raises:
        ValueError: they are not ``count`` steps.
    """
    steps = _steps_of(written, count) if isinstance(written, str) else tuple(written)
    if len(steps) != count:
        raise ValueError(f"{len(steps):,} steps for {count:,} values")
    return steps


@lru_cache(maxsize=1024)
def _steps_of(written: str, most: int) -> tuple[int, ...]:
    steps: list[int] = []
    for word in written.split():
        first, _, rest = word.partition("-")
        last, _, stride = rest.partition("/")
        found = range(int(first), int(last or first) + 1, int(stride or 1))
        if len(steps) + len(found) > most:  # a range of any length is written in few characters
            raise ValueError(f"more than {most:,} steps for as many values")
        steps += found
    return tuple(steps)


def few_points(curve: Curve, most: int, targets: Sequence[float] = ()) -> list[int]:
    """Which points of a curve to keep so that it looks the same on a logarithmic axis: the first, the last, and others log-spaced.

    ``time_to_target`` says of the points that are kept what it says of all, for each of ``targets``; a few more are kept for that.

    Args:
        curve: with increasing steps.
        most: how many points at most, those for the targets aside; at least 2.
        targets: values above which the curve is asked for.

    Returns:
        Indices, increasing; all of them where there are no more than ``most``.
    """
    steps = np.array(curve.steps)
    if len(steps) <= most:
        return list(range(len(steps)))
    wanted = np.geomspace(1, steps[-1] - steps[0] + 1, most) - 1 + steps[0]
    after = np.searchsorted(steps, wanted).clip(1, len(steps) - 1)
    kept = set(np.where(wanted - steps[after - 1] < steps[after] - wanted, after - 1, after).tolist())
    before: set[int] = set()
    while before != kept:
        before = set(kept)
        for target in targets:
            above = [value is not None and value > target for value in curve.values]
            arrival = next((place for place in range(len(above) - 1) if above[place] and above[place + 1]), len(above) - 1)
            # A point that alone lies above must not be taken for an arrival because the one after it is gone.
            kept |= {place + 1 for place in kept if place < arrival and above[place]}
            kept |= {max(arrival - 1, 0), arrival, min(arrival + 1, len(above) - 1)}
    return sorted(kept)
