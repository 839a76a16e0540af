"""B15. Ioffe & Szegedy, and nearly everybody since: with BN nets can be trained at much larger learning rates.

Legend: Q rates, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Runs, Sample, Verdict, Verdicts, register
from bnexp.claims.runs import test_points
from bnexp.claims.sweeps import LEARNS, SIDES, SWEEPS, Swept, all_grids, all_swept, largest, learns, num_near_best
from bnexp.claims.words import ending
from bnexp.figures.arms import draw_series
from bnexp.figures.style import SERIES, legend_above, rate_axis
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: A rate does well within so many points of the arm's best test accuracy.
WITHIN = 1.0
LABELS = {"subject": "with BN", "control": "without BN"}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Octaves between the largest rates at which each seed learns with and without BN, and between the widths of good rates."""
    samples, data = {}, {}
    numbers: dict[str, str] = {}
    nets, out_of_reach = all_swept(runs)
    for net, swept in nets.items():
        octaves = np.log2(swept.rates)
        apart = float(octaves[1] - octaves[0])
        learns_QS = {side: swept.read(side, learns) for side in SIDES}
        points_QS = {side: swept.read(side, test_points) for side in SIDES}
        top_S = {side: largest(learns_QS[side]) for side in SIDES}
        # A seed that learns at no rate counts as one below the list: in favour of neither arm, since both lists are the same.
        samples[f"{net}: largest"] = Sample.of(*(octaves[0] + apart * top_S[side] for side in ("subject", "control")))
        samples[f"{net}: width"] = Sample.of(*(apart * num_near_best(points_QS[side], WITHIN) for side in ("subject", "control")))
        numbers |= _numbers(net, swept, learns_QS, points_QS, top_S)
        data[net] = {
            "words": swept.sweep.words,
            "rates": swept.rates,
            "points": points_QS,
            "largest": {side: float(np.exp2(octaves[0] + apart * top_S[side].mean())) for side in SIDES},
        }
    return Evidence(samples=samples, out_of_reach=out_of_reach, numbers=numbers, data=data)


def _numbers(
    net: str,
    swept: Swept,
    learns_QS: Mapping[str, np.ndarray],
    points_QS: Mapping[str, np.ndarray],
    top_S: Mapping[str, np.ndarray],
) -> dict[str, str]:
    """Per net: the sheet's largest rate (7 of 8 seeds), runs at the end of the list, and how well nets do at the largest rates."""
    numbers: dict[str, str] = {}
    for side, label in LABELS.items():
        share_Q = learns_QS[side].mean(axis=1)
        most = np.flatnonzero(share_Q >= 7 / 8 - 1e-9)
        best_Q = points_QS[side].mean(axis=1)
        at_top = int((top_S[side] == len(swept.rates) - 1).sum())
        numbers |= {
            f"{net}, {label}: largest rate at which 7 of 8 seeds learn": f"{swept.rates[most.max()]:g}" if len(most) else "none",
            f"{net}, {label}: best rate": f"{swept.rates[best_Q.argmax()]:g}, with {best_Q.max():.1f} % of the test pictures read",
            f"{net}, {label}: test accuracy at each seed's largest rate": f"{_at_top(points_QS[side], top_S[side]):.1f} %",
            f"{net}, {label}: seeds that learn at the largest rate tried": f"{at_top} of {len(top_S[side])}",
        }
    return numbers


def _at_top(points_QS: np.ndarray, top_S: np.ndarray) -> float:
    return float(points_QS[np.maximum(top_S, 0), np.arange(len(top_S))].mean())


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """How many times larger a rate may be, in each net, and how much wider the range of good rates is."""
    primary = verdicts["ReLU: largest"]
    others = ", ".join(
        f"{one['words']} {_times(verdicts[f'{net}: largest'])}" for net, one in evidence.data.items() if net != "ReLU"
    )
    wider = verdicts["ReLU: width"].interval
    width = f"{abs(wider.estimate):.1f} doublings {'wider' if wider.estimate > 0 else 'narrower'}"
    width = "neither clearly wider nor narrower" if wider.covers(0) else width
    end = ending(primary, "so it can be trained at much larger rates", too_small="less than the 4 times that would matter",
                 reversed_="so it is plain nets that can be trained at larger rates",
                 open_="which leaves open whether that is 4 times or more")  # fmt: skip
    return (
        f"The largest learning rate at which {evidence.data['ReLU']['words']} still learns is {_times(primary)} as large with BN "
        f"as without ({others}), {end}; the range of rates that end within {WITHIN:g} point of the net's best test accuracy is "
        f"{width}."
    )


