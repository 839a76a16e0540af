"""Claims about residual nets and transformers (G2, O2.7): a verdict for each world, a sentence that says no more, a figure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from bnexp.claims import CLAIMS, dyt, skip_init
from bnexp.claims.runs import FINISHED, INSIDE
from bnexp.records.curves import Curve
from bnexp.stats.sample import Side


class Made:
    """Records of eight seeds whose test accuracy in points is ``points[arm]``, or ``points[arm, grid]``, at a claim's grids."""

    def __init__(self, claim, points, *, sd=0.2, inside=True, budget="quick"):
        self.claim, self.points, self.sd, self.inside, self.budget = claim, points, sd, inside, budget

    def arms(self, grid=0):
        return tuple(self.claim.grids[grid].arms) if self.budget in self.claim.grids[grid].budgets else ()

    def reported(self, arm, grid):
        assert arm in self.arms(grid)
        rng = np.random.default_rng([len(arm), grid])
        points = self.points.get((arm, grid), self.points.get(arm))
        return [_record(points + self.sd * rng.normal()) for _ in range(8)]

    def side(self, read, arm, regime, grid):
        assert regime == "own"
        return Side((tuple(map(read, self.reported(arm, grid))),))

    def chosen(self, arm, regime, grid):
        assert (regime, arm in self.arms(grid)) == ("own", True)
        return (0.1,)

    def tuning_gate(self):
        return {INSIDE: self.inside}

    def finished_gate(self):
        return {FINISHED: True}


def _record(points):
    curve = Curve((0, 50, 100), (2.3, 0.5, 0.4), (0.0, 1.0, 2.0))
    test = {"accuracy": points / 100, "recomputed_accuracy": points / 100}
    return SimpleNamespace(end={"test": test}, status="finished", curve=lambda _: curve)


def test_both_are_claims():
    assert (CLAIMS["skip_init"], CLAIMS["dyt"]) == (skip_init.CLAIM, dyt.CLAIM)


# G2: SkipInit

PLAIN = skip_init.CLAIM.grids[2].arms


def deep(skip=92.0, bn=92.0, fixup=92.0, plain=10.0, **more):
    points = {"BN": bn, "SkipInit": skip, "Fixup": fixup, **dict.fromkeys(PLAIN, plain)}
    return Made(skip_init.CLAIM, points, **more)


@pytest.mark.parametrize(
    ("skip", "sd", "outcome", "words"),
    [
        (92.1, 0.2, "SUPPORTED", "the same within 1 point"),
        (88.0, 0.2, "CONTRADICTED", "a difference beyond 1 point"),
        (92.0, 3.0, "INCONCLUSIVE", "which leaves open whether they are the same"),
    ],
)
def test_skip_init_does_as_well_as_bn_or_not_or_nobody_knows(told, skip, sd, outcome, words):
    verdicts, sentence = told(skip_init, deep(skip, sd=sd))
    assert verdicts["SkipInit, 64 blocks"].outcome == outcome
    assert words in sentence


def test_nothing_follows_where_nets_without_a_scalar_train_as_well(told):
    verdicts, sentence = told(skip_init, deep(plain=85.0))
    assert {verdict.word for verdict in verdicts.values()} == {"gate failed"}
    assert "nothing follows" in sentence


def test_nets_without_a_scalar_count_at_the_best_of_their_rates_and_diverged_ones_as_zero():
    runs = deep()
    runs.points[next(iter(PLAIN))] = 0.0
    runs.points[list(PLAIN)[1]] = 50.0
    evidence = skip_init.analyse(runs, np.random.default_rng(0))
    assert evidence.data["accuracy"][64]["no scalar"].mean() == pytest.approx(50, abs=0.3)


def test_at_full_the_tuned_runs_are_judged(told):
    verdicts, _ = told(skip_init, deep(budget="full"))
    assert verdicts["SkipInit, 16 blocks"].outcome == "SUPPORTED"
    verdicts, _ = told(skip_init, deep(budget="full", inside=False))
    assert {verdict.word for verdict in verdicts.values()} == {"gate failed"}


def test_each_arm_is_what_its_label_says_and_has_its_rate():
    quick, tuned, plain = skip_init.CLAIM.grids[:3]
    assert quick.arms["SkipInit"].format(control="norm=none") == "norm=none model.branch_scale=0 optimizer.lr=0.1"
    assert tuned.arms["Fixup"].endswith("branch_scale=fixup")
    assert all("branch_scale" not in words for words in plain.arms.values())
    assert set(skip_init.CLAIM.endpoints) == {f"{arm}, {depth} blocks" for arm in ("SkipInit", "Fixup") for depth in (64, 16)}


# O2.7: DyT

CNN = {("DyT", 2): 93.0, "DyT, alpha 2": 95.0, "BN": 96.0}


@pytest.mark.parametrize(
    ("tanh", "sd", "outcome", "words"),
    [
        (92.1, 0.2, "SUPPORTED", "the same within 0.5 points"),
        (90.0, 0.2, "CONTRADICTED", "a difference beyond 0.5 points"),
        (92.0, 2.0, "INCONCLUSIVE", "which leaves open whether"),
    ],
)
def test_dyt_does_as_well_as_layer_norm_or_not_or_nobody_knows(told, tanh, sd, outcome, words):
    verdicts, sentence = told(dyt, Made(dyt.CLAIM, {("DyT", 0): tanh, "layer norm": 92.0, **CNN}, sd=sd))
    assert verdicts["transformer"].outcome == outcome
    assert words in sentence


@pytest.mark.parametrize(
    ("cnn", "outcome", "words"), [(93.0, "SUPPORTED", "points more than DyT"), (98.0, "CONTRADICTED", "points less than DyT")]
)
def test_dyt_is_behind_bn_in_a_convolutional_net_or_it_is_not(told, cnn, outcome, words):
    verdicts, sentence = told(dyt, Made(dyt.CLAIM, {**CNN, ("DyT", 0): 92.0, "layer norm": 92.0, ("DyT", 2): cnn}))
    assert verdicts["convolutional net"].outcome == outcome
    assert words in sentence
