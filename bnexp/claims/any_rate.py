"""O2.5. Cai, Li & Shen 2019: on least squares gradient descent with BN converges at any learning rate of the weights.

A rate that is too large throws the weights far out in one step, and then they are so long that the rate is small for them.

Legend: R cases, Q rates, T steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.least_squares import Normalised, Problems, plain_excess, problems
from bnexp.claims.runs import all_measured
from bnexp.claims.words import open_whether
from bnexp.figures.arms import draw_panels
from bnexp.stats.rules import Exact

#: In units of 2 / (largest eigenvalue), above which plain gradient descent diverges: twelve decades, 1 itself left out.
RATES = 10.0 ** np.arange(-5.75, 6, 0.5)
CONDITIONS = (10.0, 100.0, 1000.0)
SCALE_RATES = (0.1, 1.0)
#: Of the scale a: outside of what the theorem allows, as a check that the measurement can see divergence.
TOO_LARGE = 2.5
NUM_INPUTS = 10
NUM_PROBLEMS = {"smoke": 1, "quick": 5, "full": 50}

#: What the loss has to fall to, in units of that of answering 0, and how long it may take, counted in (lumped) steps.
ARRIVED, MOST = 1e-6, {"smoke": 5000, "quick": 400_000, "full": 400_000}
CHECKED = "a rate of the scale outside of the theorem's, 2.5, does diverge"


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """The loss that is left and the steps that it took, for each case: with BN, ``[R]``, and without, ``[R / 2]``."""
    made = [problems(seed, condition, NUM_PROBLEMS[budget], NUM_INPUTS) for condition in CONDITIONS]
    every = Problems(*(np.concatenate([getattr(one, name) for one in made]) for name in ("h", "u", "w")))
    condition = np.repeat(CONDITIONS, NUM_PROBLEMS[budget])
    row, rate = (grid.ravel() for grid in np.meshgrid(np.arange(len(condition)), RATES, indexing="ij"))
    found: dict[str, np.ndarray] = {"condition": condition[row], "rate": rate}
    for scale_rate in (*SCALE_RATES, TOO_LARGE):
        left, steps = _with_bn(every.take(row), 2 * rate, scale_rate, MOST[budget] if scale_rate != TOO_LARGE else 2000)
        found |= {f"left {scale_rate:g}": left, f"steps {scale_rate:g}": steps}
    steps_T = np.unique(np.round(np.geomspace(1, 1e12, 481)))
    excess_RT = plain_excess(every.take(row), 2 * rate, steps_T)
    arrived = excess_RT <= ARRIVED
    return found | {
        "left plain": excess_RT[:, -1],
        "steps plain": np.where(arrived.any(1) & (excess_RT[:, -1] <= ARRIVED), steps_T[arrived.argmax(1)], np.inf),
    }


def _with_bn(these: Problems, rate: np.ndarray, scale_rate: float, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The loss that is left at the end, and the steps until it is at most ``ARRIVED`` (inf where it never is). ``[R]`` each."""
    descent = Normalised(these, rate, np.full(len(rate), scale_rate), lumped=True)
    left, steps, rows = np.full(len(rate), np.inf), np.full(len(rate), np.inf), np.arange(len(rate))
    with np.errstate(over="ignore", invalid="ignore"):
        for count in range(1, most + 1):
            descent.step()
            if count % 20 and count != most:
                continue
            now = np.nan_to_num(descent.excess(), nan=np.inf)
            done = now <= ARRIVED
            left[rows], steps[rows[done]] = now, descent.steps[done]
            if done.any():
                descent.keep(~done)
                rows = rows[~done]
            if not len(rows):
                break
    return left, steps


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Which cases converge."""
    every = all_measured(runs)
    above = every["rate"] > 1
    plain = every["left plain"] <= ARRIVED
    with_bn = np.concatenate([every[f"left {scale_rate:g}"] for scale_rate in SCALE_RATES])
    diverged = every[f"left {TOO_LARGE:g}"] > ARRIVED
    return Evidence(
        samples={
            "with BN": Sample.of(np.minimum(with_bn, 1e300)),
            "without, above the limit": Sample.of(plain[above]),
            "without, below the limit": Sample.of(~plain[~above]),
        },
        gates={CHECKED: bool(diverged.all())},
        numbers={
            "rates": f"{len(RATES)} over twelve decades around 2 / (largest eigenvalue), conditions 10, 100 and 1,000, "
            f"{len(every['rate']) // len(RATES)} problems, rates of the scale 0.1 and 1",
            "with BN": f"{_share(with_bn <= ARRIVED)} of {len(with_bn):,} cases converge",
            "without": f"{_share(plain[above])} above the limit, {_share(plain[~above])} below it",
            "steps with BN, least and most by rate": " to ".join(
                _steps_words(float(value)) for value in (_by_rate(every, "steps 1", np.median)[[_best(every), -1]])
            ),
        },
        data={
            "share": (float((with_bn <= ARRIVED).mean()), float(plain[above].mean())),
            "steps": {
                f"condition {condition:,.0f}": {
                    name: np.array([
                        every[f"steps {name}"][np.isclose(every["rate"], rate, rtol=0.01) & (every["condition"] == condition)]
                        for rate in RATES
                    ]).T
                    for name in ("1", "plain")
                }
                for condition in CONDITIONS
            },
        },
    )  # fmt: skip


def _share(values: np.ndarray) -> str:
    return f"{100 * values.mean():.4g} %"


def _by_rate(every: Mapping[str, np.ndarray], name: str, of: object) -> np.ndarray:
    assert callable(of)
    return np.array([of(every[name][np.isclose(every["rate"], rate, rtol=0.01)]) for rate in RATES])


def _best(every: Mapping[str, np.ndarray]) -> int:
    return int(_by_rate(every, "steps 1", np.median).argmin())


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Both shares, and what a bad rate costs."""
    primary = verdicts["with BN"]
    if primary.outcome == "INCONCLUSIVE":
        return open_whether("any rate converges with BN", primary)
    with_bn, plain = (f"{100 * share:.4g} %" for share in evidence.data["share"])
    steps = evidence.data["steps"]["condition 100"]["1"]
    middle = np.median(steps, axis=0)
    return (
        f"On least squares, gradient descent with BN converges in {with_bn} of the cases at learning rates over twelve decades, "
        f"and without it in {plain} of those above 2 / (largest eigenvalue); but not equally fast: at condition 100 with BN the "
        f"median goes from {_steps_words(middle.min())} steps to {_steps_words(middle.max())}."
    )


