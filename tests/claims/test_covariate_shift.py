"""Claims A4 and L4: the analysis tells made-up worlds apart, and what has to hold first is seen to fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims.covariate_shift import CLAIM, ENDED, HURTS, KINDS, MATCHED, READABLE, analyse, draw, measure
from bnexp.claims.judge import judge

SIZES, PRIORS = [1, 4, 16, 64, 512], [0, 16, 64, 256]


class World:
    """Eight seeds; accuracies as shares.

    Args:
        loss: what a shift costs each norm's net with training statistics.
        recovered: what recomputed statistics give back on shifted pictures, and cost on clean ones.
        sd: of the seeds.
        clean: accuracy on black digits, for norms that differ from 0.95.
        coloured: accuracy of the plain net that was trained on coloured digits.
        diverged: an arm whose first seed diverged.
    """

    def __init__(
        self, loss: dict[str, float], *, recovered=(0.1, 0.0), sd=0.003, clean=None, coloured=0.94, diverged=None
    ) -> None:
        self.loss, self.recovered, self.sd, self.coloured, self.diverged = loss, recovered, sd, coloured, diverged
        self.clean = clean or {}

    def reported(self, arm: str, regime: str = "own", grid: int = 0) -> dict[int, SimpleNamespace]:
        assert regime == "own"
        norm = arm.removeprefix("norm=")
        if grid == 1:
            return {seed: record(test={"accuracy": self.coloured}) for seed in range(8)}
        return {seed: self._record(norm, seed, grid) for seed in range(8)}

    def _record(self, norm: str, seed: int, grid: int) -> SimpleNamespace:
        if (norm, seed) == (self.diverged, 0):
            return record(status="diverged", shift={}, test=None)
        rng = np.random.default_rng([seed, sum(norm.encode()), grid])
        accuracy = {}
        for kind in KINDS:
            training = self.clean.get(norm, 0.95) - (kind != "clean") * (self.loss[norm] + self.sd * rng.normal())
            gain = -self.recovered[1] if kind == "clean" else self.recovered[0]
            recomputed = [[training + gain * np.log(size) / np.log(512) for size in SIZES] for _ in PRIORS]
            tracked = {"recomputed": recomputed, "one_class": training - 0.4} if norm == "batch" else {}
            accuracy[kind] = {"training": training, "recomputed": None, "one_class": None, **tracked}
        return record(shift={"sizes": SIZES, "priors": PRIORS, "accuracy": accuracy})

    def measured(self, seed: int) -> dict[str, np.ndarray]:  # noqa: ARG002 - as Runs has it
        return {kind: np.zeros((4, 3, 6, 6), np.uint8) for kind in KINDS}

    def seeds(self) -> tuple[int, ...]:
        return (0,)


def record(*, status="finished", shift=None, test=None) -> SimpleNamespace:
    return SimpleNamespace(status=status, end={"probes": {"shift": shift}, "test": test})


def verdicts(world: World):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence, np.random.default_rng(0))


FRAGILE = {"none": 0.2, "batch": 0.4, "layer": 0.2, "group": 0.2}
ROBUST = {"none": 0.4, "batch": 0.2, "layer": 0.4, "group": 0.4}
EQUAL = {"none": 0.3, "batch": 0.3, "layer": 0.3, "group": 0.3}


@pytest.mark.parametrize(
    ("world", "outcome", "word"),
    [
        (World(ROBUST), "SUPPORTED", "as claimed"),
        (World(FRAGILE), "CONTRADICTED", "reversed"),
        (World(EQUAL, sd=0.001), "CONTRADICTED", "too small"),
        (World({**EQUAL, "batch": 0.28}, sd=0.08), "INCONCLUSIVE", "too noisy"),
    ],
)
def test_the_analysis_tells_worlds_apart(world, outcome, word):
    _, judged = verdicts(world)
    for name in ("robust to colour", "robust to all five"):
        if outcome == "INCONCLUSIVE" and name != "robust to colour":
            continue  # the mean of five is five times less noisy
        assert (judged[name].outcome, judged[name].word) == (outcome, word)


def test_the_effect_is_in_points_of_accuracy():
    _, judged = verdicts(World(ROBUST))
    assert judged["robust to colour"].effect.estimate == pytest.approx(20, abs=0.5)
    assert judged["colour hurts"].effect.estimate == pytest.approx(40, abs=0.5)
    assert judged["recovery, noise"].effect.estimate == pytest.approx(10, abs=0.5)
    assert judged["one class at a time"].effect.estimate == pytest.approx(-40 - 10 * np.log(64) / np.log(512), abs=0.5)


def test_secondary_endpoints_follow_what_recomputing_does():
    helped = verdicts(World(FRAGILE, recovered=(0.3, 0.0)))[1]
    assert helped["recovery, all five"].outcome == helped["recovery, inversion"].outcome == "SUPPORTED"
    assert helped["recomputed BN above group norm"].outcome == helped["group norm above BN"].outcome == "SUPPORTED"
    assert helped["clean cost"].outcome == helped["one class at a time"].outcome == "SUPPORTED"
    useless = verdicts(World(ROBUST, recovered=(0.0, 0.02)))[1]
    assert useless["recovery, all five"].outcome == "CONTRADICTED"
    assert useless["group norm above BN"].word == "reversed"
    assert useless["clean cost"].outcome == "CONTRADICTED"


@pytest.mark.parametrize(
    ("world", "gate"),
    [
        (World({**EQUAL, "none": 0.01}), HURTS),
        (World(ROBUST, clean={"batch": 0.98}), MATCHED),
        (World(ROBUST, coloured=0.8), READABLE),
        (World(ROBUST, diverged="layer"), ENDED),
        (World(ROBUST, diverged="batch"), ENDED),
    ],
)
def test_what_has_to_hold_first_is_seen_to_fail(world, gate):
    evidence, judged = verdicts(world)
    assert tuple(evidence.gates) == CLAIM.gates
    assert not evidence.gates[gate]
    assert judged["robust to colour"].word == "gate failed"


def test_the_figure_shows_every_kind_and_every_prior():
    figure = Figure()
    draw(verdicts(World(ROBUST))[0], figure)
    left, right = figure.axes
    assert len(left.child_axes) == len(KINDS)
    assert len(left.lines) == 5 + 1  # arms, and the rule beside the clean digits
    assert len(right.lines) == len(PRIORS) + 2


def test_the_pictures_are_those_the_nets_are_shown():
    pictures = measure(0, "quick")
    assert tuple(pictures) == KINDS
    assert {x.shape for x in pictures.values()} == {(4, 3, 28, 28)}
    assert (pictures["inversion"] == 255 - pictures["clean"]).all()
    assert not (pictures["colour"][:, :1] == pictures["colour"]).all()
