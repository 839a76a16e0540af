"""How far the distributions of layer inputs move: the numbers of claims A5 (moments) and B3 (percentiles).

Legend: T observations, U units.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

#: The part of training that counts as early (claim B3).
EARLY_FRACTION = 0.2


def drift_summary(arrays: Mapping[str, np.ndarray], point: str) -> dict[str, float | None]:
    """Drift of one point, median over ALL hidden units of all layers.

    Args:
        arrays: the arrays of the ``layer_inputs`` probe.
        point: ``"pre_norm"``, ``"post_norm"`` or ``"next_input"``.

    Returns:
        ``drift_mean``: mean over observations of |mean(t+1) - mean(t)|, over the unit's time-mean sd;
        ``drift_sd``: mean of |log sd(t+1) - log sd(t)|;
        ``net_mean``, ``net_sd``: |mean(T) - mean(0)| / sd(0) and |log sd(T)/sd(0)|;
        ``tv50_early``, ``tv50_late``: total variation of the median before and after the first fifth of training, over the
        unit's mean 15-85 spread; ``tv_spread_early``, ``tv_spread_late``: total variation of the log spread;
        ``w1``: mean Wasserstein-1 step over the time-mean sd. None where it is not a finite number; nothing at all from
        fewer than two observations.

    Source: docs/claims.md, A5 and B3. Units whose sd is zero throughout (dead) count as not moving.
    """
    steps = arrays["steps"]
    if len(steps) < 2:
        return {}
    suffix = f"/{point}/unit_quantiles"
    sites = [name.removesuffix(suffix) for name in arrays if name.endswith(suffix)]
    per_unit = [_unit_drift(steps, arrays, f"{site}/{point}") for site in sites]
    names = per_unit[0] if per_unit else {}
    return {name: _median(np.concatenate([site[name] for site in per_unit])) for name in names}


def unit_sd(arrays: Mapping[str, np.ndarray], point: str) -> np.ndarray:
    """Standard deviation (biased, 1/K) of every hidden unit of all layers at each observation.

    Shape: ``[T, U]``.
    """
    suffix = f"/{point}/unit_sd"
    return np.concatenate([arrays[name].astype(np.float64) for name in arrays if name.endswith(suffix)], axis=1)


def standardised_sd(sd_TU: np.ndarray, eps: float) -> np.ndarray:
    """Sd of x^ = (z - mean) / sqrt(v + eps) where z has the sd given: sqrt(v / (v + eps)), whatever the net has learnt.

    Shape: ``[T, U]``, as ``sd_TU``.

    Source: Ioffe & Szegedy 2015, Algorithm 1.
    """
    return sd_TU / np.sqrt(sd_TU**2 + eps)


@np.errstate(over="ignore", invalid="ignore")
def sd_drift(sd_TU: np.ndarray) -> np.ndarray:
    """Mean of |log sd(t+1) - log sd(t)| of each unit.

    Shape: ``[U]``; NaN for a unit whose sd stopped being a number.
    """
    return np.abs(np.diff(_log(sd_TU), axis=0)).mean(axis=0)


@np.errstate(over="ignore", invalid="ignore")
def net_sd_change(sd_TU: np.ndarray) -> np.ndarray:
    """|log sd(T) / sd(0)| of each unit, from the first observation to the last.

    Shape: ``[U]``; NaN for a unit whose sd stopped being a number.
    """
    return np.abs(_log(sd_TU[-1]) - _log(sd_TU[0]))


# A run that diverged has inf - inf in it, which ends as None and is no reason to warn.
@np.errstate(over="ignore", invalid="ignore")
def _unit_drift(steps: np.ndarray, arrays: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The same numbers for each unit of one site: name to ``[U]``."""
    quantiles_TUQ = arrays[f"{name}/unit_quantiles"].astype(np.float64)
    mean_TU = arrays[f"{name}/unit_mean"].astype(np.float64)
    sd_TU = arrays[f"{name}/unit_sd"].astype(np.float64)
    w1_TU = arrays[f"{name}/unit_w1"].astype(np.float64)
    spread_TU = quantiles_TUQ[:, :, 2] - quantiles_TUQ[:, :, 0]
    early = steps[1:] <= EARLY_FRACTION * steps[-1]
    moved_median = _over(np.abs(np.diff(quantiles_TUQ[:, :, 1], axis=0)), spread_TU.mean(axis=0))
    moved_spread = np.abs(np.diff(_log(spread_TU), axis=0))
    typical_sd = sd_TU.mean(axis=0)
    return {
        "drift_mean": _over(np.abs(np.diff(mean_TU, axis=0)), typical_sd).mean(axis=0),
        "drift_sd": sd_drift(sd_TU),
        "net_mean": _over(np.abs(mean_TU[-1] - mean_TU[0]), sd_TU[0]),
        "net_sd": net_sd_change(sd_TU),
        "tv50_early": moved_median[early].sum(axis=0),
        "tv50_late": moved_median[~early].sum(axis=0),
        "tv_spread_early": moved_spread[early].sum(axis=0),
        "tv_spread_late": moved_spread[~early].sum(axis=0),
        "w1": _over(w1_TU[1:], typical_sd).mean(axis=0),
    }


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
