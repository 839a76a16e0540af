"""L1. Kohler et al. 2019: learning length and direction apart, as BN does, solves least squares faster than gradient descent.

Near the solution the normalised neuron sees the covariance without the direction that it has found, so that its condition is
that of the remaining eigenvalues, which lie between the first and the last (Cai et al. 2019): it is never worse.

Legend: R problems side by side, Q rates, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.least_squares import Normalised, plain_excess, problems
from bnexp.claims.runs import first_measured, stacked
from bnexp.claims.words import ending, mean_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.figures.style import COLORS
from bnexp.stats.rules import Difference, Exact

CONDITIONS, MAIN = (10, 100, 1000), 100
NUM_INPUTS, NUM_PROBLEMS = 20, 6
#: Rates of the weights that BN chooses the best of, problem by problem, in units of 1 / (largest eigenvalue), weights of length
#: 1.
RATES = 2.0 ** np.arange(-5, 2, 0.125)
#: The rate is read between these losses, where it is a straight line if it is one anywhere.
FROM, TO = 1e-5, 1e-10
#: Steps that BN may take, for each unit of the condition, and how often it is looked at on the way.
MOST, LOOKS = 10, 500
STRAIGHT = 0.01
LINE, GROWS, OUTLIER = "a straight line", "weights that grow", "one large eigenvalue"
INSIDE = "the best rate lies inside the list"
#: Condition, how far the first eigenvalue is above the second, and whether the weights are put back to length 1 after every step;
#: else they grow, as those in front of BN do.
CASES = {
    "fixed 100": (100, 1.0, True),
    "fixed 10": (10, 1.0, True),
    "fixed 1000": (1000, 1.0, True),
    "grows 100": (100, 1.0, False),
    "outlier 100": (100, 10.0, True),
}
SHOWN, LINED = "fixed 100", ("fixed 10", "fixed 100", "fixed 1000")
#: What they are called.
NAMES = dict(zip(("condition 100", "condition 10", "condition 1,000", GROWS, OUTLIER), CASES, strict=True))


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:  # the same at every budget
    """Per condition and kind: e-folds of the loss per step at the best rate, that rate, and 1 - R^2 of the straight line, ``[R]``
    each; of the first problem at condition 100 the losses along the way ``[T]``.
    """
    found: dict[str, np.ndarray] = {}
    row, rate = (grid.ravel() for grid in np.meshgrid(np.arange(NUM_PROBLEMS), RATES, indexing="ij"))
    for name, (condition, gap, fixed) in CASES.items():
        these, steps_T = problems(seed, condition, NUM_PROBLEMS, NUM_INPUTS, gap), looks(condition)
        descent = Normalised(these.take(row), rate, np.ones(len(row)), fixed=fixed)
        loss_TR = np.array([_after(descent, count) for count in np.diff(steps_T, prepend=0)])
        speed, line = _rates(steps_T, loss_TR.T)
        best = speed.reshape(NUM_PROBLEMS, -1).argmax(1) + len(RATES) * np.arange(NUM_PROBLEMS)
        found |= {f"speed {name}": speed[best], f"rate {name}": rate[best], f"line {name}": line[best]}
        if name == SHOWN:
            plain = plain_excess(these, np.full(NUM_PROBLEMS, 2 / (1 + 1 / condition)), steps_T)
            found |= {"loss fixed": loss_TR[:, best[0]].astype(np.float32), "loss plain": plain[0].astype(np.float32)}
    return found


def looks(condition: int) -> np.ndarray:
    """After which steps the loss is looked at. Shape ``[T]``."""
    return np.unique(np.linspace(1, MOST * condition, LOOKS).astype(int))


def _after(descent: Normalised, num_steps: int) -> np.ndarray:
    for _ in range(num_steps):
        descent.step()
    return descent.excess()


def plain_speed(condition: float) -> float:
    """E-folds of the loss per step of gradient descent at its best constant rate."""
    return float(-2 * np.log((condition - 1) / (condition + 1)))


def _rates(steps_T: np.ndarray, loss_RT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """E-folds of the loss per step between ``FROM`` and ``TO``, 0 where it does not get there, and 1 - R^2 of the line. ``[R]``
    each."""
    speed, line = np.zeros(len(loss_RT)), np.ones(len(loss_RT))
    for row, loss_T in enumerate(loss_RT):
        inside = (loss_T < FROM) & (loss_T > TO)
        if loss_T[-1] <= TO and inside.sum() >= 5:
            x, y = steps_T[inside], np.log(loss_T[inside])
            slope, intercept = np.polyfit(x, y, 1)
            speed[row] = -slope
            line[row] = ((y - slope * x - intercept) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    return speed, line


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """How many times more e-folds per step with BN than without; a seed's number is the geometric mean over its problems."""
    ratios = {
        name: np.exp(np.log(stacked(runs, f"speed {which}")).mean(1)) / plain_speed(CASES[which][0])
        for name, which in NAMES.items()
    }
    lines, best = (
        np.concatenate([stacked(runs, f"{what} {which}") for which in LINED], axis=1).ravel() for what in ("line", "rate")
    )
    every = stacked(runs, "speed fixed 100").ravel() / plain_speed(MAIN)
    plain_S = np.ones(len(runs.seeds()))
    return Evidence(
        samples={**{name: Sample.of(plain_S, values_S) for name, values_S in ratios.items()}, LINE: Sample.of(lines)},
        gates={INSIDE: bool((best > RATES[0]).all() and (best < RATES[-1]).all())},
        numbers={f"{name}: times as fast": mean_words(values, "", 2) for name, values in ratios.items()}
        | {"straight lines": f"{int((lines <= STRAIGHT).sum())} of {len(lines)} have R^2 above {1 - STRAIGHT:g}"}
        | {"single problems at condition 100": f"{every.min():.2f} to {every.max():.2f} times as fast"}
        | {
            f"accelerated, condition {condition:,}": f"{_accelerated(condition):.1f} times as fast as gradient descent"
            for condition in CONDITIONS
        },
        data={
            "ratios": ratios, "steps": looks(MAIN),
            "loss": {kind: first_measured(runs)[f"loss {kind}"] for kind in ("plain", "fixed")},
        },
    )  # fmt: skip


