"""Effects, rules, rows, provenance and deviations in words."""

from __future__ import annotations

import json
import math

import pytest

from bnexp.claims.base import Endpoint, Sample
from bnexp.report.provenance import deviation_lines, provenance
from bnexp.report.rows import as_json, row, seconds_spent
from bnexp.report.rules import in_words, scale_of
from bnexp.report.secondary import _p_value, adjusted_p_values
from bnexp.report.terminal import verdict_table
from bnexp.report.words import interval_words
from bnexp.stats.interval import Interval
from bnexp.stats.outcome import Rule
from bnexp.stats.paired import difference_interval, difference_p_value
from bnexp.stats.verdict import Difference, Equivalence, Exact, Scaling


@pytest.mark.parametrize(
    ("estimate", "low", "high", "words"),
    [
        (1.523, 1.204, 1.911, "1.52 [1.20, 1.91]"),
        (0.01234, 0.0101, 0.0146, "0.0123 [0.0101, 0.0146]"),
        (1234.5, 1100, 1400, "1,234 [1,100, 1,400]"),
        (-0.0004, -0.02, 0.02, "0.000 [-0.020, 0.020]"),
        (3.0, 3.0, 3.0, "3.00 [3.00, 3.00]"),
        (0.0, 0.0, 0.0, "0 [0, 0]"),
        (1.0, 0.0, math.inf, "unknown"),
        (0.0, -math.inf, math.inf, "unknown"),
    ],
)
def test_an_interval_has_the_digits_its_width_deserves(estimate, low, high, words):
    assert interval_words(Interval(estimate, low, high, level=0.95, num_seeds=8)) == words


RULES = [
    (Difference(null=1, smallest=1.2, scale="ratio"), ("ratio", "above 1", "at least 1.2"), ("below 1.2", "below 1,")),
    (Difference(null=0, smallest=-0.1, direction=-1), ("below 0", "at most -0.1"), ("above -0.1", "above 0,")),
    (Equivalence(margin=0.05), ("90 %", "-0.05 and 0.05"), ("95 %", "outside -0.05 to 0.05")),
    (Equivalence(margin=1.25, scale="ratio"), ("0.8 and 1.25",), ("outside 0.8 to 1.25",)),
    (Scaling(predicted=-0.5, rival=-1, within=0.1), ("-0.5 ± 0.1", "rival's -1"), ("outside -0.5 ± 0.1",)),
    (Exact(tolerance=1e-9, min_cases=50), ("1e-09", "50 cases"), ("1e-09", "counterexample")),
]


@pytest.mark.parametrize(("rule", "supports", "contradicts"), RULES)
def test_a_rule_in_words_names_every_number_that_decides(rule, supports, contradicts):
    told = in_words(rule)
    assert [word for word in supports if word not in told.supports] == []
    assert [word for word in contradicts if word not in told.contradicts] == []


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        (RULES[0][0], 1.3, 1.1),
        (RULES[1][0], -0.2, 0.0),
        (RULES[2][0], 0.0, 0.06),
        (RULES[4][0], -0.45, -1.0),
    ],
)
def test_the_shaded_zone_is_where_an_estimate_supports(rule, inside, outside):
    low, high = scale_of(rule).zone
    assert low < inside < high
    assert not low < outside < high


def test_a_rule_nobody_put_into_words_is_refused():
    class Hunch(Rule):
        def judge(self, *_evidence, **_gates):
            raise AssertionError("nobody judges by a hunch")

    with pytest.raises(TypeError, match="Hunch"):
        in_words(Hunch())


def test_secondary_p_values_are_corrected_for_their_number(world):
    judged = world.of("refuted")
    sample = judged.evidence.samples["late"]
    late = difference_p_value(sample.arm, sample.base)
    spread = difference_p_value(judged.evidence.samples["spread"].arm, (0.0,) * 8)
    assert adjusted_p_values(judged) == {"late": pytest.approx(2 * late), "spread": pytest.approx(spread)}


