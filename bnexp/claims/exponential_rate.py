"""I4. Li & Arora 2019: with BN, SGD with weight decay is, as a function, SGD without it whose learning rate grows exponentially.

Weights in front of a norm may be multiplied by anything: only their gradient changes, by the inverse. So the shrinking by
(1 - lr lambda) in each step can be undone in the weights and put into the rate, which has to be lr (1 - lr lambda)^-(2t + 1) in
step t = 0, 1, ... With momentum b the place of 1 - lr lambda is taken by the larger root a of x^2 - (1 + b - lr lambda) x + b,
and the velocity starts at -(1 - a) / (a lr) times the weights (derived as in the paper, for torch's momentum).

Legend: T steps, N pairs of nets, L hidden layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.exact import largest
from bnexp.claims.runs import stacked
from bnexp.claims.sphere import Nets, Training, digits, trained
from bnexp.claims.words import open_whether
from bnexp.figures.style import SERIES
from bnexp.stats.intervals import number_words
from bnexp.stats.rules import Exact

NUM_STEPS = {"smoke": 60, "quick": 200, "full": 200}
WIDTH = {"smoke": 8, "quick": 32, "full": 128}
NUM_WATCHED = 100

RELU, SIGMOID, MOMENTUM = "ReLU", "sigmoid", "momentum 0.9"
EPS, WITHOUT, FIXED = "eps 1e-5", "without BN", "a rate that stays"
_DECAYED = Training(lr=0.5, decay=0.05)


def growing(decayed: Training) -> Training:
    """The training without weight decay that is the same as a function, if BN makes the weights scale-invariant."""
    shrinks = 1 + decayed.momentum - decayed.lr * decayed.decay
    root = (shrinks + math.sqrt(shrinks**2 - 4 * decayed.momentum)) / 2  # without momentum: 1 - lr lambda
    return replace(
        decayed,
        decay=0.0,
        lr=decayed.lr / root,
        growth=root**-2,
        kick=-(1 - root) / (root * decayed.lr) if decayed.momentum else 0.0,
    )


#: Each with weight decay and what stands in for it.
PAIRS = {
    RELU: (_DECAYED, growing(_DECAYED)),
    SIGMOID: (replace(_DECAYED, sigmoid=True), growing(replace(_DECAYED, sigmoid=True))),
    MOMENTUM: (replace(_DECAYED, lr=0.02, momentum=0.9), growing(replace(_DECAYED, lr=0.02, momentum=0.9))),
    EPS: (replace(_DECAYED, eps=1e-5), growing(replace(_DECAYED, eps=1e-5))),
    WITHOUT: (replace(_DECAYED, lr=0.05, norm=False), growing(replace(_DECAYED, lr=0.05, norm=False))),
    FIXED: (_DECAYED, replace(_DECAYED, decay=0.0)),
}
EQUAL, CONTROLS = (RELU, SIGMOID, MOMENTUM), (WITHOUT, FIXED)
TOLERANCE = 1e-6
NOTICED = "without BN, and with a rate that stays, outputs differ by more than 1 %"


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """Difference of the logits of test digits after each step, largest over largest logit, ``[T, N]``; rates and lengths."""
    data = digits()
    nets = Nets([training for pair in PAIRS.values() for training in pair], seed, width=WIDTH[budget])
    differences, lengths = [], []
    for _ in trained(nets, data, seed, NUM_STEPS[budget]):
        logits = nets.logits(data.test_x[:NUM_WATCHED]).flatten(1)
        first, second = logits[0::2], logits[1::2]
        differences.append(((first - second).abs().amax(1) / first.abs().amax(1)).numpy())
        lengths.append(nets.lengths()[:2, 0])
    return {
        "differences": np.nan_to_num(np.array(differences), nan=np.inf, posinf=np.inf),
        "lengths": np.array(lengths, np.float32),
        "accuracy": nets.accuracy(data),
    }


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The largest difference of outputs in every step, pair by pair."""
    differences_STN = stacked(runs, "differences")
    by_pair = dict(zip(PAIRS, np.concatenate(differences_STN).T, strict=True))
    steps = np.arange(1, differences_STN.shape[1] + 1)
    grown = PAIRS[RELU][1].growth ** (len(steps) - 1) / (PAIRS[RELU][1].lr ** -1 * _DECAYED.lr)
    accuracy = stacked(runs, "accuracy").mean(axis=0).reshape(-1, 2)
    return Evidence(
        samples={
            "the same function": Sample.of(np.concatenate([by_pair[RELU], by_pair[SIGMOID]])),
            MOMENTUM: Sample.of(by_pair[MOMENTUM]),
            EPS: Sample.of(by_pair[EPS]),
        },
        gates={NOTICED: all(by_pair[name].max() > 0.01 for name in CONTROLS)},
        numbers={
            "growth of the rate": f"{number_words(grown)} times over {len(steps)} steps, {PAIRS[RELU][1].growth - 1:.1%} a step",
            "length of the first layer's weights at the end": " and ".join(
                number_words(float(stacked(runs, "lengths")[:, -1, side].mean())) + words
                for side, words in ((0, " with weight decay"), (1, " with the growing rate"))
            ),
            **{f"largest relative difference of outputs, {name}": f"{values.max():.1e}" for name, values in by_pair.items()},
            **{
                f"test accuracy, {name}": f"{with_decay:.1f} % with weight decay, {without:.1f} % in its place"
                for name, (with_decay, without) in zip(PAIRS, accuracy, strict=True)
            },
        },
        data={
            "steps": steps,
            "growth": grown,
            "largest": {name: differences_STN[..., place].max(axis=0) for place, name in enumerate(PAIRS)},
            "accuracy": dict(zip(PAIRS, accuracy.tolist(), strict=True)),
        },
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Whether it is one function, and where it is not."""
    primary, momentum, eps = (verdicts[name] for name in ("the same function", MOMENTUM, EPS))
    if primary.outcome == "INCONCLUSIVE":
        return open_whether("a growing rate replaces weight decay", primary)
    found = number_words(largest(evidence.samples["the same function"]))
    steps, growth = len(evidence.data["steps"]), number_words(evidence.data["growth"])
    start = (
        f"A BN net trained without weight decay, its hidden layers at a rate that grows {growth} times over {steps} steps, "
        f"{'computes' if primary.outcome == 'SUPPORTED' else 'does not compute'} the same function as the net trained with "
        f"weight decay at a rate that stays: their outputs differ by at most {found} of the largest"
    )
    also = f" (with momentum it {'holds as well' if momentum.outcome == 'SUPPORTED' else 'does not hold'})"
    but = (
        ""
        if eps.outcome == "SUPPORTED"
        else f"; with the usual eps of 1e-5 by {number_words(largest(evidence.samples[EPS]))} sooner or later, at test "
            f"accuracies of {evidence.data['accuracy'][EPS][0]:.1f} and {evidence.data['accuracy'][EPS][1]:.1f} %"
    )
    return f"{start}{also}{but}, without BN by {number_words(float(evidence.data['largest'][WITHOUT].max()))}."


def draw(evidence: Evidence, figure: Figure) -> None:
    """Above, the two rates; below, by how much the outputs of the two nets differ after each step, largest over seeds. Dotted:
    what still counts as rounding.
    """
    figure.set_size_inches(6.6, 5.4)
    upper, lower = figure.subplots(2, 1, height_ratios=(1, 1.8), sharex=True)
    steps = np.asarray(evidence.data["steps"])
    stays, grows = PAIRS[RELU]
    upper.plot(steps, np.full(len(steps), stays.lr), color="#0072B2", linewidth=1.6)
    upper.plot(steps, grows.lr * grows.growth ** (steps - 1.0), color="#D55E00", linestyle="--", linewidth=1.6)
    upper.set(yscale="log", ylabel="learning rate")
    upper.annotate("with weight decay", (0.98, 0.12), xycoords="axes fraction", ha="right", color="#0072B2")
    upper.annotate(
        "without weight decay: the same function", (0.55, 0.72), xycoords="axes fraction", ha="right", color="#D55E00"
    )
    for (color, marker, style), (name, values) in zip(SERIES, evidence.data["largest"].items(), strict=False):
        label = f"with BN, {name}" if name != WITHOUT else name
        lower.plot(steps, np.maximum(values, 1e-17), color=color, linestyle=style, marker=marker, markevery=len(steps) // 8,
                   markersize=4, linewidth=1.3, label=label)  # fmt: skip
    lower.axhline(TOLERANCE, color="#555555", linestyle=":", linewidth=1)
    lower.set(yscale="log", xlabel="training step", ylabel="difference of the outputs / largest output")
    lower.legend(fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)


CLAIM = register(Claim(
    id="exponential_rate", section="I4",
    statement="With batch normalisation, SGD with weight decay is the same function as SGD without it at an exponentially "
    "growing learning rate.",
    source="Li & Arora 2019 (An exponential learning rate schedule for deep learning)",
    formula="after each of 200 steps: largest |difference of the logits of 100 test digits| over the largest |logit|; weight "
    "decay 0.05 at rate 0.5 against rate 0.5 (1 - 0.025)^-(2t+1), both of the hidden weights alone",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 1, "quick": 3, "full": 8}),
    endpoints={
        "the same function": Endpoint("relative difference of outputs, every step, ReLU and sigmoid nets", Exact(TOLERANCE)),
        MOMENTUM: Endpoint("the same with momentum 0.9, where a larger root takes the place of 1 - lr lambda", Exact(TOLERANCE)),
        EPS: Endpoint("the same with BN's usual eps of 1e-5, which breaks scale invariance", Exact(TOLERANCE)),
    },
    gates=(NOTICED,),
    caveats=(
        "The identity is algebra and holds as long as numbers do: eps next to nothing, float64, hidden weights alone (betas and "
        "the output layer are trained alike in both nets), a few hundred steps, since training doubles rounding errors again and "
        "again and the weights themselves grow exponentially.",
        "Two nets that differ by as little as the usual eps makes part ways within some fifty steps at such a rate, as any two "
        "do; what they learn need not differ (test accuracies are among the numbers).",
        "It says that weight decay can be replaced by a rate, not that growing rates are better.",
    ),
    overturn="a step after which the outputs differ by 1e-6 of the largest",
    deviations=(
        "docs/claims.md, I4 has no momentum; here it is an endpoint of its own, with the velocity that the theorem asks for.",
        "eps = 1e-30 in the place of the usual 1e-5, whose differences are an endpoint that is expected to fail.",
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
