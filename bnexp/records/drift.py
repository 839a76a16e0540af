"""How far the distributions of layer inputs move: the numbers of claims A5 (moments) and B3 (percentiles).

A window is a first and a last step; looks at both ends belong to it. What is computed from a window is the same for runs of every
length that were looked at after the same steps.

Legend: T observations, U units.

Source: docs/claims.md, A5 and B3. Units whose sd is zero throughout (dead) count as not moving.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Window = tuple[int, int]

#: What the numbers in ``end.json`` speak about.
WINDOW: Window = (0, 3000)

#: From here on running statistics have forgotten the 0 and 1 they begin with: at torch's momentum of .1 all but .9^50 = .5 % of it.
SETTLED = 50


def unit_looks(arrays: Mapping[str, np.ndarray], point: str, statistic: str, window: Window = WINDOW) -> np.ndarray:
    """A statistic of every hidden unit of all layers, at each look of a window.

    Args:
        arrays: of the probe ``layer_inputs``.
        point: ``"pre_norm"``, ``"post_norm"`` or ``"next_input"``.
        statistic: ``"unit_mean"``, ``"unit_sd"``, ``"unit_quantiles"``, ``"eval_unit_mean"``, ...
        window: as above.

    Shape: ``[T, U]``, or ``[T, U, 3]`` for quantiles; float64. Zero units where nothing of the kind was recorded.
    """
    steps_T = arrays["steps"]
    inside_T = (steps_T >= window[0]) & (steps_T <= window[1])
    found = [
        arrays[name][inside_T].astype(np.float64) for name in sorted(arrays) if name.endswith(f"/{point}/{statistic}")
    ]
    return np.concatenate(found, axis=1) if found else np.zeros((int(inside_T.sum()), 0))


# A run that diverged has inf - inf in it, which ends as None or NaN and is no reason to warn.
@np.errstate(over="ignore", invalid="ignore")
def median_variation(quantiles_TUQ: np.ndarray) -> np.ndarray:
    """TV50: total variation of each unit's median, over its mean 15-85 spread in the same looks. Shape: ``[U]``."""
    moved_U = np.abs(np.diff(quantiles_TUQ[:, :, 1], axis=0)).sum(axis=0)
    return _over(moved_U, _spread(quantiles_TUQ).mean(axis=0))


@np.errstate(over="ignore", invalid="ignore")
def spread_variation(quantiles_TUQ: np.ndarray) -> np.ndarray:
    """Total variation of each unit's log 15-85 spread. Shape: ``[U]``."""
    return np.abs(np.diff(_log(_spread(quantiles_TUQ)), axis=0)).sum(axis=0)


@np.errstate(over="ignore", invalid="ignore")
def mean_drift(mean_TU: np.ndarray, sd_TU: np.ndarray) -> np.ndarray:
    """Mean of |mean(t+1) - mean(t)| of each unit, over its time-mean sd. Shape: ``[U]``."""
    return _over(np.abs(np.diff(mean_TU, axis=0)).mean(axis=0), sd_TU.mean(axis=0))


@np.errstate(over="ignore", invalid="ignore")
def sd_drift(sd_TU: np.ndarray) -> np.ndarray:
    """Mean of |log sd(t+1) - log sd(t)| of each unit.

    Shape: ``[U]``; NaN for a unit whose sd stopped being a number.
    """
    return np.abs(np.diff(_log(sd_TU), axis=0)).mean(axis=0)


@np.errstate(over="ignore", invalid="ignore")
def net_mean_change(mean_TU: np.ndarray, sd_TU: np.ndarray) -> np.ndarray:
    """|mean(T) - mean(0)| / sd(0) of each unit, from the first observation to the last. Shape: ``[U]``."""
    return _over(np.abs(mean_TU[-1] - mean_TU[0]), sd_TU[0])


@np.errstate(over="ignore", invalid="ignore")
def net_sd_change(sd_TU: np.ndarray) -> np.ndarray:
    """|log sd(T) / sd(0)| of each unit, from the first observation to the last.

    Shape: ``[U]``; NaN for a unit whose sd stopped being a number.
    """
    return np.abs(_log(sd_TU[-1]) - _log(sd_TU[0]))


def standardised_sd(sd_TU: np.ndarray, eps: float) -> np.ndarray:
    """Sd of x^ = (z - mean) / sqrt(v + eps) where z has the sd given: sqrt(v / (v + eps)), whatever the net has learnt.

    Shape: ``[T, U]``, as ``sd_TU``.

    Source: Ioffe & Szegedy 2015, Algorithm 1.
    """
    return sd_TU / np.sqrt(sd_TU**2 + eps)


def drift_summary(arrays: Mapping[str, np.ndarray], point: str) -> dict[str, float | None]:
    """Drift of one point within ``WINDOW``, median over ALL hidden units of all layers.

    Returns:
        ``drift_mean``, ``drift_sd``, ``net_mean``, ``net_sd`` as :func:`mean_drift`, :func:`sd_drift`, :func:`net_mean_change` and
        :func:`net_sd_change` have them; ``w1``: mean Wasserstein-1 step over the time-mean sd; ``settled_drift_mean`` and
        ``settled_drift_sd``: drift from step ``SETTLED`` on, and ``eval_drift_mean`` and ``eval_drift_sd``: the same in eval mode,
        where the net was looked at in eval mode. None where it is not a finite number or there are not two looks; nothing at all
        from fewer than two observations.
    """
    mean_TU, sd_TU, w1_TU = (unit_looks(arrays, point, f"unit_{name}") for name in ("mean", "sd", "w1"))
    if len(mean_TU) < 2 or not mean_TU.shape[1]:
        return {}
    with np.errstate(over="ignore", invalid="ignore"):
        w1_U = _over(w1_TU[1:].mean(axis=0), sd_TU.mean(axis=0))
    numbers = {
        "drift_mean": mean_drift(mean_TU, sd_TU),
        "drift_sd": sd_drift(sd_TU),
        "net_mean": net_mean_change(mean_TU, sd_TU),
        "net_sd": net_sd_change(sd_TU),
        "w1": w1_U,
    }
    for mode, prefix in (("settled", "unit"), ("eval", "eval_unit")):
        mean_TU, sd_TU = (unit_looks(arrays, point, f"{prefix}_{name}", (SETTLED, WINDOW[1])) for name in ("mean", "sd"))
        if mean_TU.shape[1]:
            enough = len(mean_TU) > 1
            numbers[f"{mode}_drift_mean"] = mean_drift(mean_TU, sd_TU) if enough else np.array([])
            numbers[f"{mode}_drift_sd"] = sd_drift(sd_TU) if enough else np.array([])
    return {name: _median(values_U) for name, values_U in numbers.items()}


def _spread(quantiles_TUQ: np.ndarray) -> np.ndarray:
    return quantiles_TUQ[:, :, 2] - quantiles_TUQ[:, :, 0]


def _over(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """``top / bottom``, 0 where both are 0 (a dead unit does not move)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((top == 0) & (bottom == 0), 0.0, top / bottom)


def _log(values: np.ndarray) -> np.ndarray:
    """Log with a floor far below any living unit's spread, so that dead units give 0 differences instead of NaN."""
    return np.log(np.maximum(values, 1e-12))


def _median(values: np.ndarray) -> float | None:
    median = float(np.median(values)) if len(values) else float("nan")
    return median if np.isfinite(median) else None
