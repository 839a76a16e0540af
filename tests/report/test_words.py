"""Rows, JSON, p values, provenance and deviations in words; and a rule that nobody knew of, all the way to its row."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from bnexp.claims import CLAIMS
from bnexp.claims.base import Claim, Endpoint, Evidence
from bnexp.claims.judge import judge_runs
from bnexp.claims.runs import Runs
from bnexp.report.page import section
from bnexp.report.provenance import deviation_lines, provenance
from bnexp.report.words import AXIS_LINE, MEASURED, as_json, claim_row, measured_words, seconds_spent, verdict_table
from bnexp.stats.intervals import Interval
from bnexp.stats.rules import Difference
from bnexp.stats.sample import Sample
from bnexp.stats.verdict import NO_GATES, Marks, Rule, RuleWords, Verdict, decide
from bnexp.text import WIDTH


@dataclass(frozen=True)
class Majority(Rule):
    """A claim that most seeds gain: a rule that no other code knows of."""

    share: float = 0.5

    def evidence(self, sample, rng):  # noqa: ARG002 - nothing random here
        gains = sample.effects("difference") > 0
        return [Interval(gains.mean(), 0.63, 1.0, 0.95, len(gains))]

    def decide(self, *evidence, gates=NO_GATES):
        return decide(self._judge_one, evidence, lambda interval: interval, gates, 6)

    def _judge_one(self, interval):
        outcome = "SUPPORTED" if interval.low > self.share else "INCONCLUSIVE"
        return Verdict(outcome, "Most seeds gain.", interval, "as claimed")

    def in_words(self):
        return RuleWords("Most seeds gain.", "Few seeds gain.", "Six seeds.")

    def marks(self):
        return Marks(((self.share, "half"),), (self.share, 1.0), log=False)


def test_a_fifth_rule_needs_no_other_place_to_be_judged_shown_and_drawn(world):
    rule = Majority()
    claim = Claim(
        id="most", section="Z1", statement="Most gain.", source="", disputed_by="", formula="", draw=lambda *_: None,
        say=lambda *_: "Most gain.",
        endpoints={"gain": Endpoint("share", rule), "again": Endpoint("share", rule)},
        analyse=lambda *_: Evidence(
            samples=dict.fromkeys(("gain", "again"), Sample.of(np.linspace(1, 2, 8))), gates={"it is so": np.True_}
        ),
    )  # fmt: skip
    judged = judge_runs(Runs(claim, "quick", world.of("law").runs.cells, world.runs_dir))
    assert judged.primary.outcome == "SUPPORTED"
    assert claim_row(judged).effect == "1.00 [0.63, 1.00]"
    assert "most   SUPPORTED  8  1.00 [0.63, 1.00]\n  as claimed. Most gain.\n" in verdict_table([judged])
    assert (claim_row(judged).share, judged.verdicts["again"].p) == ("", None)
    endpoint = section(judged).endpoints[0]
    assert endpoint.rule.supports == "Most seeds gain."
    assert len(endpoint.pictures) == 2  # the interval and every seed
    assert json.loads(json.dumps(as_json(judged)))["gates"] == {"it is so": True}


def test_a_smoke_budget_decides_nothing(world):
    judged = judge_runs(Runs(world.claims["law"], "smoke", world.of("law").runs.cells, world.runs_dir))
    assert (judged.primary.outcome, judged.primary.word) == ("INCONCLUSIVE", "not powered")
    assert judged.primary.effect == world.of("law").primary.effect
    assert judged.sentence == judged.primary.reason


def test_variants_alone_are_counted_as_variants(world):
    judged = judge_runs(Runs(world.claims["law"], "quick", world.of("law").runs.cells, world.runs_dir))
    variant = replace(judged, claim=replace(judged.claim, variant=("subject=norm=ghost",)))
    assert verdict_table([variant]).splitlines()[-1].startswith("1 variant: ")
    assert verdict_table([judged, variant]).splitlines()[-1].startswith("1 claim: ")


def test_an_analysis_of_other_endpoints_than_were_declared_is_not_judged(world):
    claim = replace(world.claims["law"], endpoints=world.claims["speed"].endpoints)
    judged = judge_runs(Runs(claim, "quick", world.of("law").runs.cells, world.runs_dir))
    assert judged.verdicts == {}
    assert "law declared ['own rate', 'same rate'] and analysed ['exponent']" in claim_row(judged).word


def test_secondary_p_values_are_corrected_for_their_number_and_shown(world):
    judged = world.of("refuted")
    sample = judged.evidence.samples["late"]
    late = stats.ttest_1samp(sample.effects("difference"), 0).pvalue
    assert {name: verdict.p for name, verdict in judged.verdicts.items()} == {
        "gain": None, "late": pytest.approx(2 * late), "spread": 1.0,
    }  # fmt: skip
    assert [endpoint.p for endpoint in section(judged).endpoints] == ["", "< 0.001", "1"]


def test_runs_that_claims_share_are_paid_once(world):
    alone = seconds_spent([world.of("law")])
    assert alone == 8 * 2.0
    assert seconds_spent([world.of("law"), world.of("gated")]) == alone
    assert claim_row(world.of("identity")).cost == "1 s"


def test_machines_get_strict_json_with_null_for_a_missing_limit(world):
    told = json.loads(json.dumps([as_json(j) for j in world.judged], allow_nan=False))
    assert [one["variant"] for one in told if one["claim"] == "speed"] == [[], ["subject=norm=ghost"]]
    found = {one["claim"]: one for one in told}
    assert found["speed"]["outcome"] == "SUPPORTED"
    assert found["speed"]["sentence"] == world.of("speed").sentence
    assert found["speed"]["endpoints"]["own rate"]["stability"] == 1.0
    assert "high" in found["law"]["endpoints"]["exponent"]["effect"]
    assert found["missing"] | {"endpoints": {}, "missing_runs": 3, "outcome": "NOT RUN"} == found["missing"]


def test_the_terminal_says_numbers_in_columns_and_the_sentence_below_within_its_width(world):
    lines = verdict_table(world.judged).splitlines()
    assert max(map(len, lines)) <= WIDTH
    start = lines[0].index("verdict")
    rows = {line.split()[0]: index for index, line in enumerate(lines) if line[start : start + 1].isupper()}
    assert list(rows) == [
        "gated", "law", "speed", "variant", "fragile", "refuted", "broken", "missing", "unstarted", "unafforded", "identity",
    ]  # fmt: skip
    refuted = rows["refuted"]
    assert lines[refuted].split() == ["refuted", "CONTRADICTED", "100", "%", "8", "0.010", "points", "[-0.001,", "0.021]"]
    assert lines[refuted + 1].startswith('  too small; supported: "late". The sentence of refuted')
    assert lines[rows["variant"] + 1].startswith("  subject=norm=ghost: as claimed. The sentence of speed")
    assert " fragile, 5" in lines[rows["fragile"]]
    assert lines[-1] == "10 claims: 4 supported, 1 contradicted, 1 inconclusive, 3 not run, 1 not judged"


def test_claims_of_algebra_have_a_table_of_their_own_without_a_stability(world):
    alone = verdict_table([world.of("identity")]).splitlines()
    assert [line.split() for line in alone[:2]] == [
        ["claim", "verdict", "n", "exact"],
        ["identity", "SUPPORTED", "200", "largest", "error", "1.0e-13"],
    ]
    assert "\n".join(alone[:3]) in verdict_table(world.judged)


def test_the_longest_rows_fit_a_terminal(world):
    law = world.of("law")
    effect = Interval(-12.345, -22.345, -2.345, 0.95, 16)
    primary = replace(law.primary, outcome="INCONCLUSIVE", stability=0.55, effect=effect)
    long = replace(law, claim=replace(law.claim, id="hidden_normalization_of_inputs"), verdicts={"exponent": primary})
    heading, row, effect, *_ = verdict_table([long]).splitlines()
    assert max(map(len, (heading, row, effect))) <= WIDTH
    assert (row.split()[-1], effect) == ("16", "  exponent -12 [-22, -2]")


def test_provenance_tells_what_differs_between_runs_and_no_dates(world):
    facts = dict(provenance(world.judged))
    assert facts["Budget"] == "quick"
    assert facts["Runs"].startswith("73 complete, 1 of them diverged")
    assert facts["Machine"].startswith("Linux, Made Up, 2 cores, device cpu (72 runs)")
    assert facts["Code"].startswith("commit 0123456789ab (72 runs)")


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


# At the axis of paired seeds


@pytest.mark.parametrize(
    ("claim", "name", "words"),
    [
        ("fig1_speed", "own rate", "training steps to a level of validation error"),
        ("fig1_speed", "seconds", "seconds of training"),
        ("hidden_normalization", "sigmoid, training loss", "training steps to a level of training loss"),
        ("fig1_stability", "late spread", "(no unit)"),
        ("step_cost", "step time", "milliseconds"),
    ],
)
def test_what_is_measured_stands_there_with_its_unit(claim, name, words):
    said = measured_words(claim, name, CLAIMS[claim].endpoints[name])
    assert words in said.replace("\n", " ")
    assert all(len(line) <= AXIS_LINE for line in said.splitlines())


def test_of_another_claim_the_estimand_stands_there():
    endpoint = Endpoint("points lost to colour " * 20, Difference(null=0, smallest=1), unit="points")
    said = measured_words("mine", "first", endpoint)
    assert said.startswith("each side of: points lost to")
    assert said.endswith("...\n(points)")
    assert len(said.splitlines()) == 4


def test_every_claim_that_has_words_is_there_and_uses_them_all():
    for claim, words in MEASURED.items():
        names = list(CLAIMS[claim].endpoints)
        chosen = {next((part for part in words if part in name), None) for name in names}
        assert set(words) <= chosen, claim
