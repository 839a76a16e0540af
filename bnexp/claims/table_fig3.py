"""B21. Ioffe & Szegedy, the table of Fig. 3: BN at an unchanged rate, at larger ones, and the plain net at a larger one.

Legend: Q rates, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Runs, Sample, Verdicts, register
from bnexp.claims.runs import test_points
from bnexp.claims.sweeps import SIDES, SWEEPS, Swept, all_grids, all_swept, at
from bnexp.claims.words import by_outcome, ending, means_words
from bnexp.figures.arms import draw_arms_by_seed
from bnexp.stats.rules import Difference

#: The source's 5 and 30 times are, in powers of two, nearest to these.
FAST, FASTEST = 4, 32
#: Rows of the table: side, and by how much its rate exceeds the plain net's own best; None: its own best rate.
ROWS: Mapping[str, tuple[str, int | None]] = {
    "no norm": ("control", 1),
    f"no norm, rate x{FAST}": ("control", FAST),
    "BN": ("subject", 1),
    f"BN, rate x{FAST}": ("subject", FAST),
    f"BN, rate x{FASTEST}": ("subject", FASTEST),
    "BN, own best rate": ("subject", None),
}
BASE, BASE_FAST, BN, BN_FAST, BN_FASTEST, BN_OWN = ROWS

def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Steps and test accuracy of every row of the table, net by net; ratios of steps of neighbouring rows."""
    data = {}
    samples: dict[str, Sample] = {}
    numbers: dict[str, str] = {}
    nets, out_of_reach = all_swept(runs)
    for net, swept in nets.items():
        rows = _rows(swept)
        steps = {row: at(np.exp(swept.log_steps(ROWS[row][0])), index_S) for row, index_S in rows.items()}
        points = {row: at(swept.read(ROWS[row][0], test_points), index_S) for row, index_S in rows.items()}
        answers = {
            "same rate": Sample.of(steps[BN], steps[BASE]),
            "fast": Sample.of(steps[BN_FAST], steps[BN]),
            "fastest": Sample.of(steps[BN_FASTEST], steps[BN]),
            "own rates": Sample.of(steps[BN_OWN], steps[BASE]),
            "base fails": Sample.of(points[BN_FAST], points[BASE_FAST]),
            "fastest is best": Sample.of(points[BN_FASTEST], points[BASE]),
        }
        samples |= {f"{net}: {question}": sample for question, sample in answers.items()}
        units = sorted(set(swept.rates[rows[BASE]]))
        numbers |= {f"{net}: the unit, best rate without a norm": " or ".join(f"{unit:g}" for unit in units)}
        numbers |= means_words(steps, " steps", 0, of=f"{net}: steps to the levels")
        numbers |= means_words(points, of=f"{net}: test accuracy")
        data[net] = {"words": swept.sweep.words, "steps": steps, "points": points}
    return Evidence(samples=samples, out_of_reach=out_of_reach, numbers=numbers, data=data)


