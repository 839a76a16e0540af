"""Eight claims in three made-up worlds: the effect is there, is not, or drowns in noise; each reaches that world's verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.fig1_stability import TRACK
from bnexp.claims.judge import Judged, judge_claim
from bnexp.claims.runs import Cell
from bnexp.figures.style import SETTINGS

STEPS = range(0, 2620, 20)
NONE, BATCH = "norm=none", "norm=batch"
PAPER = {(0, NONE): False, (0, BATCH): True}
STANDARDIZED = [f"dataset.standardize={name}" for name in ("unit", "center", "global", "per_pixel", "none")]
GHOSTS = {size: f"norm=ghost norm.ghost_size={size}" for size in (8, 16, 32, 256)}

#: Claim to its reported arms, (grid, arm) to whether the world's effect is in it.
ARMS: dict[str, dict[tuple[int, str], bool]] = {
    "input_normalization": {(int(name.endswith("none")), name): name != STANDARDIZED[0] for name in STANDARDIZED},
    "hidden_normalization": {
        (grid, f"dataset.standardize={inputs} {norm}"): norm == BATCH
        for grid in (0, 1)
        for inputs in ("unit", "global")
        for norm in (NONE, BATCH)
    },
    "pinned_moments": PAPER,
    "minibatch_noise": {(0, arm): size in (16, 32) for size, arm in GHOSTS.items()} | {(1, NONE): False},
    "fig1_speed": PAPER,
    "fig1_accuracy": PAPER,
    "fig1_stability": PAPER,
    "step_cost": {},
}


@dataclass(frozen=True)
class World:
    """What happens at each of eight seeds.

    Attributes:
        outcome: the verdict that every endpoint of every claim has to reach.
        factor: how many times sooner, steadier or (step cost) slower the arm with the effect is; its logarithm to base 2 is what
            the arm gains in points of accuracy.
        unchanged: share of units that keep their sd, with the effect.
        slope: of the log variance of mini-batch noise on the log of the batch.
    """

    outcome: str
    factor: Sequence[float]
    unchanged: Sequence[float]
    slope: Sequence[float]


WORLDS = {
    "there": World("SUPPORTED", np.geomspace(2.7, 3.3, 8), np.linspace(0.93, 0.97, 8), np.linspace(-1.02, -0.98, 8)),
    "absent": World(
        "CONTRADICTED", np.geomspace(1 / 1.02, 1.02, 8), np.linspace(0.1, 0.2, 8), np.linspace(-0.52, -0.48, 8)
    ),
    "noisy": World("INCONCLUSIVE", np.geomspace(0.25, 9, 8), [0.3, 1.0] * 4, np.linspace(-1.3, -0.2, 8)),
}


def curve(arrives: float) -> list[tuple[int, float]]:
    return [(step, 0.97 if step >= arrives else 0.5) for step in STEPS]


def moments(unchanged: float) -> dict[str, np.ndarray]:
    """Two looks at a hundred units of one layer, this share of which keep their sd to 5 %; the others double it."""
    ratio_U = np.where(np.arange(100) < 100 * unchanged, 1.05, 2.0)
    sd_TU = np.stack([np.ones(100), ratio_U])
    sds = {"hidden1/next_input/unit_sd": sd_TU, "hidden1/pre_norm/unit_sd": sd_TU}
    return {"steps": np.array([0, STEPS[-1]]), **sds, TRACK: sd_TU[:, :, None] * np.array([-1.0, 0.0, 1.0])}


def write_run(folder: Path, norm: str, factor: float, unchanged: float, with_arrays: bool) -> None:
    """A finished run as far as these claims read it, all of whose numbers are ``factor`` times better than the baseline's."""
    drift = dict.fromkeys(
        ("drift_mean", "drift_sd", "net_sd", "tv50_early", "tv50_late", "tv_spread_early", "tv_spread_late"),
        0.3 / factor,
    )
    accuracy = (95 + float(np.log2(factor))) / 100
    end = {
        "status": "finished",
        "test": {"accuracy": accuracy, "recomputed_accuracy": accuracy},
        "probes": {"layer_inputs": dict.fromkeys(("pre_norm", "post_norm", "next_input"), drift)},
    }
    events = [
        {"step": step, "name": "val/accuracy", "value": value, "seconds": step / 1000}
        for step, value in curve(600 / factor)
    ]
    write(
        folder,
        {"config": {"norm": {"name": norm, "options": {"eps": 1e-5}}}},
        end,
        events,
        **({"layer_inputs": moments(unchanged)} if with_arrays else {}),
    )