def _accelerated(condition: float) -> float:
    """E-folds per step of Polyak's heavy ball at its best over those of gradient descent at its best."""
    root = np.sqrt(condition)
    return float(np.log((root - 1) / (root + 1)) / np.log((condition - 1) / (condition + 1)))


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """How many times as fast, and beside it what acceleration gives."""
    primary, wide = verdicts["condition 100"], verdicts["condition 1,000"].interval
    grows, outlier = verdicts[GROWS].interval, verdicts[OUTLIER].interval
    return (
        "On least squares with 20 inputs at condition 100, descent on the direction of the weights alone, as BN makes it, "
        f"lowers the loss {primary.interval.in_words()} times as fast per step as plain gradient descent, each at its own best "
        f"rate (condition 1,000: {wide.in_words()}; with weights that grow, as BN's do: {grows.in_words()}), "
        + ending(primary, "the factor of 2 or more that would matter", too_small="less than the factor of 2 that would matter",
                 reversed_="so it is slower", open_="which leaves open whether it is the factor of 2 that would matter")
        + f"; where one eigenvalue is ten times the next it is {outlier.in_words()} times as fast, and accelerated gradient "
            f"descent is {_accelerated(MAIN):.0f} times."
    )  # fmt: skip


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left, the loss of one problem by steps, both at their best rates. Right, how many times as fast with BN, a point a seed."""
    figure.set_size_inches(8.6, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    for side, norm, words in (("plain", "none", "gradient descent"), ("fixed", "batch", "direction alone, as with BN")):
        loss = np.asarray(evidence.data["loss"][side], float)
        shown = loss > TO
        steps, style = np.asarray(evidence.data["steps"])[shown], "-" if side == "fixed" else "--"
        left.plot(steps, loss[shown], color=COLORS[norm], linestyle=style, label=words)
    left.set(yscale="log", xlabel="steps", ylabel="loss / loss of answering 0", title="one problem, condition 100")
    left.legend(loc="upper right")
    draw_arms_by_seed(evidence.data["ratios"], right, xlabel="times as fast as gradient descent")
    for value, words in ((1, ""), (2, "what would matter")):
        right.axvline(value, color="#555555", linestyle=(0, (4, 2)), linewidth=1)
        right.annotate(words, (value, -0.55), xytext=(-3, 0), textcoords="offset points", ha="right", fontsize=8,
                       color="#555555")  # fmt: skip


_RULE = Difference(null=1, smallest=2, scale="ratio")

CLAIM = register(Claim(
    id="length_and_direction", section="L1",
    statement="Learning length and direction apart, as batch normalisation does, makes gradient descent on least squares at "
    "least twice as fast where the condition is 100 or more.",
    source="Kohler et al. 2019; twice is docs/claims.md's, L1",
    formula="e-folds of the loss per step between losses of 1e-5 and 1e-10 (in units of answering 0), each at its own best "
    "constant rate, with BN over without; geometric mean over 6 problems of 20 inputs with log-uniform eigenvalues; population "
    "loss, float64",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 16}),
    endpoints={
        "condition 100": Endpoint("ratio of e-folds per step, with BN over without, condition 100", _RULE),
        "condition 10": Endpoint("the same at condition 10", _RULE),
        "condition 1,000": Endpoint("the same at condition 1,000", _RULE),
        GROWS: Endpoint("the same at condition 100 with weights that grow as those in front of BN do", _RULE),
        OUTLIER: Endpoint("the same at condition 100 where the second eigenvalue is a tenth of the first", _RULE),
        LINE: Endpoint("1 - R^2 of log loss on steps with BN, every problem", Exact(tolerance=STRAIGHT, min_cases=100)),
    },
    gates=(INSIDE,),
    caveats=(
        "How much BN gains depends on the eigenvalues: it drops the direction that it has found, so that a single large "
        "eigenvalue in that direction would make the gain as large as one likes, and evenly spread ones make it small.",
        "Plain gradient descent converges linearly here as well; what is compared is how fast. Straight lines are what is left "
        "when the fast directions have died out, which at condition 1,000 they need not have within the losses that are read.",
    ),
    overturn="Other eigenvalues or directions of the target",
    deviations=(
        "Six seeds at quick, to save time; every verdict was the same with eight.",
        "The weights are put back to length 1 after every step: as they grow, the rate becomes small for them, and gradient "
        "descent with BN was slower than without in some problems of seed 1000; with weights that grow it is an endpoint of its "
        "own.",
        "The endpoint with one large eigenvalue was added after the others had been seen, and declared before it was run.",
        "Constant rates, the best for each problem, in the place of the paper's adaptive step; least squares alone, neither "
        "half-spaces nor the Hessian across layers.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
