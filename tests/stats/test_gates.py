"""Gates: what had to hold, over the seeds there are and over re-draws of them."""

import numpy as np
import pytest

from bnexp.stats.gates import Gate
from bnexp.stats.redraws import REDRAWS
from bnexp.stats.rules import Difference
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import stability

FAR = Sample.of([2.0, 1.9, 2.1, 2.2, 1.8, 2.0, 2.1, 1.9])


@pytest.mark.parametrize(
    ("gate", "held"),
    [
        (Gate.above(1.0, [0.0, 3.0]), True),
        (Gate.above(1.0, [0.0, 1.0]), False),
        (Gate.below(1.0, [0.0, 2.0]), True),
        (Gate((-3.0, 3.5), -1, 1), True),
        (Gate((3.0, 3.5), -1, 1), False),
        (Gate.below(0.1, [0.0, 0.0, 9.0], "median"), True),
        (Gate.below(0.1, [0.0, 9.0, 9.0], "median"), False),
        (Gate.most([True] * 7 + [False]), True),
        (Gate.most([True] * 6 + [False] * 2), False),
        (Gate.most([True] * 14 + [False] * 2), True),
        (Gate.most([True] * 6 + [False]), False),
        (Gate.above(1.0, [1.0, np.nan]), False),
    ],
)
def test_a_gate_is_true_where_it_holds(gate, held):
    assert bool(gate) is held


def test_a_gate_needs_seeds():
    with pytest.raises(ValueError, match="at least one seed"):
        Gate.most([])


def test_one_failure_in_eight_often_becomes_two(rng):
    again = Gate.most([True] * 7 + [False]).redrawn(rng)  # binomial: 1 - (7/8)^8 - 8 (1/8) (7/8)^7 of them have more
    assert len(again) == REDRAWS
    assert again.mean() == pytest.approx((7 / 8) ** 8 + (7 / 8) ** 7, abs=0.06)
    assert Gate.most([True] * 8).redrawn(rng).all()


def test_a_mean_at_its_limit_is_a_toss_of_a_coin(rng):
    assert 0.4 < Gate.above(2.0, FAR.arm[0].values[0]).redrawn(rng).mean() < 0.6
    assert Gate.above(1.0, FAR.arm[0].values[0]).redrawn(rng).all()
    assert Gate.above(1.0, [3.0]).redrawn(rng).all()


def judged(gates, rng):
    rule = Difference(0, 1)
    verdict = rule.judge(FAR, np.random.default_rng(0), gates)
    return verdict, stability(verdict, rule.redraw(FAR, rng), gates, rng)


def test_a_verdict_is_no_steadier_than_its_gates(rng):
    verdict, share = judged({"always": True, "just": Gate.above(1.99, FAR.arm[0].values[0])}, rng)
    assert verdict.outcome == "SUPPORTED"
    assert 0.4 < share < 0.75


def test_a_failed_gate_that_others_would_pass_leaves_a_share_and_one_without_seeds_none(rng):
    verdict, share = judged({"just not": Gate.above(2.01, FAR.arm[0].values[0])}, rng)
    assert verdict.word == "gate failed"
    assert 0.4 < share < 0.75
    assert judged({"never": False}, rng)[1] is None
    assert judged({"never": Gate.above(9.0, FAR.arm[0].values[0])}, rng)[1] == 1
