"""Rows, JSON, p values, provenance and deviations in words; and a rule that nobody knew of, all the way to its row."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from bnexp.stats.p_values import paired_p_value
from bnexp.stats.survival import Times, share_reached

from bnexp.claims.base import Claim, Endpoint, Evidence
from bnexp.claims.judge import judge_claim
from bnexp.report.page import section
from bnexp.report.provenance import deviation_lines, provenance
from bnexp.report.words import adjusted_p_values, as_json, claim_row, seconds_spent, verdict_table
from bnexp.stats.verdict import NO_GATES, Marks, Rule, RuleWords, Sample, Verdict, decide


@dataclass(frozen=True)
class Majority(Rule):
    """A claim that most seeds gain: a rule that no other code knows of."""

    share: float = 0.5

    def evidence(self, sample, rng):  # noqa: ARG002 - nothing random here
        gains = tuple(value > 0 for value in sample.arm)
        return [share_reached(Times((1.0,) * len(gains), gains))]

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
        endpoints={"gain": Endpoint("share", rule), "again": Endpoint("share", rule)},
        analyse=lambda *_: Evidence(samples=dict.fromkeys(("gain", "again"), Sample.of(np.linspace(1, 2, 8)))),
    )  # fmt: skip
    judged = judge_claim(claim, "quick", world.of("law").runs.cells, world.runs_dir)
    assert judged.primary.outcome == "SUPPORTED"
    assert claim_row(judged).effect == "1.00 [0.63, 1.00]"
    assert "SUPPORTED  1.00 [0.63, 1.00]       8 seeds" in verdict_table([judged])
    assert adjusted_p_values(judged) == {}
    endpoint = section(judged).endpoints[0]
    assert endpoint.rule.supports == "Most seeds gain."
    assert len(endpoint.pictures) == 2  # the interval and every seed


def test_a_smoke_budget_decides_nothing(world):
    judged = judge_claim(world.claims["law"], "smoke", world.of("law").runs.cells, world.runs_dir)
    assert (judged.primary.outcome, judged.primary.word) == ("INCONCLUSIVE", "not powered")
    assert judged.primary.effect == world.of("law").primary.effect


def test_an_analysis_of_other_endpoints_than_were_declared_is_not_judged(world):
    claim = replace(world.claims["law"], endpoints=world.claims["speed"].endpoints)
    judged = judge_claim(claim, "quick", world.of("law").runs.cells, world.runs_dir)
    assert judged.verdicts == {}
    assert "law declared ['own rate', 'same rate'] and analysed ['exponent']" in claim_row(judged).word


def test_secondary_p_values_are_corrected_for_their_number(world):
    judged = world.of("refuted")
    sample = judged.evidence.samples["late"]
    late = paired_p_value(sample.base, sample.arm)
    spread = paired_p_value((0.0,) * 8, judged.evidence.samples["spread"].arm)
    assert adjusted_p_values(judged) == {"late": pytest.approx(2 * late), "spread": pytest.approx(spread)}


def test_a_claim_whose_runs_were_cut_off_has_no_p(world):
    assert adjusted_p_values(world.of("censored")) == {}


def test_runs_that_claims_share_are_paid_once(world):
    alone = seconds_spent([world.of("law")])
    assert alone == 8 * 2.0
    assert seconds_spent([world.of("law"), world.of("gated")]) == alone
    assert claim_row(world.of("identity")).cost == "1 s"


def test_machines_get_strict_json_with_null_for_a_missing_limit(world):
    found = {one["claim"]: one for one in json.loads(json.dumps([as_json(j) for j in world.judged], allow_nan=False))}
    assert found["censored"]["endpoints"]["time"]["effect"]["high"] is None
    assert found["speed"]["outcome"] == "SUPPORTED"
    assert found["missing"] | {"endpoints": {}, "missing_runs": 3, "outcome": "NOT RUN"} == found["missing"]


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
    facts = dict(provenance(world.judged))
    assert facts["Budget"] == "quick"
    assert facts["Runs"].startswith("41 complete, 1 of them diverged")
    assert facts["Machine"].startswith("Linux, Made Up, 2 cores, device cpu (40 runs)")
    assert facts["Code"].startswith("commit 0123456789ab (40 runs)")


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
