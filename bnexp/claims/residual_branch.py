"""G1. De & Smith: at the start BN gives the branch of the l-th residual block 1 / (l + 1) of the variance, so that skips dominate.

Legend: L blocks, B examples, N units, S seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.random_nets import GAINS, SEEDS, activate, gaussian, gaussian_weights, normalize
from bnexp.claims.runs import stacked
from bnexp.claims.words import ending, estimate_words
from bnexp.figures.arms import draw_series
from bnexp.stats.rules import Equivalence, Scaling
from bnexp.stats.slopes import log_log_slopes

if TYPE_CHECKING:
    from torch import Tensor

WIDTH = {"smoke": 64, "quick": 256, "full": 512}
BATCH, NUM_BLOCKS = 64, 30
NORMS = {"BN": True, "none": False}
#: Blocks whose numbers are told, the sheet's.
TOLD = (1, 3, 10, 30)
FLAT = 0.2


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Variance of what enters the first block and leaves each, ``[L + 1]``, and of each branch, ``[L]``, with BN and without."""
    width = WIDTH[budget]
    first_LNN, second_LNN = (
        gaussian_weights(seed, f"residual_branch/{which}", NUM_BLOCKS, width) * GAINS["relu"] for which in ("first", "second")
    )
    found: dict[str, np.ndarray] = {}
    for name, norm in NORMS.items():
        h_BN = gaussian(seed, "residual_branch/x", BATCH, width)
        sums, branches = [float(h_BN.var())], []
        for first_NN, second_NN in zip(first_LNN, second_LNN, strict=True):
            branch_BN = branch(h_BN, first_NN, second_NN, norm=norm)
            h_BN = h_BN + branch_BN
            branches.append(float(branch_BN.var()))
            sums.append(float(h_BN.var()))
        found |= {f"{name}, sum": np.array(sums), f"{name}, branch": np.array(branches)}
    return found


def branch(h_BN: Tensor, first_NN: Tensor, second_NN: Tensor, *, norm: bool) -> Tensor:
    """W2 relu(norm(W1 relu(norm(h)))), as in ``model=resmlp``. Shape ``[B, N]``."""
    for weight_NN in (first_NN, second_NN):
        h_BN = activate(normalize(h_BN) if norm else h_BN, "relu") @ weight_NN
    return h_BN


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The exponent of the branch's share of the variance in l + 1, with BN and without."""
    blocks = np.arange(1, NUM_BLOCKS + 1)
    sums = {name: stacked(runs, f"{name}, sum") for name in NORMS}
    shares = {name: stacked(runs, f"{name}, branch") / sums[name][:, 1:] for name in NORMS}
    slopes = {name: log_log_slopes(blocks + 1, share_SL) for name, share_SL in shares.items()}

    def told(values_SL: np.ndarray) -> str:
        return ", ".join(f"{values_SL[:, block - 1].mean():.3g}" for block in TOLD)

    which = ", ".join(map(str, TOLD))
    return Evidence(
        samples={"with BN": Sample.of(slopes["BN"]), "without": Sample.of(slopes["none"])},
        numbers={
            **{f"branch's share of the variance at blocks {which}, {name}": told(share_SL) for name, share_SL in shares.items()},
            "theory": ", ".join(f"{1 / (block + 1):.3g}" for block in TOLD) + " with BN, .5 without",
            **{f"variance behind blocks {which}, {name}": told(sum_SL[:, 1:]) for name, sum_SL in sums.items()},
        },
        data={"shares": shares, "sums": sums},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The exponents, and what the last branch's share is."""
    primary, without = verdicts["with BN"], verdicts["without"]
    last = {name: 100 * float(np.mean(np.asarray(share_SL)[:, -1])) for name, share_SL in evidence.data["shares"].items()}
    return (
        "In random residual nets with BN in front of the layers of a branch, the branch's share of the variance falls with "
        f"the block l like the power {estimate_words(primary, digits=2)} of l + 1, "
        + ending(primary, "as theory says (-1, within .1)", too_small="which is not theory's -1",
                 open_="which does not settle theory's -1")
        + f", to {last['BN']:.1f} % at block {NUM_BLOCKS}; without BN it "
        + ending(without, f"stays near {last['none']:.0f} %",
                 too_small=f"does not stay where it is and is {last['none']:.0f} % there",
                 open_=f"is {last['none']:.0f} % there, and whether it stays so throughout is open")
        + f" (power {estimate_words(without, digits=2)})."
    )  # fmt: skip


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left: the branch's share of the variance behind its block. Right: that variance."""
    figure.set_size_inches(8.6, 3.9)
    left, right = figure.subplots(1, 2)
    labels = {"BN": "with BN", "none": "without"}
    blocks = np.arange(1, NUM_BLOCKS + 1)
    draw_series(blocks, {labels[name]: 100 * np.asarray(share_SL) for name, share_SL in evidence.data["shares"].items()}, left,
                theory={"theory 1 / (l + 1)": 100 / (blocks + 1)}, xlabel="residual block l",
                ylabel="variance of the branch / of the sum, %")  # fmt: skip
    left.set_yticks([3, 5, 10, 20, 50], ["3", "5", "10", "20", "50"])
    draw_series(blocks, {labels[name]: np.asarray(sum_SL)[:, 1:] for name, sum_SL in evidence.data["sums"].items()}, right,
                theory={"theory l + 1": blocks + 1.0}, xlabel="residual block l", ylabel="variance of the sum behind the block")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(TOLD, [str(block) for block in TOLD])
        axes.minorticks_off()
    left.set_yticks([3, 5, 10, 20, 50], ["3", "5", "10", "20", "50"])


_WHAT = f"log-log slope of the branch's share of the variance on l + 1, blocks 1 to {NUM_BLOCKS}"

CLAIM = register(Claim(
    id="residual_branch", section="G1",
    statement="At initialisation batch normalisation gives the branch of the l-th residual block about 1 / (l + 1) of the "
    "variance; without it branch and skip are equal.",
    source="De & Smith 2020",
    formula="Var(branch) / Var(skip + branch) behind the l-th block, over units and examples, of h + W2 relu(BN(W1 relu(BN(h)))) "
    "with He's weights; slope of its logarithm on log(l + 1)",
    measurement=Measurement(measure=measure, num_seeds=SEEDS),
    endpoints={
        "with BN": Endpoint(f"{_WHAT}, with BN", Scaling(predicted=-1, rival=0, within=0.1)),
        "without": Endpoint(f"{_WHAT}, without", Equivalence(margin=FLAT)),
    },
    caveats=(
        "Only BN in front of the layers of a branch (pre-activation); BN behind the sum, as in the first ResNets, does something "
        "else. Nets are only initialised.",
        "It says what BN does to branches, not that this is why it helps: that is asked with SkipInit (G2).",
    ),
    deviations=(
        "Fully connected layers written out in the place of model=resmlp, whose first layer passes on twice the variance of a "
        "branch, so that its shares are those of a net one block deeper.",
    ),
    overturn="Another placement: branch in bnexp/claims/residual_branch.py",
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
