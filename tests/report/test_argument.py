"""The argument: what it says is read off the verdicts and never stronger, and every prediction is about an endpoint that exists."""

from __future__ import annotations

from dataclasses import replace

from bnexp.claims import CLAIMS
from bnexp.claims.judge import Judged
from bnexp.claims.runs import Runs
from bnexp.report.argument import argument, follows, sources_of, the_answer
from bnexp.report.disputes import ANSWER, DISPUTES, THE_REASON
from bnexp.stats.intervals import Interval
from bnexp.stats.verdict import Verdict


def test_every_prediction_names_a_claim_an_endpoint_and_a_side():
    for dispute in DISPUTES:
        for test in dispute.tests:
            assert not test.endpoint or test.endpoint in CLAIMS[test.claim].endpoints, (dispute.id, test.claim)
            predicted = {test.supported, test.contradicted} - {""}
            assert predicted, (dispute.id, test.claim)
            assert predicted <= set(dispute.sides), (dispute.id, test.claim)


def test_each_of_the_ten_conflicts_of_the_sheet_has_a_dispute_of_its_own():
    conflicts = {"stability", "jacobian", "depth", "rate", "smoothness", "shift", "noise", "edge", "explosion", "replaced"}
    assert {dispute.id for dispute in DISPUTES} == conflicts
    assert len(DISPUTES) == len(conflicts)
    assert all(dispute.not_shown and dispute.decided_by for dispute in DISPUTES)


def test_every_side_can_win_and_lose_something():
    for dispute in DISPUTES:
        told = {side for test in dispute.tests for side in (test.supported, test.contradicted) if side}
        assert told == set(dispute.sides), dispute.id


def test_the_answer_rests_on_claims_and_has_words_for_each_outcome():
    assert set(ANSWER) <= set(CLAIMS)
    assert {frozenset(words) for words in ANSWER.values()} == {frozenset({"SUPPORTED", "CONTRADICTED", "INCONCLUSIVE"})}


def judged(name: str, outcome: str, stability: float = 1.0) -> Judged:
    """A claim with one made-up verdict at all its endpoints."""
    claim = CLAIMS[name]
    verdict = Verdict(outcome, "made up", Interval(1.5, 1.2, 1.8, 0.95, 8), "as claimed", stability)
    runs = Runs(claim, "quick", (), None)
    return Judged(claim=claim, budget="quick", runs=runs, verdicts=dict.fromkeys(claim.endpoints, verdict), sentence="made up")


def test_the_answer_says_what_the_verdicts_say_and_marks_fragile_ones():
    said = the_answer([judged("fig1_speed", "CONTRADICTED"), judged("pinned_moments", "INCONCLUSIVE", 0.5)])
    assert said[0].sentence == ANSWER["fig1_speed"]["CONTRADICTED"] + "."
    assert said[1].sentence == ANSWER["pinned_moments"]["INCONCLUSIVE"] + " (fragile)."
    assert said[-1].sentence.startswith("Is internal covariate shift the reason? Of 1 verdict that could tell them apart")
    assert said[-1].row is None


def test_an_overruled_claim_answers_nothing():
    assert not the_answer([judged("fig1_speed", "SUPPORTED")], ["fig1_speed"])


def test_what_follows_counts_for_whom_the_verdicts_speak():
    known = {name: judged(name, outcome) for name, outcome in (("fig1_stability", "SUPPORTED"), ("pinned_moments", "CONTRADICTED"))}
    told = follows(THE_REASON, known)
    assert told.startswith("Of 2 verdicts that could tell them apart, one fits Ioffe & Szegedy, one fits Santurkar et al.")
    known["pinned_moments"] = judged("pinned_moments", "INCONCLUSIVE")
    assert "one decides nothing" in follows(THE_REASON, known)
    known["fig1_stability"] = replace(judged("fig1_stability", "SUPPORTED", 0.6))
    assert "(one of these verdicts is fragile)" in follows(THE_REASON, known)


def test_what_follows_ends_with_one_full_stop_where_a_side_ends_with_one():
    (edge,) = (dispute for dispute in DISPUTES if dispute.id == "edge")
    told = follows(edge, {"edge_of_stability": judged("edge_of_stability", "SUPPORTED")})
    assert told.endswith("none fit Santurkar et al. and three fit Cohen et al.")


def test_a_dispute_without_a_verdict_is_left_out_and_one_with_some_names_the_rest():
    assert argument([]) == []
    (view, *_) = argument([judged("fig1_stability", "SUPPORTED")])
    assert view.dispute is THE_REASON
    assert "fig1_stability" not in view.not_run
    assert "pinned_moments" in view.not_run


def test_sources_are_found_in_the_words_of_claims():
    assert sources_of("Ioffe & Szegedy 2015, 4.1, Fig. 1a: about 0.5 to 1 point by eye, one run each") == ("Ioffe & Szegedy 2015",)
    assert sources_of("") == ()
    unnamed = [name for name in CLAIMS if not sources_of(CLAIMS[name].source)]
    assert unnamed == ["step_cost"]  # a question of our own
