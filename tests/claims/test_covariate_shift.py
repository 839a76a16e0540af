"""Claims A4 and L4: the analysis tells made-up worlds apart, and what has to hold first is seen to fail."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims.covariate_shift import (
    ARMS,
    CLAIM,
    HURTS,
    KINDS,
    MATCHED,
    READABLE,
    RECOMPUTED,
    analyse,
    draw,
    measure,
    say,
)
from bnexp.claims.judge import judge
from bnexp.claims.runs import FINISHED, INSIDE
from bnexp.stats.sample import Side

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

SIZES, PRIORS = [1, 4, 16, 64, 512], [0, 16, 64, 256]


class World:
    """Eight seeds; accuracies as shares.

    Args:
        loss: what a shift costs each arm's net with training statistics; ``(arm, kind)`` where one kind differs.
        recovered: what recomputed statistics give back on shifted pictures, and cost on clean ones.
        sd: of the seeds.
        clean: accuracy on black digits, for arms that differ from 0.95.
        coloured: accuracy of the plain net that was trained on coloured digits.
        diverged: an arm whose first seed diverged.
        tracks: whether the subject keeps statistics that can be recomputed.
    """

    budget = "quick"

    def __init__(
        self, loss, *, recovered=(0.1, 0.0), sd=0.003, clean=None, coloured=0.94, diverged=None, tracks=True
    ) -> None:
        self.loss, self.recovered, self.sd, self.coloured, self.diverged = loss, recovered, sd, coloured, diverged
        self.clean, self.tracks = clean or {}, tracks

    def reported(self, arm: str, regime: str = "own", grid: int = 0) -> list[SimpleNamespace]:
        assert regime == "own"
        if grid == 1:
            return [record(test={"accuracy": self.coloured})] * 8
        return [self._record(arm, seed) for seed in range(8)]

    def side(self, read, arm: str, regime: str = "own", grid: int = 0) -> Side:
        return Side((tuple(map(read, self.reported(arm, regime, grid))),))

    def _record(self, arm: str, seed: int) -> SimpleNamespace:
        if (arm, seed) == (self.diverged, 0):
            return record(status="diverged", shift={}, test=None)
        rng = np.random.default_rng([seed, sum(arm.encode())])
        accuracy = {}
        for kind in KINDS:
            loss = self.loss.get((arm, kind), self.loss[arm]) + self.sd * rng.normal()
            training = self.clean.get(arm, 0.95) - (kind != "clean") * loss
            gain = -self.recovered[1] if kind == "clean" else self.recovered[0]
            recomputed = [[training + gain * np.log(size) / np.log(512) for size in SIZES] for _ in PRIORS]
            tracked = {"recomputed": recomputed, "one_class": training - 0.4}
            known = tracked if arm == "subject" and self.tracks else {}
            accuracy[kind] = {"training": training, "recomputed": None, "one_class": None, **known}
        return record(shift={"sizes": SIZES, "priors": PRIORS, "accuracy": accuracy})

    def tuning_gate(self) -> dict[str, bool]:
        return {INSIDE: True}

    def finished_gate(self) -> dict[str, bool]:
        return {FINISHED: self.diverged is None}

    def chosen(self, arm: str, regime: str = "own", grid: int = 0) -> tuple[float, ...]:  # noqa: ARG002 - as Runs has it
        return (0.3,)

    def measured(self, seed: int) -> dict[str, np.ndarray]:  # noqa: ARG002 - as Runs has it
        return {kind: np.zeros((4, 3, 6, 6), np.uint8) for kind in KINDS}

    def seeds(self) -> tuple[int, ...]:
        return (0,)


def record(*, status="finished", shift=None, test=None) -> SimpleNamespace:
    return SimpleNamespace(status=status, end={"probes": {"shift": shift}, "test": test})


def verdicts(world: World):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence)


FRAGILE = {"control": 0.2, "subject": 0.4, "layer": 0.2, "group": 0.2}
ROBUST = {"control": 0.4, "subject": 0.2, "layer": 0.4, "group": 0.4}
EQUAL = {"control": 0.3, "subject": 0.3, "layer": 0.3, "group": 0.3}


@pytest.mark.parametrize(
    ("world", "outcome", "word"),
    [
        (World(ROBUST), "SUPPORTED", "as claimed"),
        (World(FRAGILE), "CONTRADICTED", "reversed"),
        (World(EQUAL, sd=0.001), "CONTRADICTED", "too small"),
        (World({**EQUAL, "subject": 0.28}, sd=0.08), "INCONCLUSIVE", "too noisy"),
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


def test_each_sentence_is_the_verdict():
    assert "it loses 20.0 points less" in say(*verdicts(World(ROBUST, sd=0)))
    assert "it loses 20.0 points more" in say(*verdicts(World(FRAGILE, sd=0)))
    assert "it loses neither clearly less nor more" in say(*verdicts(World({**EQUAL, "subject": 0.28}, sd=0.08)))


def test_contrast_alone_does_not_carry_the_mean_over_the_others():
    judged = verdicts(World({**EQUAL, ("subject", "contrast"): 0.8}, sd=0.001))[1]
    assert judged["robust to all five"].word == "reversed"
    assert judged["robust to all but contrast"].word == "too small"


@pytest.mark.parametrize("arm", ["group", "layer"])
def test_other_norms_have_verdicts_on_colour(arm):
    judged = verdicts(World({**EQUAL, arm: 0.2}))[1]
    assert judged[f"{arm} norm, robust to colour"].outcome == "SUPPORTED"
    assert judged["robust to colour"].outcome == "CONTRADICTED"


def test_a_subject_without_statistics_leaves_the_endpoints_about_them_open():
    evidence, judged = verdicts(World(ROBUST, tracks=False))
    assert {name for name, verdict in judged.items() if verdict.word == "out of reach"} == set(RECOMPUTED)
    assert judged["robust to colour"].outcome == "SUPPORTED"
    assert "statistics of" not in say(evidence, judged)
    draw(evidence, Figure())


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
        (World({**EQUAL, "control": 0.01}), HURTS),
        (World(ROBUST, clean={"subject": 0.98}), MATCHED),
        (World(ROBUST, coloured=0.8), READABLE),
        (World(ROBUST, diverged="layer"), FINISHED),
        (World(ROBUST, diverged="subject"), FINISHED),
    ],
)
def test_what_has_to_hold_first_is_seen_to_fail(world, gate):
    evidence, judged = verdicts(world)
    assert set(evidence.gates) == set(CLAIM.gates)
    assert not evidence.gates[gate]
    assert judged["robust to colour"].word == "gate failed"


def test_the_figure_shows_every_kind_and_every_prior():
    figure = Figure()
    draw(verdicts(World(ROBUST))[0], figure)
    left, right = figure.axes
    assert len(left.child_axes) == len(KINDS)
    assert len(left.lines) == len(ARMS) + 1 + 1  # BN twice, and the rule beside the clean digits
    assert len(right.lines) == len(PRIORS) + 2


def test_the_pictures_are_those_the_nets_are_shown():
    pictures = measure(0, "quick")
    assert tuple(pictures) == KINDS
    assert {x.shape for x in pictures.values()} == {(4, 3, 28, 28)}
    assert (pictures["inversion"] == 255 - pictures["clean"]).all()
    assert not (pictures["colour"][:, :1] == pictures["colour"]).all()
