"""Rules: the law they follow, the three worlds they tell apart, and what keeps any of them from deciding."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bnexp.stats.intervals import Interval, TwoLevels
from bnexp.stats.rules import Difference, Equivalence, Exact, Scaling
from bnexp.stats.sample import Sample
from bnexp.stats.slopes import log_log_slopes
from bnexp.stats.verdict import Verdict

#: The same examples in every run, and no time limit on a busy machine.
STEADY = settings(derandomize=True, deadline=None, max_examples=60)

NUMBERS = st.floats(-10, 10)


def made(numbers, level=0.95, num_seeds=8):
    low, estimate, high = sorted(numbers)
    return Interval(estimate, low, high, level, num_seeds)


INTERVALS = st.tuples(NUMBERS, NUMBERS, NUMBERS).map(made)


# The law, written out a second time


@STEADY
@given(INTERVALS, NUMBERS, NUMBERS)
def test_difference_follows_the_law_and_never_both(found, null, smallest):
    assume(smallest > null)
    supported = found.low > null and found.estimate >= smallest
    contradicted = found.high < smallest
    assert not (supported and contradicted)
    expected = "SUPPORTED" if supported else "CONTRADICTED" if contradicted else "INCONCLUSIVE"
    verdict = Difference(null, smallest).decide(found)
    assert verdict.outcome == expected
    if contradicted:
        assert verdict.word == ("reversed" if found.high < null else "too small")


@STEADY
@given(INTERVALS, NUMBERS, NUMBERS)
def test_a_claim_of_less_is_the_mirror_image_of_a_claim_of_more(found, null, smallest):
    assume(smallest > null)
    mirrored = Interval(-found.estimate, -found.high, -found.low, found.level, found.num_seeds)
    more, less = Difference(null, smallest).decide(found), Difference(-null, -smallest, direction=-1).decide(mirrored)
    assert (more.outcome, more.word) == (less.outcome, less.word)


@STEADY
@given(INTERVALS, st.floats(0.01, 3))
def test_a_ratio_is_judged_as_its_logarithm_is(found, smallest):
    on_logs = Difference(0, smallest).decide(found)
    as_ratio = Difference(1, math.exp(smallest), scale="ratio").decide(found.mapped(math.exp))
    assume(abs(math.exp(found.low) - 1) > 1e-9 and abs(found.high - smallest) > 1e-9)
    assume(abs(found.estimate - smallest) > 1e-9 and abs(found.high) > 1e-9)
    assert (on_logs.outcome, on_logs.word) == (as_ratio.outcome, as_ratio.word)


@STEADY
@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(sorted), st.floats(0.1, 8))
def test_equivalence_follows_the_law_and_never_both(numbers, margin):
    low95, low90, estimate, high90, high95 = numbers
    levels = TwoLevels(Interval(estimate, low90, high90, 0.9, 8), Interval(estimate, low95, high95, 0.95, 8))
    supported = -margin < low90 and high90 < margin
    contradicted = high95 < -margin or low95 > margin
    assert not (supported and contradicted)
    expected = "SUPPORTED" if supported else "CONTRADICTED" if contradicted else "INCONCLUSIVE"
    assert Equivalence(margin).decide(levels).outcome == expected


@STEADY
@given(INTERVALS, NUMBERS, NUMBERS, st.floats(0, 2))
def test_scaling_follows_the_law_and_never_both(found, predicted, rival, within):
    assume(abs(predicted - rival) > within)
    near = [predicted - within, predicted + within]
    meets = found.low <= near[1] and found.high >= near[0]
    supported, contradicted = meets and not found.covers(rival), not meets
    assert not (supported and contradicted)
    expected = "SUPPORTED" if supported else "CONTRADICTED" if contradicted else "INCONCLUSIVE"
    verdict = Scaling(predicted, rival, within).decide(found)
    assert verdict.outcome == expected
    if contradicted:
        assert verdict.word == ("rival fits" if found.covers(rival) else "neither fits")


@STEADY
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=200), st.floats(0, 1))
def test_exact_follows_the_law(errors, tolerance):
    worst = max(abs(error) for error in errors)
    expected = "CONTRADICTED" if worst > tolerance else "SUPPORTED" if len(errors) >= 100 else "INCONCLUSIVE"
    assert Exact(tolerance).decide(errors).outcome == expected


# Three synthetic worlds: from per-seed numbers to the verdict


def difference(rng, effect, noise):
    seed = rng.normal(0, 3, 12)
    return Difference(null=0, smallest=0.5), Sample.of(seed + effect + rng.normal(0, noise, 12), base=seed)


def ratio(rng, effect, noise):
    seed = rng.normal(6, 1, 12)
    base, arm = np.exp(seed + effect + rng.normal(0, noise, 12)), np.exp(seed)
    return Difference(null=1, smallest=1.2, scale="ratio"), Sample.of(arm, base=base)


def equivalence(rng, effect, noise):
    seed = rng.normal(0, 3, 12)
    return Equivalence(margin=0.5), Sample.of(seed + effect + rng.normal(0, noise, 12), base=seed)


def scaling(rng, exponent, noise):
    sizes = np.array([4.0, 8.0, 16.0, 32.0, 64.0])
    slopes_S = log_log_slopes(sizes, sizes**exponent * np.exp(rng.normal(0, noise, (12, 5))))
    return Scaling(predicted=-1, rival=-0.5, within=0.1), Sample.of(slopes_S)


def exact(rng, error, noise, num_cases=100):
    return Exact(tolerance=1e-9), Sample.of(error + noise * rng.random(num_cases))


#: Noise now and then passes for an effect, or for its opposite: hence 9 of 10, and several words.
UNDECIDED = {"too noisy", "maybe too small", "intervals disagree"}
WORLDS = {
    "difference present": (difference, (1.0, 0.3), "SUPPORTED", {"as claimed"}),
    "difference absent": (difference, (0.0, 0.3), "CONTRADICTED", {"too small"}),
    "difference reversed": (difference, (-1.0, 0.3), "CONTRADICTED", {"reversed"}),
    "difference drowned": (difference, (0.5, 5.0), "INCONCLUSIVE", UNDECIDED),
    "ratio present": (ratio, (math.log(2), 0.2), "SUPPORTED", {"as claimed"}),
    "ratio absent": (ratio, (0.0, 0.05), "CONTRADICTED", {"too small"}),
    "ratio reversed": (ratio, (-math.log(2), 0.2), "CONTRADICTED", {"reversed"}),
    "ratio drowned": (ratio, (0.1, 1.5), "INCONCLUSIVE", UNDECIDED),
    "equivalence present": (equivalence, (0.0, 0.3), "SUPPORTED", {"as claimed"}),
    "equivalence absent": (equivalence, (1.5, 0.3), "CONTRADICTED", {"different"}),
    "equivalence drowned": (equivalence, (0.0, 5.0), "INCONCLUSIVE", UNDECIDED),
    "scaling present": (scaling, (-1.0, 0.1), "SUPPORTED", {"as claimed"}),
    "scaling of the rival": (scaling, (-0.5, 0.1), "CONTRADICTED", {"rival fits"}),
    "scaling of neither": (scaling, (1.0, 0.1), "CONTRADICTED", {"neither fits"}),
    "scaling drowned": (scaling, (-0.75, 3.0), "INCONCLUSIVE", UNDECIDED),
    "exact present": (exact, (0.0, 1e-12), "SUPPORTED", {"as claimed"}),
    "exact absent": (exact, (1e-3, 1e-12), "CONTRADICTED", {"counterexample"}),
    "exact in too few cases": (exact, (0.0, 1e-12, 99), "INCONCLUSIVE", {"not powered"}),
}


@pytest.mark.parametrize("world", WORLDS)
def test_each_world_gets_its_verdict(world):
    make, settings, outcome, words = WORLDS[world]
    verdicts = []
    for draw in range(10):
        rng = np.random.default_rng([2026, draw])
        rule, sample = make(rng, *settings)
        verdicts.append(rule.judge(sample, rng))
    wrong = [verdict for verdict in verdicts if verdict.outcome != outcome or verdict.word not in words]
    assert len(wrong) <= 1, [verdict.reason for verdict in wrong]


def test_a_sample_of_no_effect_is_compared_with_nothing_but_zero(rng):
    values = rng.normal(1, 0.1, 8)
    rule = Difference(0, 0.5)
    alone, beside = (rule.judge(sample, np.random.default_rng(0)) for sample in (
        Sample.of(values), Sample.of(values, base=np.zeros(8))
    ))  # fmt: skip
    assert alone == beside


def test_gates_reach_the_verdict(rng):
    sample = Sample.of([1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1.1])
    assert Difference(0, 0.5).judge(sample, rng).outcome == "SUPPORTED"
    assert Difference(0, 0.5).judge(sample, rng, {"BN trains": False}).word == "gate failed"


# What keeps every rule from deciding

SURE = Interval(2.0, 1.9, 2.1, 0.95, 8)
SURE_TWICE = TwoLevels(Interval(0.0, -0.1, 0.1, 0.9, 8), Interval(0.0, -0.2, 0.2, 0.95, 8))
RULES = [
    (Difference(0, 1), SURE),
    (Equivalence(1), SURE_TWICE),
    (Scaling(2, 1, 0.1), SURE),
    (Exact(1e-9), [0.0] * 100),
]


@pytest.mark.parametrize(("rule", "evidence"), RULES)
def test_all_gates_passed_leave_the_verdict_alone(rule, evidence):
    assert rule.decide(evidence, gates={"BN trains": True}) == rule.decide(evidence)
    assert rule.decide(evidence).outcome == "SUPPORTED"


@pytest.mark.parametrize(("rule", "evidence"), RULES)
def test_a_failed_gate_is_named_and_decides_nothing(rule, evidence):
    verdict = rule.decide(evidence, gates={"BN trains": True, "noise reaches the next layer": False})
    assert (verdict.outcome, verdict.word) == ("INCONCLUSIVE", "gate failed")
    assert verdict.reason == "What had to hold first did not: noise reaches the next layer."


def few(evidence, num_seeds=5):
    if isinstance(evidence, TwoLevels):
        return TwoLevels(few(evidence.narrow, num_seeds), few(evidence.wide, num_seeds))
    return Interval(evidence.estimate, evidence.low, evidence.high, evidence.level, num_seeds)


@pytest.mark.parametrize(("rule", "evidence"), RULES[:3])
def test_five_seeds_decide_nothing_and_six_may(rule, evidence):
    verdict = rule.decide(few(evidence, 5), gates={"BN trains": False})
    assert (verdict.outcome, verdict.word) == ("INCONCLUSIVE", "not powered")
    assert verdict.reason == "5 seeds cannot decide it; 6 are needed."
    assert rule.decide(few(evidence, 6)).outcome == "SUPPORTED"


def test_the_fewest_seeds_count():
    assert Difference(0, 1).decide(SURE, few(SURE)).word == "not powered"


def test_a_claim_may_ask_for_more_seeds():
    assert Difference(0, 1, min_seeds=9).decide(SURE).word == "not powered"


def test_intervals_that_lead_to_different_verdicts_decide_nothing(interval):
    verdict = Difference(0, 1).decide(interval(1.5, 0.1, 3), interval(1.5, -0.1, 3))
    assert (verdict.outcome, verdict.word) == ("INCONCLUSIVE", "intervals disagree")
    assert verdict.reason == (
        "The verdict depends on the kind of interval: SUPPORTED by 1.5 [0.1, 3], INCONCLUSIVE by 1.5 [-0.1, 3]."
    )


def test_intervals_that_agree_show_the_first(interval):
    first, second = interval(1.5, 0.2, 3), interval(1.5, 0.1, 3)
    assert Difference(0, 1).decide(first, second).effect == first


def test_the_milder_word_is_taken_where_both_contradict(interval):
    narrow, wide = interval(-1, -1.5, -0.1), interval(-1, -2, 0.1)
    for order in ((narrow, wide), (wide, narrow)):
        assert Difference(0, 1).decide(*order).word == "too small"


def test_an_interval_that_misses_its_own_estimate_decides_nothing(interval):
    for astray in (interval(3, 1, 2), interval(0.5, 1, 2)):
        assert Difference(0, 0.9).decide(astray).word == "intervals disagree"


def test_no_evidence_is_an_error():
    for rule, words in zip((rule for rule, _ in RULES), (*["no evidence"] * 3, "no errors"), strict=True):
        with pytest.raises(ValueError, match=words):
            rule.decide()
    with pytest.raises(ValueError, match="no errors"):
        Exact(1e-9).decide([0.0] * 100, [])


@pytest.mark.parametrize("rule", [Difference(0, 1), Scaling(2, 1, 0.1)])
def test_only_95_percent_intervals_are_judged(rule, interval):
    with pytest.raises(ValueError, match="needs 95% intervals, got one of 90%"):
        rule.decide(interval(2, 1, 3, level=0.9))


# Exact claims


def test_one_counterexample_contradicts_however_few_the_cases():
    assert Exact(1e-9).decide([0.0, 1.0]).outcome == "CONTRADICTED"
    assert Exact(1e-9).decide([0.0] * 100, [-1.0]).outcome == "CONTRADICTED"


def test_the_sign_of_an_error_does_not_matter():
    assert Exact(1e-9).decide([-1.0] * 100) == Exact(1e-9).decide([1.0] * 100)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_error_that_is_not_finite_decides_nothing(bad):
    verdict = Exact(1e-9).decide([0.0] * 100 + [bad])
    assert (verdict.outcome, verdict.word) == ("INCONCLUSIVE", "not finite")


def test_every_identity_needs_enough_cases():
    assert Exact(1e-9).decide([0.0] * 100, [0.0] * 3).word == "not powered"
    assert Exact(1e-9, min_cases=1).decide([0.0]).outcome == "SUPPORTED"


# Declarations that cannot mean what they say


@pytest.mark.parametrize(
    "declare",
    [
        lambda: Difference(0, 0),
        lambda: Difference(1, 0.8, scale="ratio"),
        lambda: Difference(0, 1, direction=-1),
        lambda: Difference(0, 1, direction=0),
        lambda: Difference(0, math.nan),
        lambda: Difference(-1, 2, scale="ratio"),
        lambda: Equivalence(0),
        lambda: Equivalence(0.9, scale="ratio"),
        lambda: Scaling(1, 1, 0),
        lambda: Scaling(1, 1.05, 0.1),
        lambda: Scaling(1, 2, -0.1),
        lambda: Exact(-1),
        lambda: Exact(1e-9, min_cases=0),
    ],
)
def test_declarations_without_meaning_are_refused(declare):
    with pytest.raises(ValueError, match=r"must|positive|got"):
        declare()


def test_claims_of_a_ratio_below_one_are_allowed(interval):
    rule = Difference(1, 0.8, scale="ratio", direction=-1)
    assert rule.decide(interval(0.5, 0.4, 0.6)).outcome == "SUPPORTED"
    assert rule.decide(interval(2, 1.5, 2.5)).word == "reversed"


def test_equal_ratios_are_symmetric_about_one():
    def judge(low, high):
        return Equivalence(1.25, scale="ratio").decide(
            TwoLevels(Interval(1.0, low, high, 0.9, 8), Interval(1.0, low, high, 0.95, 8))
        )

    assert judge(0.81, 1.24).outcome == "SUPPORTED"
    assert judge(0.79, 1.24).outcome == "INCONCLUSIVE"
    assert judge(0.81, 1.26).outcome == "INCONCLUSIVE"


def test_rules_and_verdicts_cannot_be_changed_after_the_fact():
    with pytest.raises(FrozenInstanceError):
        Difference(0, 1).smallest = 0.1
    with pytest.raises(FrozenInstanceError):
        Verdict("SUPPORTED", "", None, "as claimed").outcome = "CONTRADICTED"
