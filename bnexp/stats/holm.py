"""Holm's correction for the number of secondary endpoints."""

from __future__ import annotations

from collections.abc import Mapping


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Each endpoint's p adjusted so that the chance of any false one among them is at most the level it is compared with.

    Args:
        p_values: endpoint to its p, in [0, 1]; the primary endpoint of a claim is not among them.

    Returns:
        Endpoint to adjusted p, in the order given.

    Raises:
        ValueError: a p outside [0, 1], or NaN.

    Source: Holm 1979 (Scandinavian Journal of Statistics 6), the sequentially rejective procedure.

    Example:
        >>> holm({"late": 0.04, "spread": 0.01, "own rate": 0.03})
        {'late': 0.06, 'spread': 0.03, 'own rate': 0.06}
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise ValueError(f"p of {name} must be between 0 and 1, got {p}")
    adjusted: dict[str, float] = {}
    largest = 0.0
    for index, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - index) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}
