"""How an arm comes by its tuned values: which runs the choice still needs, and what it is once they are there. Pure functions.

Every value is tried at the first tuning seeds; those not far behind are tried at all of them; every value within one standard error
of the best counts as chosen. A list grows, up to a bound, while a choice lies at its edge (docs/claims.md, O0).
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from bnexp.stats.sample import near_best

if TYPE_CHECKING:
    from bnexp.claims.base import Budget, Tuning

#: Tuned value to tuning seed to score, of the runs that are there; higher is better.
Scores = Mapping[float, Mapping[int, float]]


def next_runs(tuning: Tuning, budget: Budget, scores: Scores) -> list[tuple[float, int]]:
    """Values and seeds to be tried before the choice is known, as far as it can be said from ``scores``; empty when it is known."""
    seeds = budget.tuning_seeds(tuning)
    first = seeds[: budget.num_first_seeds]
    values = sorted({*listed(tuning, budget), *scores})
    missing = [(value, seed) for value in values for seed in first if seed not in scores.get(value, {})]
    if missing:
        return missing
    best = max(values, key=lambda value: _early(tuning, budget, scores[value]))
    beyond = _beyond(tuning, budget, values, [best])
    if not beyond:
        missing = [(v, s) for v in contenders(tuning, budget, scores) for s in seeds if s not in scores[v]]
        if missing:
            return missing
        beyond = _beyond(tuning, budget, values, chosen(tuning, budget, scores))
    return [(value, seed) for value in beyond for seed in first]


def listed(tuning: Tuning, budget: Budget) -> tuple[float, ...]:
    """The values that were declared, thinned for a smoke budget."""
    return tuning.values[:: budget.every_nth_value]


def contenders(tuning: Tuning, budget: Budget, scores: Scores) -> list[float]:
    """The values that are tried at every tuning seed: those not far behind the best on the first ones."""
    early = {value: _early(tuning, budget, by_seed) for value, by_seed in scores.items()}
    return sorted(value for value, score in early.items() if score >= max(early.values()) - tuning.by.far)


def chosen(tuning: Tuning, budget: Budget, scores: Scores) -> list[float]:
    """Every value within one standard error of the best, increasing; of complete scores."""
    values = contenders(tuning, budget, scores)
    near = near_best(np.array([[scores[value][seed] for seed in budget.tuning_seeds(tuning)] for value in values]))
    return [value for value, is_near in zip(values, near, strict=True) if is_near]


def at_edge(scores: Scores, values: list[float]) -> bool:
    """Whether a chosen value is the first or the last that was tried, so that a better one may lie beyond."""
    return len(scores) > 1 and bool({min(scores), max(scores)} & set(values))


def extended(tuning: Tuning, budget: Budget, scores: Scores) -> list[float]:
    """The values that a list grew by."""
    return sorted(set(scores) - set(listed(tuning, budget)))


def _beyond(tuning: Tuning, budget: Budget, values: list[float], picked: list[float]) -> list[float]:
    """The next value on each side where one of ``picked`` lies at the edge and the list may still grow."""
    original = listed(tuning, budget)
    if len(original) < 2:
        return []
    grown = {-1: sum(value < original[0] for value in values), 1: sum(value > original[-1] for value in values)}
    beyond = []
    if values[-1] in picked and grown[1] < budget.most_extended:
        beyond.append(_plain(values[-1] * original[-1] / original[-2]))
    if values[0] in picked and grown[-1] < budget.most_extended:
        beyond.append(_plain(values[0] * original[0] / original[1]))
    return beyond


def _plain(value: float) -> float:
    """A value that people can read and type: 0.2 rather than 0.20000000000000004."""
    return float(f"{value:.6g}")


def _early(tuning: Tuning, budget: Budget, by_seed: Mapping[int, float]) -> float:
    return fmean(by_seed[seed] for seed in budget.tuning_seeds(tuning)[: budget.num_first_seeds])
