"""The rule of claims that one number of a case ranks another: normalisers by what they do at initialisation, say.

Importing this file loads no scipy, as in ``rules.py``. Legend: K cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from bnexp.stats.drawn import interval_sentence
from bnexp.stats.intervals import Interval
from bnexp.stats.redraws import redrawn_seeds
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import (
    NO_GATES,
    Gates,
    Marks,
    Outcome,
    Rule,
    RuleWords,
    Verdict,
    counted,
    decide,
)

#: What p has to be below.
LARGEST_P = 0.05


@dataclass(frozen=True)
class Ranked:
    """Spearman's rho of some cases.

    Attributes:
        interval: rho with its 95 % interval; its ``num_seeds`` are cases.
        p: two-sided, of no correlation.
    """

    interval: Interval
    p: float


@dataclass(frozen=True)
class RankCorrelation(Rule):
    """A claim that two numbers of each case rise together, or that one falls while the other rises.

    A sample's ``arm`` holds the first number of each case and its ``base`` the second; cases stand where other rules have seeds.
    SUPPORTED: Spearman's rho has the claimed sign and at least ``smallest`` in size, and a permutation test of it gives p < .05.
    CONTRADICTED: its 95 % interval lies wholly short of ``smallest``.

    Attributes:
        smallest: the smallest correlation of interest, in (0, 1).
        direction: +1 when both are claimed to rise together, -1 when one is claimed to fall.
        min_cases: fewer leave the claim undecided.
        drawn: what a case is, in words.

    Raises:
        ValueError: a ``smallest`` outside (0, 1), another direction, or fewer than four cases asked for.
    """

    prefix: ClassVar[str] = "rho "

    smallest: float
    direction: Literal[1, -1] = 1
    min_cases: int = 8
    drawn: str = "case"

    def __post_init__(self) -> None:
        if not 0 < self.smallest < 1 or self.direction not in (1, -1) or self.min_cases < 4:
            got = f"smallest {self.smallest:g}, direction {self.direction}, min_cases {self.min_cases}"
            raise ValueError(f"got {got}; they must be in (0, 1), 1 or -1, and at least 4")

    def evidence(self, sample: Sample, rng: np.random.Generator) -> list[Ranked]:
        """Spearman's rho with its 95 % interval and its permutation p."""
        pairs = _pairs(sample)
        return [Ranked(rank_interval(*pairs), permutation_p(*pairs, rng))]

    def decide(self, *evidence: Ranked, gates: Gates = NO_GATES) -> Verdict:
        """The verdict on a correlation.

        Raises:
            ValueError: no evidence.
        """
        return decide(self._judge_one, evidence, lambda one: one.interval, gates, self.min_cases, self.drawn)

    def _judge_one(self, one: Ranked) -> Verdict:
        interval, edge = one.interval, self.direction * self.smallest
        high = max(self.direction * interval.low, self.direction * interval.high)
        found = (
            f"{interval_sentence(interval, 'rank correlation')} over {counted(interval.num_seeds, self.drawn)}, p = {one.p:.2g}"
        )
        reaches = self.direction * interval.estimate >= self.smallest
        if reaches and one.p < LARGEST_P:
            return Verdict("SUPPORTED", f"{found}; the estimate reaches {edge:g}.", interval, "as claimed")
        if high < 0:
            return Verdict("CONTRADICTED", f"{found}: the opposite of the claim.", interval, "reversed")
        if high < self.smallest:
            reason = f"{found}, wholly short of {edge:g}, the smallest correlation of interest."
            return Verdict("CONTRADICTED", reason, interval, "too small")
        reason = f"{found}, which allows one of interest ({edge:g}) and does not show it."
        clear = one.p < LARGEST_P and self.direction * interval.estimate > 0
        return Verdict("INCONCLUSIVE", reason, interval, "maybe too small" if clear else "too noisy")

    def in_words(self) -> RuleWords:
        edge = self.direction * self.smallest
        beyond, short = ("at least", "below") if self.direction > 0 else ("at most", "above")
        return RuleWords(
            f"Spearman's rho is {beyond} {edge:g}, and a permutation test of it gives p < {LARGEST_P:g}.",
            f"The whole 95 % interval of rho lies {short} {edge:g}.",
            f"At least {counted(self.min_cases, self.drawn)}, however many seeds each is the mean of, and every gate passed.",
        )

    def marks(self) -> Marks:
        edge = self.direction * self.smallest
        values = ((0.0, "no correlation (0)"), (edge, f"smallest that matters ({edge:g})"))
        return Marks(values, (edge, math.inf) if self.direction > 0 else (-math.inf, edge), log=False)

    def p_value(self, sample: Sample, verdict: Verdict, rng: np.random.Generator) -> float | None:
        """Of no correlation, by permutation; by its z of the smallest that matters where the verdict is that it is too small."""
        if verdict.outcome == "INCONCLUSIVE":
            return 1.0
        pairs = _pairs(sample)
        return z_p(self.direction * self.smallest, *pairs) if verdict.word == "too small" else permutation_p(*pairs, rng)

    def redraw(self, sample: Sample, rng: np.random.Generator) -> list[Outcome]:
        """Cases drawn again with replacement, judged with p by z."""
        x_K, y_K = _pairs(sample)
        draws_RK = redrawn_seeds(len(x_K), rng)
        drawn = ((x_K[draw_K], y_K[draw_K]) for draw_K in draws_RK)
        return [self._judge_one(Ranked(rank_interval(*pairs), z_p(0.0, *pairs))).outcome for pairs in drawn]


