"""p values of what a verdict rules out, and stability: what another draw of the experiment would say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnexp.stats.intervals import mean_effect
from bnexp.stats.redraws import REDRAWS
from bnexp.stats.rules import Difference, Equivalence, Exact, Scaling
from bnexp.stats.sample import Sample, Side
from bnexp.stats.verdict import Verdict


def outcome_and_p(rule, sample):
    verdict = rule.judge(sample, np.random.default_rng(0))
    return verdict, rule.p_value(sample, verdict, np.random.default_rng(0))


NEAR_2 = [1.9, 2.1, 2.0, 2.2, 1.8, 2.05, 1.95, 2.0]
WIDE = [-30.0, 40.0, -20.0, 25.0, 0.0, 3.0, -9.0, 11.0]


@pytest.mark.parametrize(
    ("rule", "word", "ruled_out"),
    [
        (Difference(0, 1), "as claimed", 0),
        (Difference(0, 5), "too small", 5),
        (Difference(3, 5), "reversed", 3),
        (Difference(0, -1, direction=-1), "reversed", 0),
        (Difference(0, 2.05), "maybe too small", None),
        (Scaling(2, 1, 0.1), "as claimed", 1),
        (Scaling(1, 2, 0.1), "rival fits", 1.1),
        (Scaling(3, 2, 0.1), "rival fits", 2.9),
        (Scaling(1, 5, 0.1), "neither fits", 1.1),
        (Equivalence(1), "different", 1),
    ],
)
def test_p_is_of_the_value_that_the_verdict_rules_out(rule, word, ruled_out):
    sample = Sample.of(NEAR_2)
    verdict, p = outcome_and_p(rule, sample)
    assert verdict.word == word
    expected = 1.0 if ruled_out is None else stats.ttest_1samp(NEAR_2, ruled_out).pvalue
    assert p == pytest.approx(expected, rel=1e-9)
    assert p < 0.05 or ruled_out is None


def test_p_of_sameness_is_the_larger_of_two_one_sided_tests():
    verdict, p = outcome_and_p(Equivalence(3), Sample.of(NEAR_2))
    assert verdict.outcome == "SUPPORTED"
    sides = [stats.ttest_1samp(NEAR_2, end, alternative=way).pvalue for end, way in ((-3, "greater"), (3, "less"))]
    assert p == pytest.approx(max(sides), rel=1e-9)


def test_a_ratio_is_tested_on_the_scale_of_logarithms():
    arm, base = np.array(NEAR_2), 3 * np.array(NEAR_2[::-1])
    verdict, p = outcome_and_p(Difference(null=1, smallest=2, scale="ratio"), Sample.of(arm, base))
    assert (verdict.word, p) == ("as claimed", pytest.approx(stats.ttest_rel(np.log(base), np.log(arm)).pvalue, rel=1e-9))
    verdict, p = outcome_and_p(Difference(null=1, smallest=9, scale="ratio"), Sample.of(arm, base))
    expected = stats.ttest_1samp(np.log(base / arm), np.log(9)).pvalue
    assert (verdict.word, p) == ("too small", pytest.approx(expected, rel=1e-9))


@pytest.mark.parametrize("rule", [Difference(0, 1), Equivalence(1), Scaling(2, 1, 0.1)])
def test_an_open_verdict_has_p_one_and_algebra_has_none(rule):
    verdict, p = outcome_and_p(rule, Sample.of(WIDE))
    assert (verdict.word, p) == ("too noisy", 1)
    assert outcome_and_p(Exact(1), Sample.of([0.0] * 100))[1] is None


# Stability: what another draw of the experiment would say


def stability(rule, sample, seed=0):
    verdict = rule.judge(sample, np.random.default_rng(0))
    return rule.redraw(sample, np.random.default_rng(seed)).count(verdict.outcome) / REDRAWS


FAR = [
    (Difference(0, 1), NEAR_2),
    (Difference(0, 5), NEAR_2),
    (Difference(0, -1, direction=-1), NEAR_2),
    (Equivalence(3), NEAR_2),
    (Equivalence(1), NEAR_2),
    (Scaling(2, 1, 0.3), NEAR_2),
    (Scaling(1, 2, 0.1), NEAR_2),
]


@pytest.mark.parametrize(("rule", "values"), FAR)
def test_far_from_every_threshold_every_draw_says_the_same(rule, values):
    assert stability(rule, Sample.of(values)) == 1


def test_an_effect_at_its_threshold_is_a_toss_of_a_coin():
    found = stability(Difference(0, 2), Sample.of(NEAR_2))  # the mean is 2
    assert 0.35 < found < 0.65
    verdict = Verdict("SUPPORTED", "", None, "as claimed", found)
    assert verdict.fragile
    assert verdict.share_words == f"fragile, {100 * found:.0f} %"


@pytest.mark.slow
def test_second_experiments_agree_as_often_as_the_first_ones_say():
    # Pairs of experiments on truths that nobody knows. Re-draws around a truth known exactly would promise 7 points more.
    rule, rng, promised, agreed = Difference(0, 1), np.random.default_rng(5), [], []
    for truth in rng.uniform(-0.7, 2.5, 400):
        first, second = (Sample.of(rng.normal(truth, 0.7, 8)) for _ in range(2))
        outcomes = [rule._judge_one(mean_effect(one, "difference", rng).interval(0.95)).outcome for one in (first, second)]
        promised.append(rule.redraw(first, rng).count(outcomes[0]) / REDRAWS)
        agreed.append(outcomes[0] == outcomes[1])
    assert np.mean(promised) == pytest.approx(np.mean(agreed), abs=0.04)


def test_a_toss_of_a_coin_in_tuning_makes_a_verdict_fragile():
    values = (tuple(np.array(NEAR_2) - 1.9), tuple(np.array(NEAR_2) + 1))
    sure, torn = (
        Sample((Side(values, scores),))
        for scores in (((0.0,) * 6, (1.0,) * 6), ((0.0, 2.0, 1.0, 0.0, 2.0, 1.0), (2.0, 0.0, 1.0, 1.0, 2.0, 0.0)))
    )
    assert stability(Difference(0, 1), sure) == 1
    assert stability(Difference(0, 1), torn) < 0.9


def test_what_the_global_generator_does_changes_no_stability():
    sample, before = Sample.of(NEAR_2), np.random.get_state()[1].tolist()
    first = stability(Difference(0, 2), sample)
    assert np.random.get_state()[1].tolist() == before
    np.random.seed(99)
    assert stability(Difference(0, 2), sample) == first
    assert stability(Difference(0, 2), sample, seed=1) != first


def test_algebra_has_nothing_to_redraw(rng):
    assert Exact(1).redraw(Sample.of([0.0] * 100), rng) == []