def _rows(swept: Swept) -> dict[str, np.ndarray]:
    """For each seed the index of each row's rate; the unit and BN's own rate are chosen on the other seeds, by validation."""
    best = {side: swept.best(side) for side in SIDES}
    octave = float(np.log2(swept.rates[1] / swept.rates[0]))
    return {
        row: best[side] if times is None else best["control"] + round(np.log2(times) / octave)
        for row, (side, times) in ROWS.items()
    }


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The table's ratios, the fair one, and what becomes of the plain net at four times its rate."""
    found = {question: verdicts[f"ReLU: {question}"] for question in _QUESTIONS}
    effect = {question: one.effect.in_words() for question, one in found.items() if one.effect}
    end = ending(found["same rate"], "so that it is faster at an unchanged rate",
                 too_small="less than the 1.5 times that would matter", reversed_="so that it is slower at an unchanged rate",
                 open_="which leaves open whether that is 1.5 times or more")  # fmt: skip
    fails = by_outcome(found["base fails"], f"where the plain net ends {effect['base fails']} points below it",
                       "where the plain net does about as well", "and whether the plain net fails there is open")  # fmt: skip
    steps = {row: f"{np.exp(np.log(values).mean()):.0f}" for row, values in evidence.data["ReLU"]["steps"].items()}
    return (
        f"At the plain net's own best rate BN divides the {steps[BASE]} steps of {evidence.data['ReLU']['words']} by "
        f"{effect['same rate']}, {end}; BN then needs {steps[BN_FAST]} steps at {FAST} times that rate, {fails}, and "
        f"{steps[BN_FASTEST]} at {FASTEST} times; each at its own best rate the ratio is {effect['own rates']}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left: steps to the levels of validation error, geometric mean over the levels, a row of the table each, one point a seed and
    their mean as a bar. Right: test accuracy.
    """
    one = evidence.data["ReLU"]
    figure.set_size_inches(9.4, 3.4)
    left, right = figure.subplots(1, 2, sharey=True)
    draw_arms_by_seed(one["steps"], left, xlabel="steps to the levels (a run that does not\narrive counts as the last step)")
    draw_arms_by_seed(one["points"], right, xlabel="test accuracy, %")
    left.set_title(one["words"])


_RATIO = Difference(null=1, smallest=1.5, scale="ratio")
_QUESTIONS = {
    "same rate": ("", _RATIO, "geometric-mean T_none / T_BN, both at the plain net's best rate"),
    "fast": ("", _RATIO, f"T_BN / T_BN at {FAST} times that rate"),
    "fastest": ("", _RATIO, f"T_BN / T_BN at {FASTEST} times that rate"),
    "own rates": ("", Difference(null=1, smallest=1.2, scale="ratio"), "T_none / T_BN, each at its own best rate: the fair ratio"),
    "base fails": ("points", Difference(null=0, smallest=5), f"test accuracy, BN minus the plain net, both at {FAST} times"),
    "fastest is best": ("points", Difference(null=0, smallest=0.5), f"test accuracy, BN at {FASTEST} times minus the plain net"),
}

CLAIM = register(Claim(
    id="table_fig3", section="B21",
    statement="At an unchanged learning rate batch normalisation needs fewer steps, at larger rates fewer still, at which the "
    "plain net fails.",
    source="Ioffe & Szegedy 2015, Fig. 3: 31.0M steps without BN, 13.3M with it, 2.1M at 5 times the rate, 2.7M at 30 times",
    disputed_by="Bjorck et al. 2018: at an unchanged small rate BN gains no accuracy (only_the_rate)",
    formula="T_none / T_BN for eight ReLU layers, both at the rate that is best for the plain nets of all other seeds; T the "
    "geometric mean of steps to ten levels of validation error (quick .4 to .1), at most the last step",
    control="norm=none", subject="norm=batch",
    grids=all_grids(),
    endpoints={
        f"{net}: {question}": Endpoint(f"{sweep.words}: {estimand}", rule, unit=unit)
        for question, (unit, rule, estimand) in _QUESTIONS.items() for net, sweep in SWEEPS.items()
    },
    caveats=(
        "The unit is the plain net's best rate, so that a larger one hurts it by definition; the ratio at own rates is fair.",
        "A rate beyond the list counts as the largest one on it.",
        "The source's row BN-x5 changes six other things too: dropout, L2, decay, local normalisation, shuffling, distortion.",
    ),
    overturn="Another net: bnexp reproduce table_fig3 model.depth=4",
    deviations=(
        f"{FAST} and {FASTEST} times in the place of 5 and 30; small nets in the place of Inception, a family of levels in the "
        "place of the baseline's best accuracy.",
        "The rows with sigmoids are claim deep_sigmoid's matter.",
        "The unit is chosen for each seed on the other seeds, in runs shared with higher_rates.",
        "Made cheaper at quick after its first records: evaluations at most 15 % of a step number apart instead of 5.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