def _times(verdict: Verdict) -> str:
    """Octaves as a factor."""
    return verdict.interval.mapped(np.exp2).in_words(suffix=" times")


def draw(evidence: Evidence, figure: Figure) -> None:
    """Test accuracy against the learning rate, median over the seeds and band from the worst to the best; the vertical lines are
    the largest rates at which the nets still learn, geometric mean over the seeds.
    """
    figure.set_size_inches(3.3 * len(evidence.data), 3.6)
    panels = figure.subplots(1, len(evidence.data), squeeze=False)[0]
    for axes, one in zip(panels, evidence.data.values(), strict=True):
        _draw_net(one, axes)
    legend_above(figure)


def _draw_net(one: Mapping[str, Any], axes: Axes) -> None:
    rates, points, tops = one["rates"], one["points"], one["largest"]
    series = {label: points[side].T for side, label in LABELS.items()}
    draw_series(rates, series, axes, xlabel="learning rate", ylabel="test accuracy, %")
    for (side, _), (color, _, style) in zip(LABELS.items(), SERIES, strict=False):
        axes.axvline(tops[side], color=color, linestyle=style, linewidth=1)
    rate_axis(axes)
    axes.set(ylim=(0, 100), title=str(one["words"]))


_LARGEST, _WIDTH = Difference(null=0, smallest=2), Difference(null=0, smallest=1)

CLAIM = register(Claim(
    id="higher_rates", section="B15",
    statement="With batch normalisation a net can be trained at much larger learning rates.",
    source="Ioffe & Szegedy 2015, 4.2.2: Inception at .0015; five times that diverged without BN, thirty times was best with it",
    disputed_by="agreed by all; De & Smith 2020: such rates help with large batches only",
    formula="log2 of the largest rate at which a seed's run learns with BN over that without, eight ReLU layers, rates a factor "
    f"of two apart; a run learns if it ends with a training loss below {LEARNS:g} nats (guessing has 2.30)",
    control="norm=none", subject="norm=batch",
    grids=all_grids(),
    endpoints={
        f"{net}: {name}": Endpoint(f"{sweep.words}: {estimand}", rule, unit="doublings")
        for name, estimand, rule in (
            ("largest", "mean over seeds of log2 of the largest rate at which it learns, with BN minus without", _LARGEST),
            ("width", "doublings of the rate, around each seed's best, that end within "
             f"{WITHIN:g} point of the best test accuracy, with BN minus without", _WIDTH),
        )
        for net, sweep in SWEEPS.items()
    },
    caveats=(
        "A rate at which a net learns need not be a good one; the figure has the accuracy at every rate.",
        "What fails at the largest rates may be the output layer, which no arm normalises. There is no momentum.",
        "Where seeds with BN still learn at the largest rate tried (among the numbers), the factor is a lower bound.",
        "Within the steps of these runs: a rate too small for them is not called unstable, but counts as not doing well.",
    ),
    overturn="Another net or more steps: bnexp reproduce higher_rates train.steps=2000",
    deviations=(
        "Judged by seed, where docs/claims.md, B15 asks for 7 of 8 seeds, which is among the numbers.",
        "Learning is asked for, not only a finite loss below the initial one: a net whose units are all dead has that.",
        "Eight ReLU layers, not three as well.",
        "Made cheaper at quick after its first records: evaluations at most 15 % of a step number apart instead of 5.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
