"""C4. Santurkar et al.: dividing by another norm than the standard deviation does as well, though it controls no variance."""

from __future__ import annotations

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Runs, Verdicts, register
from bnexp.claims.contrast import Arm, arms_words, contrast
from bnexp.claims.places import PLACES, PLACES_AT_QUICK
from bnexp.claims.speed import Comparison, judged
from bnexp.claims.words import ending, sooner_words
from bnexp.figures.ratios import draw_ratios
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Equivalence

NONE, BN = "none", "BN"
#: The source's order: the average norm of x as it comes, then the mean is removed.
NORMS = {"l1": "norm=lp norm.p=l1 norm.order=norm_first", "l2": "norm=lp norm.p=l2 norm.order=norm_first",
         "linf": "norm=lp norm.p=linf norm.order=norm_first"}  # fmt: skip
ARMS = {NONE: "{control}", BN: "{subject}", **NORMS}
LABELS = {BN: "BN (standard deviation)", "l1": "mean absolute value (l1)", "l2": "root mean square (l2)",
          "linf": "largest absolute value (linf)"}  # fmt: skip
NETS = ("sigmoid", "ReLU")

GAINS = 1.2
BN_GAINS = f"BN learns {GAINS:g} times sooner than no norm in both nets, so that there is something to do as well as"


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Steps with BN over those with each norm, the norms' mean first; test accuracies; times sooner than no norm for the figure."""
    comparisons, samples, ratios, gained = {}, {}, {}, []
    numbers: dict[str, str] = {}
    for grid, net in enumerate(NETS):
        one = PLACES[net]
        arms = {arm: Arm(arm, grid=grid) for arm in ARMS}
        for name in NORMS:
            comparisons[f"{net}: speed, {name}"] = Comparison(runs, one.speed, (arms[BN],), (arms[name],))
            samples[f"{net}: accuracy, {name}"] = contrast(runs, arms[name], arms[BN])
        against = {label: Comparison(runs, one.speed, (arms[NONE],), (arms[arm],)) for arm, label in LABELS.items()}
        gained.append(against[LABELS[BN]])
        ratios[one.words] = {label: pair.ratio(rng) for label, pair in against.items()}
        numbers |= sooner_words(net, ratios[one.words]) | arms_words(runs, net, arms)
    timed, unreached = judged(comparisons)
    of_bn = [pair.sample().effects("ratio") for pair in gained if not pair.too_few()]
    gains = Gate.above(np.log(GAINS), min(of_bn, key=np.mean)) if of_bn else True
    return Evidence(
        samples=timed | samples,
        out_of_reach=unreached,
        gates=runs.tuning_gate() | runs.finished_gate(0) | {BN_GAINS: gains},
        numbers=numbers,
        data={"ratios": ratios},
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """Each norm's steps beside BN's in the sigmoid net, and how many of all comparisons are within the margin."""
    primary = verdicts["sigmoid: speed, l1"]
    if primary.effect is None:
        return "With BN the sigmoid net reaches too few of the levels for any sentence about speed."
    others = ", ".join(
        f"{name} {verdict.effect.in_words()}"
        for name in NORMS
        if name != "l1" and (verdict := verdicts[f"sigmoid: speed, {name}"]).effect
    )
    end = ending(primary, "about as soon",
                 too_small="which is not as soon" if primary.effect.estimate < 1 else "which is sooner than BN",
                 open_="which leaves open whether it is as soon")  # fmt: skip
    on_relu = ", ".join(
        f"{name} {verdict.effect.in_words()}" for name in NORMS if (verdict := verdicts[f"ReLU: speed, {name}"]).effect
    )
    return (
        "Where BN divides by the average absolute value (l1) in the place of the standard deviation, the paper's sigmoid net "
        f"learns {primary.effect.in_words()} times as fast as with BN, {end}; the other norms: {others}; in a ReLU net: {on_relu}."
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """How many times sooner than without a norm each net learns, with 95 % intervals."""
    figure.set_size_inches(7.4, 3.6)
    draw_ratios(evidence.data["ratios"], figure.subplots(), xlabel="times sooner than without a norm (each at its own best rates)",
                compared_with="no norm")  # fmt: skip


_SPEED, _ACCURACY = Equivalence(margin=1.25, scale="ratio"), Equivalence(margin=0.5)

CLAIM = register(Claim(
    id="lp_norms", section="C4",
    statement="Dividing by an average l1, l2 or l-infinity norm, which controls no variance, does as well as BN.",
    source="Santurkar et al. 2018, 3.3 and appendix: VGG on CIFAR-10, all three match or beat BN",
    disputed_by="Ioffe & Szegedy 2015, 2: BN helps because it fixes mean and variance of layer inputs",
    formula="T_BN / T_l1 on the paper's sigmoid net, geometric mean over ten levels of validation error that BN reaches",
    control="norm=none", subject="norm=batch",
    grids=tuple(PLACES[net].grid(ARMS) for net in NETS),
    endpoints={
        f"{net}: speed, {name}": Endpoint(f"{PLACES[net].words}: geometric-mean T_BN / T_{name} over the levels, each at its "
                                          "own best rates", _SPEED)
        for net in NETS
        for name in NORMS
    }
    | {
        f"{net}: accuracy, {name}": Endpoint(f"{PLACES[net].words}: test accuracy after the last step, {name} minus BN, at "
                                             "those rates", _ACCURACY, "points")
        for net in NETS
        for name in NORMS
    },
    gates=(BN_GAINS,),
    caveats=(
        "All three still remove each unit's mean and divide by a number that grows with its inputs: it is variance as such that "
        "is not needed, not normalising.",
        "The gains gamma are trained in all arms and can make up for any constant factor between the norms.",
    ),
    overturn="Another order: bnexp train norm=lp norm.p=linf norm.order=mean_first",
    deviations=(
        "8 seeds, where docs/claims.md, C4 has 12; the source's linear net of 25 layers is not among the nets.",
        "Accuracy is compared at the rates that were chosen for speed.", PLACES_AT_QUICK,
    ),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