def _steps_words(steps: float) -> str:
    """Steps to two digits or so, e.g. ``360`` or ``280 million``."""
    return (
        f"{steps:,.0f}"
        if steps < 1e5
        else f"{steps / 1e6:,.2g} million"
        if steps < 1e8
        else f"{round(steps / 1e6, -1):,.0f} million"
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Steps until the loss is a millionth of that of answering 0, by learning rate, with BN and without: median over the
    problems, band from the fastest to the slowest. Where a line ends it never gets there.
    """
    figure.set_size_inches(8.6, 3.7)
    arms = {"with BN": "1", "without BN": "plain"}
    panels = {
        title: (RATES, {label: np.where(np.isfinite(steps[arm]), steps[arm], np.nan) for label, arm in arms.items()})
        for title, steps in evidence.data["steps"].items()
    }
    xlabel = "learning rate / (2 / largest eigenvalue)"
    for axes in draw_panels(figure, panels, xlabel=xlabel, ylabel="steps to a millionth of the loss"):
        axes.axvline(1, color="#555555", linestyle=(0, (4, 2)), linewidth=1)
        axes.set(xscale="log", yscale="log")
    figure.axes[0].annotate("limit without BN", (1.3, 0.95), xycoords=("data", "axes fraction"), fontsize=8, color="#555555",
                            va="top")  # fmt: skip


CLAIM = register(Claim(
    id="any_rate", section="O2.5",
    statement="On least squares gradient descent with batch normalisation converges at every learning rate of the weights.",
    source="Cai, Li & Shen 2019; Kohler et al. 2019",
    formula="loss at the end over the loss of answering 0, at most 1e-6, for 24 rates over twelve decades around 2 / (largest "
    "eigenvalue), condition 10, 100 and 1,000, rates 0.1 and 1 of the scale; population loss, float64",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 1, "full": 1}),
    endpoints={
        "with BN": Endpoint("loss that is left with BN, every case", Exact(tolerance=ARRIVED)),
        "without, above the limit": Endpoint("1 where plain gradient descent converges at a rate above the limit",
                                             Exact(0.0, 50)),
        "without, below the limit": Endpoint("1 where it does not at a rate below the limit", Exact(0.0, 50)),
    },
    gates=(CHECKED,),
    caveats=(
        "Convergence is not speed: far from the best rate it takes about as many times more steps as the rate is off (the "
        "figure).",
        "One linear neuron whose statistics are those of the population; with mini-batches, or with nonlinearities, nothing of "
        "this is proved.",
    ),
    overturn="a rate of the weights, with a rate of the scale in (0, 1], at which the loss stays above 1e-6",
    deviations=(
        "Where a step moves the weights by less than a fifth of the largest stable one, many are taken at once (as one long step "
        "with the length that the many have); at a rate of 1e-5 the loss would otherwise need a hundred million steps.",
        "Plain gradient descent is computed in closed form, after 1e12 steps.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
