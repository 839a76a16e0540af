"""Published verdicts computed again from ``results/`` by other means: json, numpy, scipy and statsmodels, nothing of
``bnexp.stats`` or of the claims. What is read of a run and what is done with it is written down once more, from docs/claims.md.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bnexp.claims import CLAIMS
from bnexp.claims.judge import judge_all

RESULTS = Path(__file__).resolve().parents[2] / "results"
FIRST_TUNING_SEED = 1000

Run = dict
#: Tuned value to seed to what is judged.
Table = dict[float, dict[int, float]]


@cache
def runs_of(budget: str) -> dict[str, Run]:
    lines = (RESULTS / budget / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["run"]: line for line in map(json.loads, lines) if "run" in line}


@cache
def cells_of(budget: str) -> dict[str, list[dict]]:
    return json.loads((RESULTS / budget / "claims.json").read_text(encoding="utf-8"))[budget]


def table(cells: Sequence[dict], runs: dict[str, Run], arm: str, regime: str, read: Callable[[Run], float], grid: int = 0) -> Table:
    found: Table = {}
    for cell in cells:
        if (cell.get("grid", 0), cell["arm"], cell.get("regime", "own")) == (grid, arm, regime):
            found.setdefault(cell.get("value"), {})[cell["seed"]] = read(runs[cell["run_id"]])
    return found


def written_out(steps: str) -> list[int]:
    """``"1-3 6-10/2"`` as 1, 2, 3, 6, 8, 10."""
    found = [re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(\d+))?", word).groups() for word in steps.split()]
    return [n for first, last, by in found for n in range(int(first), int(last or first) + 1, int(by or 1))]


def accuracies(run: Run) -> list[float]:
    """Of validation, in the order of the evaluations; nan where a number was not finite."""
    curve = run["curves"]["val/accuracy"]
    return [value / curve.get("per", 1) if isinstance(value, float | int) else math.nan for value in curve["values"]]


def steps_to(run: Run, level: float, horizon: int) -> float:
    """First of two consecutive evaluations with an error below the level; the horizon where there is none by then."""
    curve = run["curves"]["val/accuracy"]
    beyond = [accuracy > 1 - level for accuracy in accuracies(run)]
    for step, here, there in zip(written_out(curve["steps"]), beyond, beyond[1:], strict=False):
        if here and there:
            return max(step, 1) if step <= horizon else horizon
    return horizon


def tuning_seeds(tuning: Table) -> range:
    """The seeds of the values that were tried at most of them: four at quick, six at full."""
    return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + max(map(len, tuning.values())))


def near_best(tuning: Table) -> list[float]:
    """Values whose mean score is within one standard error of the best mean, among those tried at all tuning seeds."""
    seeds = tuning_seeds(tuning)
    whole = {value: [scores[seed] for seed in seeds] for value, scores in tuning.items() if len(scores) == len(seeds)}
    best = max(whole, key=lambda value: np.mean(whole[value]))
    least = np.mean(whole[best]) - stats.sem(whole[best])
    return sorted(value for value in whole if np.mean(whole[value]) >= least)


def redrawn(tuning: Table, values: Sequence[float], drawn: np.ndarray) -> np.ndarray:
    """Share of each reported value when the drawn tuning seeds choose among them. Shape ``[R, C]``."""
    scores = np.array([[tuning[value][seed] for seed in tuning_seeds(tuning)] for value in values])[:, drawn]  # [C, R, J]
    means = scores.mean(-1)
    best = means.argmax(0)
    errors = stats.sem(np.take_along_axis(scores, best[None, :, None], 0)[0], axis=-1)
    near = means >= means.max(0) - errors
    return (near / near.sum(0)).T


class Comparison:
    """Two arms of a claim: what is judged at every reported value and seed, and how the values were chosen."""

    def __init__(self, base: Table, arm: Table, base_tuning: Table, arm_tuning: Table) -> None:
        self.sides = ((base, base_tuning, 1.0), (arm, arm_tuning, -1.0))

    def difference(self) -> np.ndarray:
        """Base minus arm at each seed, averaged over the chosen values."""
        means = [np.mean([list(reported[value].values()) for value in sorted(reported)], axis=0) for reported, _, _ in self.sides]
        return means[0] - means[1]

    def bootstrap(self, level: float, resamples: int = 20_000) -> tuple[float, float]:
        """Percentile limits over seeds and tuning seeds, widened as Hesterberg 2015 does; a generator of its own."""
        rng, num_seeds = np.random.default_rng(7), len(self.difference())
        seeds = rng.integers(num_seeds, size=(resamples, num_seeds))
        num_tuning = len(tuning_seeds(self.sides[0][1]))
        drawn = rng.integers(num_tuning, size=(resamples, num_tuning))
        total = np.zeros(resamples)
        for reported, tuning, sign in self.sides:
            values = sorted(reported)
            numbers = np.array([list(reported[value].values()) for value in values])  # [C, S]
            means = numbers[:, seeds].mean(-1).T  # [R, C]
            total += sign * (means * redrawn(tuning, values, drawn)).sum(-1)
        reach = stats.t.ppf((1 + level) / 2, num_seeds - 1) * np.sqrt(num_seeds / (num_seeds - 1))
        return tuple(np.quantile(total, [stats.norm.cdf(-reach), stats.norm.cdf(reach)]))


def published(budget: str, claim: str, endpoint: str):
    (judged,) = [one for one in judge_all([CLAIMS[claim]], budget, RESULTS / budget) if not one.claim.variant]
    return judged.verdicts[endpoint]


def outcome(low: float, estimate: float, high: float, null: float, smallest: float) -> str:
    """docs/claims.md, 0.3, for a claim of more."""
    if low > null and estimate >= smallest:
        return "SUPPORTED"
    return "CONTRADICTED" if high < smallest else "INCONCLUSIVE"


def agrees(verdict, found: float, limits: tuple[float, float]) -> None:
    """The estimate to nine digits; the limits to what 10,000 resamples leave open."""
    effect = verdict.effect
    assert found == pytest.approx(effect.estimate, rel=1e-9, abs=1e-9)
    width = effect.high - effect.low
    assert limits == pytest.approx((effect.low, effect.high), abs=0.05 * width)


#: Of each budget the easiest and the hardest level of validation error.
ENDS = {"quick": (0.15, 0.08), "full": (0.10, 0.03)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("budget", "claim", "endpoint", "base", "arm", "horizon"),
    [
        ("quick", "fig1_speed", "own rate", "control", "subject", 3000),
        ("quick", "input_normalization", "centring", "unit", "center", 1500),
        ("full", "fig1_speed", "own rate", "control", "subject", 20_000),
        ("full", "input_normalization", "centring", "unit", "center", 10_000),
    ],
)
def test_a_speed_is_the_same_by_other_means(budget, claim, endpoint, base, arm, horizon):
    runs, cells = runs_of(budget), cells_of(budget)
    easiest, hardest = ENDS[budget]
    family = easiest * (hardest / easiest) ** (np.arange(10) / 9)
    score = lambda run: -float(np.mean([np.log(steps_to(run, level, horizon)) for level in family]))  # noqa: E731
    tuning = {name: table(cells[claim], runs, name, "tuning", score) for name in (base, arm)}
    for name in (base, arm):
        assert near_best(tuning[name]) == sorted(table(cells[claim], runs, name, "own", score))
    reached = {
        level: np.mean([t < horizon for by_seed in
                        table(cells[claim], runs, base, "own", lambda run, level=level: steps_to(run, level, horizon)).values()
                        for t in by_seed.values()])
        for level in family
    }  # fmt: skip
    kept = [level for level, share in reached.items() if share >= 7 / 8]
    assert len(kept) >= 5
    logs = lambda run: float(np.mean([np.log(steps_to(run, level, horizon)) for level in kept]))  # noqa: E731
    sides = [table(cells[claim], runs, name, "own", logs) for name in (base, arm)]
    compared = Comparison(*sides, tuning[base], tuning[arm])
    verdict = published(budget, claim, endpoint)
    low, high = np.exp(compared.bootstrap(0.95))
    estimate = float(np.exp(compared.difference().mean()))
    agrees(verdict, estimate, (low, high))
    assert verdict.outcome in (outcome(low, estimate, high, 1, 1.2), "INCONCLUSIVE")


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["quick", "full"])
def test_a_difference_in_accuracy_is_the_same_by_other_means(budget):
    runs, cells = runs_of(budget), cells_of(budget)

    def points(run: Run) -> float:
        return 100 * run["end"]["test"]["recomputed_accuracy"]

    def score(run: Run) -> float:
        return 100 * float(np.mean(accuracies(run)[-5:]))

    claim = cells["minibatch_noise"]
    sides = [table(claim, runs, name, "own", points) for name in ("m = 16", "m = 32", "m = 256")]
    tunings = [table(claim, runs, name, "tuning", score) for name in ("m = 16", "m = 32", "m = 256")]
    for side, tuning in zip(sides, tunings, strict=True):
        assert near_best(tuning) == sorted(side)
    means = [np.mean([list(side[value].values()) for value in sorted(side)], axis=0) for side in sides]
    effects = (means[0] + means[1]) / 2 - means[2]
    verdict = published(budget, "minibatch_noise", "test accuracy")
    assert float(effects.mean()) == pytest.approx(verdict.effect.estimate, abs=1e-9)
    if all(len(side) == 1 for side in sides):  # then the choice adds nothing, and Student's t is the whole interval
        sm = pytest.importorskip("statsmodels.stats.weightstats")
        low, high = sm.DescrStatsW(effects).tconfint_mean()
        assert (low, high) == pytest.approx((verdict.effect.low, verdict.effect.high), abs=0.15 * (high - low))
