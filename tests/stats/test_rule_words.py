"""What rules and their verdicts say: reasons, words, and the zone that a figure marks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bnexp.stats.intervals import Interval, TwoLevels
from bnexp.stats.rules import Difference, Equivalence, Exact, Scaling
from bnexp.stats.sample import Sample


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (
            Difference(1, 1.2, scale="ratio").decide(Interval(2.31, 1.94, 2.75, 0.95, 8)),
            "The ratio is 2.31 (95% interval [1.94, 2.75]), wholly above 1, and the estimate reaches 1.2.",
        ),
        (
            Difference(0, 0.2).decide(Interval(0.05, -0.02, 0.12, 0.95, 8)),
            "The difference is 0.05 (95% interval [-0.02, 0.12]), wholly below 0.2, the smallest effect of interest.",
        ),
        (
            Difference(0, -2, direction=-1).decide(Interval(1, 0.5, 1.5, 0.95, 8)),
            "The difference is 1 (95% interval [0.5, 1.5]), wholly above 0: the opposite of the claim.",
        ),
        (
            Difference(0, 1).decide(Interval(0.5, 0.1, 1.5, 0.95, 8)),
            "The difference is 0.5 (95% interval [0.1, 1.5]), above 0, but the estimate falls short of 1.",
        ),
        (
            Equivalence(1.25, scale="ratio").decide(
                TwoLevels(Interval(1, 0.9, 1.1, 0.9, 8), Interval(1, 0.85, 1.15, 0.95, 8))
            ),
            "The ratio is 1 (90% interval [0.9, 1.1]), inside the margin (0.8, 1.25).",
        ),
        (
            Scaling(-1, 0, 0.1).decide(Interval(-1.02, -1.08, -0.97, 0.95, 8)),
            "The exponent is -1.02 (95% interval [-1.08, -0.97]), which agrees with the predicted -1 ± 0.1 "
            "and not with the rival's 0.",
        ),
        (Exact(1e-9).decide([2e-12] * 200), "The largest error in 200 cases is 2e-12, within 1e-09."),
    ],
)
def test_the_reason_is_a_sentence_with_its_numbers(verdict, reason):
    assert verdict.reason == reason


def test_declaring_a_rule_loads_neither_scipy_nor_torch():
    code = "import sys, bnexp.stats.rules; print({'scipy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


WORDS = [
    (Difference(null=1, smallest=1.2, scale="ratio"), ("ratio", "above 1", "at least 1.2"), ("below 1.2", "below 1,")),
    (Difference(null=0, smallest=-0.1, direction=-1), ("below 0", "at most -0.1"), ("above -0.1", "above 0,")),
    (Equivalence(margin=0.05), ("90 %", "-0.05 and 0.05"), ("95 %", "outside -0.05 to 0.05")),
    (Equivalence(margin=1.25, scale="ratio"), ("0.8 and 1.25",), ("outside 0.8 to 1.25",)),
    (Scaling(predicted=-0.5, rival=-1, within=0.1), ("-0.5 ± 0.1", "rival's -1"), ("outside -0.5 ± 0.1",)),
    (Exact(tolerance=1e-9, min_cases=50), ("1e-09", "50 cases"), ("1e-09", "counterexample")),
]


@pytest.mark.parametrize(("rule", "supports", "contradicts"), WORDS)
def test_a_rule_in_words_names_every_number_that_decides(rule, supports, contradicts):
    words = rule.in_words()
    assert [word for word in supports if word not in words.supports] == []
    assert [word for word in contradicts if word not in words.contradicts] == []


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [(WORDS[0][0], 1.3, 1.1), (WORDS[1][0], -0.2, 0.0), (WORDS[2][0], 0.0, 0.06), (WORDS[4][0], -0.45, -1.0),
     (WORDS[5][0], 1e-12, 1e-3)],
)  # fmt: skip
def test_the_marked_zone_is_where_an_estimate_supports(rule, inside, outside):
    low, high = rule.marks().zone
    assert low < inside < high
    assert not low < outside < high


@pytest.mark.parametrize(
    ("rule", "sample", "effect", "count"),
    [
        (Difference(1, 1.2, scale="ratio"), Sample.of([1.0] * 8, base=[2.0] * 8), "2.00 × [2.00, 2.00]", "8 seeds"),
        (Difference(0, 0.5), Sample.of([1.0] * 8), "1.00 [1.00, 1.00]", "8 seeds"),
        (Equivalence(0.5), Sample.of([0.0] * 6), "0 [0, 0]", "6 seeds"),
        (Scaling(-1, -0.5, 0.1), Sample.of([-1.0] * 8), "exponent -1.00 [-1.00, -1.00]", "8 seeds"),
        (Exact(1e-9), Sample.of([0.0, -3e-12]), "largest error 3.0e-12", "2 cases"),
    ],
)
def test_a_result_in_words_has_the_effect_in_its_unit_and_what_is_behind_it(rng, rule, sample, effect, count):
    words = rule.result_in_words(sample, rule.judge(sample, rng))
    assert (words.effect, words.count) == (effect, count)