def _pairs(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    if not sample.base:
        raise ValueError("a rank correlation needs two numbers of each case")
    return sample.seeds_of(sample.arm), sample.seeds_of(sample.base)


def spearman(x_K: np.ndarray, y_K: np.ndarray) -> float:
    """Spearman's rho, ties having their mean rank; 0 where one side does not vary.

    Example:
        >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([3.0, 1.0, 0.0]))
        -1.0
    """
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(x_K), rankdata(y_K)])
    centred = ranks - ranks.mean(1, keepdims=True)
    scale = math.sqrt(float(np.prod((centred**2).sum(1))))
    return float(centred[0] @ centred[1]) / scale if scale else 0.0


def rank_interval(x_K: np.ndarray, y_K: np.ndarray) -> Interval:
    """Spearman's rho with its 95 % interval.

    Raises:
        ValueError: fewer than four cases.

    Source: Fisher's z with the standard error of Bonett & Wright 2000, ``sqrt((1 + rho^2 / 2) / (K - 3))``.
    """
    rho, (z, error) = spearman(x_K, y_K), _z(x_K, y_K)
    half = 1.959964 * error
    return Interval(rho, min(rho, math.tanh(z - half)), max(rho, math.tanh(z + half)), 0.95, len(x_K))


def z_p(value: float, x_K: np.ndarray, y_K: np.ndarray) -> float:
    """Two-sided p of rho being ``value``, by the same z as :func:`rank_interval`."""
    z, error = _z(x_K, y_K)
    return math.erfc(abs(z - math.atanh(value)) / error / math.sqrt(2))


def permutation_p(x_K: np.ndarray, y_K: np.ndarray, rng: np.random.Generator, permutations: int = 9999) -> float:
    """Two-sided p of no correlation: share of permutations of the cases with a rho at least as far from 0; exact up to 7."""
    from scipy.stats import permutation_test, rankdata

    ranks_K = rankdata(y_K)
    centred_K = ranks_K - ranks_K.mean()

    def covariance(x: np.ndarray, axis: int) -> np.ndarray:
        return np.moveaxis(x, axis, -1) @ centred_K  # rho but for a factor that no permutation changes

    answer = permutation_test(
        (rankdata(x_K),), covariance, permutation_type="pairings", n_resamples=permutations, vectorized=True, rng=rng
    )
    return float(answer.pvalue)


def _z(x_K: np.ndarray, y_K: np.ndarray) -> tuple[float, float]:
    """Fisher's z of rho and its standard error."""
    if len(x_K) < 4:
        raise ValueError(f"a rank correlation needs at least 4 cases, got {len(x_K)}")
    rho = spearman(x_K, y_K)
    z = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, rho)))
    return z, math.sqrt((1 + rho**2 / 2) / (len(x_K) - 3))
