"""The claims on the paper's runs that are not about speed: made-up runs whose numbers are known reach the verdict they should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.base import Evidence
from bnexp.claims.fig1_stability import TRACK
from bnexp.claims.judge import Judged, judge_runs
from bnexp.claims.pinned_moments import DRIFTS
from bnexp.claims.runs import Cell, Runs
from bnexp.figures.style import SETTINGS
from bnexp.report.pictures import save_figures

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

LOOKS = np.array([0, 10, 100, 300, 600, 1000, 2000, 3000])
VALUES, BEST = (1.0, 2.0, 4.0), 2.0


def judged(folder: Path, name: str, end: Any, arrays: Any = lambda *_: {}, *, looks: np.ndarray = LOOKS) -> Judged:
    """``end(arm, seed)`` and ``arrays(arm, seed)`` say what a reported run has; tuning finds ``BEST`` best in both arms."""
    cells = []
    for arm in ("control", "subject"):
        for value in VALUES:
            for seed in (*range(1000, 1006), *(range(8) if value == BEST else ())):
                run_id = f"{arm}-{value:g}-{seed}"
                reported = seed < 8
                write(
                    folder / run_id,
                    value,
                    end(arm, seed) if reported else {},
                    arrays(arm, seed) if reported else {},
                    looks,
                )
                cells += [
                    Cell(grid=0, regime=regime, arm=arm, value=value, seed=seed, run_id=run_id, command="made up")
                    for regime in (("own", "same") if reported else ("tuning",))
                ]
    return judge_runs(Runs(CLAIMS[name], "quick", cells, folder))


def write(
    folder: Path, value: float, end: Mapping[str, Any], arrays: Mapping[str, np.ndarray], looks: np.ndarray
) -> None:
    (folder / "probes").mkdir(parents=True)
    header = {"config": {"norm": {"name": "batch", "options": {"eps": 1e-5}}}}
    (folder / "run.json").write_text(json.dumps(header), encoding="utf-8")
    ended = {
        "status": "finished",
        "step": int(looks[-1]),
        "test": {"accuracy": 0.9, "recomputed_accuracy": None},
        **end,
    }
    (folder / "end.json").write_text(json.dumps(ended), encoding="utf-8")
    arrives, top = (400, 0.97) if value == BEST else (900, 0.95)
    events = [
        {"step": step, "name": "val/accuracy", "value": top if step >= arrives else 0.5, "seconds": step / 1e3}
        for step in range(0, 3001, 100)
    ] + [{"step": step, "name": "train/loss", "value": 0.25, "seconds": step / 1e3} for step in range(0, 3001, 500)]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    np.savez(folder / "probes" / "layer_inputs.npz", steps=looks, **arrays)


def can_be_drawn(one: Judged) -> None:
    assert one.evidence is not None
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        one.claim.draw(one.evidence, figure)
        figure.draw_without_rendering()


def spread(seed: int) -> float:
    """Seeds differ a little, so that there are intervals."""
    return 1 + 0.02 * seed


# --- B2


def ended(points: Mapping[str, float], recomputed: Mapping[str, float], arm: str, seed: int) -> dict[str, Any]:
    accuracy, other = (one[arm] / 100 + (0.0004 * seed if arm == "subject" else 0) for one in (points, recomputed))
    return {"test": {"accuracy": accuracy, "recomputed_accuracy": other if arm == "subject" else None}}


def accuracy(folder: Path, gain: float, gain_recomputed: float) -> Judged:
    base = {"control": 95.0}
    return judged(
        folder,
        "fig1_accuracy",
        partial(ended, base | {"subject": 95 + gain - 0.14}, base | {"subject": 95 + gain_recomputed - 0.14}),
    )


@pytest.mark.parametrize(
    ("gain", "outcome", "words"),
    [
        (1.0, "SUPPORTED", "so it ends higher"),
        (0.0, "CONTRADICTED", "less than the 0.2 points that would matter"),
        (-1.0, "CONTRADICTED", "so it ends lower"),
        (0.18, "INCONCLUSIVE", "which leaves open whether it ends higher by 0.2 points"),
    ],
)
def test_the_gain_in_test_accuracy_is_judged_and_said(tmp_path, gain, outcome, words):
    one = accuracy(tmp_path, gain, 1.0)
    assert one.verdicts["own rate"].outcome == outcome
    assert one.verdicts["own rate"].effect.estimate == pytest.approx(gain)
    assert one.verdicts["recomputed statistics"].effect.estimate == pytest.approx(1.0)
    assert words in one.sentence
    assert f"{95 + gain:.2f} % of the test digits right with BN and 95.00 % without" in one.sentence
    assert "has not converged" not in one.sentence
    can_be_drawn(one)


@pytest.mark.parametrize(("diverged", "word"), [((3,), "too noisy"), ((3, 5), "gate failed")])
def test_a_diverged_run_scores_nothing_and_two_of_eight_fail_the_gate(tmp_path, diverged, word):
    one = judged(
        tmp_path,
        "fig1_accuracy",
        lambda arm, seed: {"status": "diverged", "test": None} if arm == "control" and seed in diverged else {},
    )
    assert one.verdicts["own rate"].word == word
    if word == "gate failed":
        assert one.sentence == one.verdicts["own rate"].reason
    assert float(one.evidence.data["accuracy"][0]) < 90


# --- B3


def tracks(early: float, late: float, arm: str, seed: int) -> dict[str, np.ndarray]:
    """Ten units with a spread of 2 whose median moves evenly from look to look: in the control so many times as far."""
    move_T = np.where(LOOKS[1:] <= 600, early if arm == "control" else 1.0, late if arm == "control" else 1.0)
    median_T = np.concatenate([[0], np.cumsum(move_T)]) * 0.1 * (spread(seed) if arm == "control" else 1)
    half_T = np.exp(0.1 * np.cumsum(np.arange(len(LOOKS)) % 2) * (2 * spread(seed) if arm == "control" else 1))
    half_T /= half_T.mean()
    quantiles = np.stack([median_T - half_T, median_T, median_T + half_T], axis=1)
    return {TRACK: np.repeat(quantiles[:, None], 10, axis=1)}


@pytest.mark.parametrize(
    ("early", "outcome", "words"),
    [
        (4.0, "SUPPORTED", "so with BN it is much steadier; from step 600 to 3,000 the ratio is"),
        (1.3, "CONTRADICTED", "less than the factor of 2 that was asked for"),
        (0.3, "CONTRADICTED", "so it is with BN that it wanders more"),
    ],
)
def test_the_early_window_is_judged_whatever_happens_late(tmp_path, early, outcome, words):
    one = judged(tmp_path, "fig1_stability", lambda *_: {}, partial(tracks, early, 0.5))
    assert one.verdicts["early"].outcome == outcome, one.failure
    assert one.verdicts["late"].outcome == "CONTRADICTED"
    assert words in one.sentence
    assert "In the first 600 steps" in one.sentence
    can_be_drawn(one)


def test_what_comes_after_step_3000_changes_no_number_of_stability(tmp_path):
    longer = np.append(LOOKS, 50_000)

    def went_on(arm: str, seed: int) -> dict[str, np.ndarray]:
        found = tracks(4.0, 1.0, arm, seed)[TRACK]
        return {TRACK: np.concatenate([found, found[-1:] + 100])}

    short = judged(tmp_path / "short", "fig1_stability", lambda *_: {}, partial(tracks, 4.0, 1.0))
    long = judged(tmp_path / "long", "fig1_stability", lambda *_: {}, went_on, looks=longer)
    assert {name: one.effect for name, one in short.verdicts.items()} == {
        name: one.effect for name, one in long.verdicts.items()
    }


def test_a_window_that_the_runs_do_not_reach_is_out_of_reach_and_said_to_be(tmp_path):
    short = LOOKS[LOOKS <= 300]
    one = judged(
        tmp_path,
        "fig1_stability",
        lambda *_: {},
        lambda arm, seed: {TRACK: tracks(4.0, 1.0, arm, seed)[TRACK][: len(short)]},
        looks=short,
    )
    assert {name for name, verdict in one.verdicts.items() if verdict.word == "out of reach"} == {"late", "late spread"}
    assert one.evidence.notes == ("These runs end at step 300, inside the windows.",)
    assert "the ratio is" not in one.sentence


def test_tracks_that_are_not_finite_leave_no_verdict_and_the_run_is_named(tmp_path):
    def broken(arm: str, seed: int) -> dict[str, np.ndarray]:
        found = tracks(4.0, 1.0, arm, seed)[TRACK]
        return {TRACK: found * np.nan if (arm, seed) == ("subject", 5) else found}

    one = judged(tmp_path, "fig1_stability", lambda *_: {"status": "diverged"}, broken)
    assert (one.verdicts, one.evidence) == ({}, None)
    assert "subject-2-5 diverged and has no layer_inputs" in one.failure


def test_the_picture_of_the_whole_experiment_is_the_curves_and_the_tracks(tmp_path):
    steady = judged(tmp_path / "runs", "fig1_stability", lambda *_: {}, partial(tracks, 4.0, 1.0))
    arms = {arm: steady.runs.typical(arm, "same") for arm in ("control", "subject")}
    speed = Judged(
        claim=CLAIMS["fig1_speed"],
        budget="quick",
        runs=steady.runs,
        evidence=Evidence(samples={}, data={"arms": arms}),  # the levels, which are not there, are no part of it
    )
    told = save_figures([speed, steady], tmp_path / "figures")
    assert told["fig1"] == str(tmp_path / "figures" / "fig1.png")
    assert "KeyError" in told["fig1_speed"]
    assert "fig1" not in save_figures([steady], tmp_path / "figures")


# --- A5


def moments(kept: float, arm: str, seed: int, *, mean: float = 0.2, sd: float = 1.05) -> dict[str, np.ndarray]:
    """A hundred units, all of which dance meanwhile; with BN this share of them ends where it began, to ``mean`` sd and ``sd``."""
    stays_U = np.arange(100) < 100 * (kept if arm == "subject" else 0.2) - (seed % 3)
    mean_TU, sd_TU = np.full((len(LOOKS), 100), 7.0), np.full((len(LOOKS), 100), 3.0)
    mean_TU[0], sd_TU[0], mean_TU[-1], sd_TU[-1] = 0, 1, np.where(stays_U, mean, 0.3), np.where(stays_U, sd, 1.05)
    return {
        "hidden1/next_input/unit_mean": mean_TU,
        "hidden1/next_input/unit_sd": sd_TU,
        "hidden1/pre_norm/unit_sd": sd_TU,
    }


def drifted(ratio: float, arm: str, seed: int) -> dict[str, Any]:
    """Every drift 0.3 without BN and so many times less with it, but for z: the same."""
    points: dict[str, dict[str, float]] = {}
    for point, key in DRIFTS.values():
        less = spread(seed) * (1 if point == "pre_norm" else ratio)
        drift = 0.3 if arm == "control" else 0.3 / less
        points.setdefault(point, {}).update({key: drift, key.replace("eval", "settled"): drift})
    return {"probes": {"layer_inputs": points}}


@pytest.mark.parametrize(
    ("kept", "outcome", "words"),
    [
        (0.97, "SUPPORTED", "which is almost the same"),
        (0.7, "CONTRADICTED", "and 'almost the same' would ask for 90 %"),
        (0.1, "CONTRADICTED", "and 'almost the same' would ask for 90 %"),
    ],
)
def test_staying_almost_the_same_asks_for_nine_units_of_ten(tmp_path, kept, outcome, words):
    one = judged(tmp_path, "pinned_moments", partial(drifted, 4.0), partial(moments, kept))
    assert one.verdicts["kept"].outcome == outcome, one.failure
    assert one.verdicts["kept"].effect.estimate == pytest.approx(kept - 0.00875, abs=0.005)
    assert words in one.sentence
    assert "the mean of z, which the norm receives, drifts 1.069 times" in one.sentence
    can_be_drawn(one)


def test_steadier_in_the_ratios_is_not_constant_and_z_is_the_control(tmp_path):
    one = judged(tmp_path, "pinned_moments", partial(drifted, 4.0), partial(moments, 0.1))
    outcomes = {name: verdict.outcome for name, verdict in one.verdicts.items()}
    assert outcomes.pop("kept") == "CONTRADICTED"
    for name, outcome in outcomes.items():
        assert outcome == ("CONTRADICTED" if name.startswith("z:") else "SUPPORTED"), name


@pytest.mark.parametrize("change", [{"mean": 0.26}, {"sd": 1.11}, {"sd": 1 / 1.11}])
def test_a_unit_has_to_keep_both_its_mean_and_its_sd(tmp_path, change):
    one = judged(tmp_path, "pinned_moments", partial(drifted, 4.0), partial(moments, 1.0, **change))
    assert one.verdicts["kept"].effect.estimate == 0


def test_the_normalised_values_stand_still_by_construction_and_are_said_to(tmp_path):
    one = judged(tmp_path, "pinned_moments", partial(drifted, 1.0), partial(moments, 0.5))
    (told,) = (value for name, value in one.evidence.numbers.items() if name.startswith("drift of x^"))
    assert "tautological" in told
    assert "no evidence either way" in told


def test_a_drift_that_is_missing_leaves_no_verdict_and_the_run_is_named(tmp_path):
    def broken(arm: str, seed: int) -> dict[str, Any]:
        found = drifted(4.0, arm, seed)
        if (arm, seed) == ("control", 2):
            found["probes"]["layer_inputs"]["next_input"]["drift_mean"] = None
        return {"status": "diverged", **found} if (arm, seed) == ("control", 2) else found

    one = judged(tmp_path, "pinned_moments", broken, partial(moments, 0.5))
    assert (one.verdicts, one.evidence) == ({}, None)
    assert "control-2-2 diverged and has no layer_inputs" in one.failure
