"""Claims A1 and A3: inputs of every size start alike, and made-up runs reach the verdicts and sentences that they should."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.contrast import Arm
from bnexp.claims.hidden_normalization import CELLS
from bnexp.claims.inputs import LOSS_SPEED, RMS, SPEED, inputs
from bnexp.claims.judge import Judged, judge_runs
from bnexp.claims.runs import Cell, Runs
from bnexp.claims.speed import Comparison
from bnexp.config.compose import compose
from bnexp.engine.build import build, load_data
from bnexp.figures.style import SETTINGS

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

# Inputs


@pytest.mark.parametrize("standardize", RMS)
def test_first_pre_activations_start_equally_large_whatever_the_inputs_are(standardize):
    def sizes(standardize: str) -> list[float]:
        shared = ("dataset=mnist_5k", "model.init=he", "model.init_scale=1", "norm=none", "probes=none", "threads=1")
        config = compose((*shared, *inputs(standardize).split()))
        data = load_data(config)
        found = []
        for seed in range(4):
            experiment = build(compose((*shared, *inputs(standardize).split(), f"seed={seed}")), data)
            first = experiment.model.get_submodule("hidden1.linear")
            found.append(first(experiment.prepare(data.train.images).flatten(1)).square().mean().item())
        return found

    ratio = np.sqrt(np.mean(sizes(standardize)) / np.mean(sizes("unit")))
    assert ratio == pytest.approx(1, rel=0.05)


def test_reported_runs_may_end_beyond_the_hardest_levels_and_no_sooner():
    for name in ("input_normalization", "hidden_normalization"):
        for grid in CLAIMS[name].grids:
            for budget in ("quick", "full"):
                words = dict(word.split("=", 1) for word in grid.budgets[budget])
                assert float(words["train.stop_at_accuracy"]) >= 1 - SPEED.values(budget)[-1] - 1e-9
                assert int(words["train.steps"]) == SPEED.levels[budget].horizon == LOSS_SPEED.levels[budget].horizon
                if "train.stop_at_loss" in words:
                    assert float(words["train.stop_at_loss"]) <= LOSS_SPEED.values(budget)[-1] + 1e-9
                    assert "train.stop_at_loss=null" in grid.tuning.overrides[budget]


# Made-up runs

#: (arm, grid) to how many times slower than the fastest its runs are, at each tuned value.
Slowness = Mapping[tuple[str, int], Mapping[float, float]]


def write_run(folder: Path, slow: float) -> None:
    """A run whose error falls from .15 to .07, and whose training loss from .5 to .1, between steps 50 and 230 times ``slow``."""
    folder.mkdir()
    steps = range(5, 1505, 5)
    error = {step: min(0.9, 0.15 * (50 * slow / step) ** 0.5) for step in steps}
    loss = {step: min(2.3, 0.5 * (50 * slow / step) ** 1.056) for step in steps}
    events = [
        {"step": step, "name": name, "value": value, "seconds": step / 1000}
        for step in steps
        for name, value in (("val/accuracy", 1 - error[step]), ("train/loss", loss[step]))
    ]
    (folder / "run.json").write_text("{}", encoding="utf-8")
    (folder / "end.json").write_text(json.dumps({"status": "finished", "step_ms": 1.0}), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")


@pytest.fixture
def made_up(tmp_path) -> Callable[[Slowness], tuple[list[Cell], Path]]:
    """Writes the tuning runs of every value and the reported runs of the best of each arm."""

    def make(slowness: Slowness) -> tuple[list[Cell], Path]:
        rng, cells = np.random.default_rng(0), []
        for (arm, grid), by_value in slowness.items():
            best = min(by_value, key=lambda value: by_value[value])
            asked = [("tuning", value, seed) for value in by_value for seed in range(1000, 1004)]
            for regime, value, seed in (*asked, *(("own", best, seed) for seed in range(8))):
                run_id = f"{arm.replace(' ', '-')}-{grid}-{value}-{seed}"
                write_run(tmp_path / run_id, by_value[value] * float(np.exp(rng.normal(0, 0.02))))
                cells.append(Cell(grid=grid, regime=regime, arm=arm, value=value, seed=seed, run_id=run_id, command=""))
        return cells, tmp_path

    return make


def tuned(**slow: float) -> Slowness:
    """Arms of a claim with one grid more for the bytes, best at a value inside their lists."""
    return {
        (name, int(name == "bytes")): {0.25: 1.5 * factor, 0.5: factor, 1.0: 1.5 * factor}
        for name, factor in slow.items()
    }


def factorial(sigmoid: Mapping[str, float], relu: Mapping[str, float]) -> Slowness:
    """The two factorials, by cell."""
    return {
        (name, grid): {0.25: 1.5 * factor, 0.5: factor, 1.0: 1.5 * factor}
        for grid, net in enumerate((sigmoid, relu))
        for name, factor in net.items()
    }


def cells_of(*slow: float) -> dict[str, float]:
    return dict(zip(CELLS, slow, strict=True))


def drawn(one: Judged) -> Figure:
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        assert one.evidence is not None
        one.claim.draw(one.evidence, figure)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(
    ("center", "outcome", "words"),
    [
        (1.0, "SUPPORTED", "so centring speeds it up"),
        (1.96, "CONTRADICTED", "too little to matter"),
        (4.0, "CONTRADICTED", "so centring slows it down"),
    ],
)
def test_centring_is_judged_by_what_it_does_and_said_so(made_up, center, outcome, words):
    slowness = tuned(unit=2.0, center=center, per_pixel=1.0, bytes=6.0) | tuned(**{"global": center})
    one = judge_runs(Runs(CLAIMS["input_normalization"], "quick", *made_up(slowness)))
    assert one.verdicts["centring"].outcome == outcome, one.failure
    assert one.verdicts["scale"].outcome == "CONTRADICTED"
    assert one.verdicts["per pixel"].effect.estimate == pytest.approx(2, rel=0.1)
    assert one.verdicts["bytes"].effect.estimate == pytest.approx(3, rel=0.1)
    assert one.verdicts["training loss"].outcome == outcome
    assert words in one.sentence
    assert drawn(one).axes


def test_bytes_that_arrive_nowhere_are_out_of_reach_and_leave_the_rest_its_verdicts(made_up):
    slowness = tuned(unit=2.0, center=1.0, per_pixel=1.0, bytes=100.0) | tuned(**{"global": 1.0})
    one = judge_runs(Runs(CLAIMS["input_normalization"], "quick", *made_up(slowness)))
    assert one.verdicts["bytes"].word == "out of reach"
    assert one.verdicts["centring"].outcome == "SUPPORTED"
    assert "bytes 0 to 255: reaches none" in drawn(one).axes[0].get_xlabel()


def test_best_against_best_takes_the_better_inputs_of_each_side(made_up):
    sigmoid = cells_of(2.0, 1.0, 4.0, 1.6)  # raw none, raw BN, standardised none, standardised BN
    one = judge_runs(Runs(CLAIMS["hidden_normalization"], "quick", *made_up(factorial(sigmoid, cells_of(3, 3, 1, 1)))))
    effects = {name: verdict.effect.estimate for name, verdict in one.verdicts.items()}
    assert effects["sigmoid, best against best"] == pytest.approx(2 / 1, rel=0.1)
    assert effects["sigmoid, standardised inputs"] == pytest.approx(4 / 1.6, rel=0.1)
    assert effects["sigmoid, main effect"] == pytest.approx(np.sqrt(2 / 1 * 4 / 1.6), rel=0.1)
    assert effects["sigmoid, interaction"] == pytest.approx((2 / 1) / (4 / 1.6), rel=0.1)
    assert one.verdicts["sigmoid, best against best"].outcome == "SUPPORTED"
    assert one.verdicts["sigmoid, training loss"].outcome == "SUPPORTED"
    assert one.verdicts["ReLU, best against best"].outcome == "CONTRADICTED"
    assert "so it helps beyond normalising the data" in one.sentence
    assert one.evidence.numbers["sigmoid: best without BN"] == "inputs 0 to 1 at rate 0.5"
    assert one.evidence.numbers["ReLU: best with BN"] == "inputs standardised at rate 0.5"
    assert len(drawn(one).axes) == 2


def test_bn_that_only_does_what_standardising_does_is_contradicted(made_up):
    sigmoid = cells_of(3.0, 1.0, 1.0, 1.0)
    one = judge_runs(Runs(CLAIMS["hidden_normalization"], "quick", *made_up(factorial(sigmoid, sigmoid))))
    assert one.verdicts["sigmoid, best against best"].outcome == "CONTRADICTED"
    assert one.verdicts["sigmoid, interaction"].outcome == "SUPPORTED"
    assert one.verdicts["sigmoid, main effect"].effect.estimate == pytest.approx(np.sqrt(3), rel=0.1)
    assert "too little to matter" in one.sentence


def test_only_values_near_the_best_of_all_competing_arms_count(made_up):
    sigmoid = cells_of(2.0, 1.0, 40.0, 1.6)  # the standardised control arrives nowhere, the raw one everywhere
    cells, folder = made_up(factorial(sigmoid, sigmoid))
    runs = Runs(CLAIMS["hidden_normalization"], "quick", cells, folder)
    best = Arm("raw control", also=("standardised control",))
    comparison = Comparison(runs, SPEED, (best,), (Arm("raw subject"),))
    assert comparison.values(best) == [("raw control", 0.5)]
    assert comparison.reached.min() == 1
    np.testing.assert_array_equal(comparison.steps(best), comparison.steps(Arm("raw control")))
    assert np.isnan(comparison.steps(Arm("standardised control"))).all()
    assert comparison.part().all()
    worst = Comparison(
        runs, SPEED, (Arm("raw control"),), (Arm("raw subject"),), reached_by=(Arm("standardised control"),)
    )
    assert worst.too_few()