def test_endpoints_cut_off_exact_or_about_sameness_have_no_p(world):
    assert adjusted_p_values(world.of("censored")) == {}
    sample = Sample(arm=(1.0, 2.0), base=(1.0, 1.0))
    assert _p_value(Endpoint("same", Equivalence(margin=1)), sample) is None
    assert _p_value(Endpoint("exact", Exact(tolerance=1)), sample) is None


@pytest.mark.parametrize("shift", [-0.3, 0.0, 0.3])
def test_a_p_below_5_percent_is_an_interval_without_the_null(shift):
    arm, null = (1.0, 1.4, 1.3, 0.8, 1.1, 1.2), 1.0 + shift
    p = _p_value(Endpoint("gain", Difference(null=null, smallest=null + 1)), Sample(arm=arm))
    assert (p < 0.05) == (not difference_interval(arm, (0.0,) * 6).covers(null))


def test_a_ratio_is_tested_on_the_scale_of_logarithms():
    sample = Sample(arm=(1.0, 2.0, 4.0), base=(2.0, 5.0, 7.0))
    p = _p_value(Endpoint("speed", Difference(null=1, smallest=2, scale="ratio")), sample)
    assert p == pytest.approx(difference_p_value(*[[math.log(v) for v in side] for side in (sample.base, sample.arm)]))


def test_runs_that_claims_share_are_paid_once(world):
    alone = seconds_spent([world.of("law")])
    assert alone == 8 * 2.0
    assert seconds_spent([world.of("law"), world.of("gated")]) == alone
    assert row(world.of("identity")).cost == "1 s"


def test_machines_get_strict_json_with_null_for_a_missing_limit(world):
    told = {one["claim"]: one for one in json.loads(json.dumps([as_json(j) for j in world.judged], allow_nan=False))}
    assert told["censored"]["endpoints"]["time"]["effect"]["high"] is None
    assert told["speed"]["outcome"] == "SUPPORTED"
    assert told["missing"] | {"endpoints": {}, "missing_runs": 3, "outcome": "NOT RUN"} == told["missing"]


def test_the_terminal_says_claim_verdict_effect_number_and_word_in_columns(world):
    lines = verdict_table(world.judged).splitlines()
    start = lines[0].index("verdict")
    assert all(
        line[start:].startswith(("SUPPORTED", "CONTRA", "INCON", "NOT RUN", "NOT JUDGED")) for line in lines[1:-2]
    )
    assert next(line.split() for line in lines if line.startswith("refuted")) == [
        "refuted", "CONTRADICTED", "0.010", "[-0.001,", "0.021]", "8", "seeds", "too", "small;", "supported:", '"late"',
    ]  # fmt: skip
    assert lines[-1] == "10 claims: 4 supported, 1 contradicted, 1 inconclusive, 3 not run, 1 not judged"


def test_provenance_tells_what_differs_between_runs_and_no_dates(world):
    told = dict(provenance(world.judged))
    assert told["Budget"] == "quick"
    assert told["Runs"].startswith("41 complete, 1 of them diverged")
    assert told["Machine"].startswith("Linux, Made Up, 2 cores, device cpu (40 runs)")
    assert told["Code"].startswith("commit 0123456789ab (40 runs)")


def test_deviation_lines_are_read_from_docstrings_without_importing(tmp_path):
    source = tmp_path / "norm.py"
    source.write_text(
        'raise RuntimeError("imported")\n\n\ndef norm():\n'
        '    """A norm.\n\n    Deviation: eps is ours;\n        the ``source`` has none.\n\n'
        '    Returns:\n        nothing.\n    """\n'
        '    text = "Deviation: no docstring"\n'
    )
    assert deviation_lines(source) == ("eps is ours; the source has none.",)
    assert deviation_lines(tmp_path / "absent.py") == ()