def write(
    folder: Path, header: Mapping[str, Any], end: Mapping[str, Any], events: Sequence[Any], **arrays: Any
) -> None:
    (folder / "probes").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(header), encoding="utf-8")
    (folder / "end.json").write_text(json.dumps(end), encoding="utf-8")
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    for probe, content in arrays.items():
        np.savez(folder / "probes" / f"{probe}.npz", **content)


def trained(folder: Path, name: str, world: World) -> list[Cell]:
    """Two tuning runs of each arm and eight reported ones, at the same value as well."""
    cells = []
    for number, ((grid, arm), has_effect) in enumerate(ARMS[name].items()):
        norm = arm.rpartition("norm=")[2] if "norm=" in arm else "none"
        for seed in (1000, 1001, *range(8)):
            run_id = f"run-{number}-{seed}"
            factor, unchanged = (world.factor[seed], world.unchanged[seed]) if has_effect and seed < 8 else (1.0, 0.1)
            write_run(folder / run_id, norm, factor, unchanged, name in ("pinned_moments", "fig1_stability"))
            regimes = ("own", "same") if seed < 8 else ("tuning",)
            cells += [
                Cell(grid=grid, regime=regime, arm=arm, value=0.5, seed=seed, run_id=run_id, command="made up")
                for regime in regimes
            ]
    return cells


def measured(folder: Path, name: str, world: World) -> list[Cell]:
    """The two measurements that are analysed beside or instead of training runs."""
    cells = []
    for seed in range(8 if CLAIMS[name].measurement else 0):
        sizes = np.array([4.0, 8, 16, 32, 64, 256])
        arrays = {"sizes": sizes, "variance": sizes ** world.slope[seed]}
        if name == "step_cost":
            arrays = {norm: np.full(5, 2.0) for norm in ("none", "layer", "reference")}
            arrays["batch"] = arrays["none"] * world.factor[seed]
        run_id = f"measured-{seed}"
        write(folder / run_id, {}, {"status": "finished"}, [], measure=arrays)
        cells.append(
            Cell(grid=-1, regime="own", arm="measurement", value=None, seed=seed, run_id=run_id, command="made up")
        )
    return cells


def judged(folder: Path, name: str, world: World) -> Judged:
    cells = [*trained(folder, name, world), *measured(folder, name, world)]
    return judge_claim(CLAIMS[name], "quick", cells, folder)


@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("name", ARMS)
def test_each_world_has_its_verdict_at_every_endpoint_and_can_be_drawn(name, world, tmp_path):
    one = judged(tmp_path, name, world)
    told = {endpoint: (verdict.outcome, verdict.reason) for endpoint, verdict in one.verdicts.items()}
    assert {outcome for outcome, _ in told.values()} == {world.outcome}, told
    assert one.evidence is not None
    assert all(isinstance(value, str) and "nan" not in value for value in one.evidence.numbers.values())
    if world is not WORLDS["there"]:
        return
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        CLAIMS[name].draw(one.evidence, figure)
        figure.draw_without_rendering()
    assert figure.axes


def test_the_normalised_values_stand_still_by_construction_and_are_said_to(tmp_path):
    one = judged(tmp_path, "pinned_moments", WORLDS["noisy"])
    assert one.evidence is not None
    base, drifts = one.evidence.data["table"]["standardised", "sd"]
    assert base == []
    assert max(drifts) < 1e-5 < 1e-2 < min(one.evidence.data["table"]["pre_norm", "sd"][1])
    (told,) = (value for name, value in one.evidence.numbers.items() if name.startswith("drift of x^"))
    assert "tautological" in told
    assert "no evidence either way" in told


@pytest.mark.parametrize("name", ["pinned_moments", "fig1_stability"])
def test_a_reported_run_without_a_drift_leaves_its_claim_without_a_verdict_and_is_named(tmp_path, name):
    cells = trained(tmp_path, name, WORLDS["there"])
    broken = next(cell for cell in cells if cell.regime == "same")
    file = tmp_path / broken.run_id / "end.json"
    end = json.loads(file.read_text(encoding="utf-8"))
    for point in end["probes"]["layer_inputs"].values():
        point.update(dict.fromkeys(point))
    file.write_text(json.dumps(end | {"status": "diverged"}), encoding="utf-8")
    one = judge_claim(CLAIMS[name], "quick", cells, tmp_path)
    assert (one.verdicts, one.evidence) == ({}, None)
    assert f"{broken.run_id} diverged and has no layer_inputs" in one.failure
