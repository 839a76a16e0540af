"""Small worlds of made-up runs: claims of every outcome with records as ``bnexp train`` writes them, none of them trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Measurement, Sample, Tuning
from bnexp.claims.judge import Judged
from bnexp.claims.runs import Cell, cells_file, write_cells
from bnexp.records.curves import Duration, time_to_target
from bnexp.records.writer import RunWriter
from bnexp.registry import Registry
from bnexp.report.page import Written, build, gather
from bnexp.stats.rules import Difference, Equivalence, Exact, Scaling

STEPS = (0, 50, 100, 200, 400, 800)
TARGET = 0.9
NONE, BATCH = "norm=none", "norm=batch"


@dataclass(frozen=True)
class World:
    """A runs folder, its claims (in no global registry) and the report made of it."""

    runs_dir: Path
    claims: Registry[Claim]
    judged: list[Judged]
    written: Written

    @property
    def html(self) -> str:
        return self.written.page.read_text(encoding="utf-8")

    def of(self, name: str) -> Judged:
        return next(one for one in self.judged if one.claim.id == name)


def write_run(folder: Path, *, norm: str, status: str, accuracies: Sequence[float], clean: bool = True) -> None:
    """A record of a training run: header, validation accuracies at ``STEPS``, end."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {
        "run_id": folder.name,
        "config": {"model": {"name": "mlp"}, "norm": {"name": norm}, "dataset": {"name": "mnist_5k"}, "probes": {}},
        "data": {"name": "mnist_5k"},
        "device": "cpu",
        "versions": {"bnexp": "0.1.0", "torch": "2.15.0"},
        "git": {"commit": "0123456789abcdef", "clean": clean},
        "machine": {"system": "Linux", "processor": "Made Up", "cores": 2},
    }
    writer = RunWriter.begin(folder, header)
    for step, accuracy in zip(STEPS, accuracies, strict=False):
        writer.event(step, "val/accuracy", accuracy, step / 1000)
    writer.end({"status": status, "step": STEPS[-1], "seconds": {"train": 2.0}})


def write_measurement(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """A record of a claim's own measurement."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = RunWriter.begin(folder, {"run_id": folder.name, "versions": {"bnexp": "0.1.0"}})
    writer.arrays("measure", arrays)
    writer.end({"status": "finished", "seconds": {"measure": 1.0}})


def rising(first_above: int) -> list[float]:
    """Accuracies that are above the target from the evaluation of this number on; never, for one beyond the last."""
    return [0.5 + 0.01 * index if index < first_above else 0.95 for index in range(len(STEPS))]


def draw_nothing_much(evidence: Evidence, figure: Any) -> None:
    """The first endpoint's values, in order of seeds."""
    figure.subplots().plot(next(iter(evidence.samples.values())).arm)


def claim(name: str, section: str, endpoints: dict[str, Endpoint], analyse: Any, **more: Any) -> Claim:
    settings: dict[str, Any] = {
        "statement": f"The statement of {name}, with <angle brackets> & an ampersand.",
        "source": f"Author of {name} 2015, 4.1",
        "disputed_by": f"Critic of {name} 2018",
        "formula": f"formula of {name} = a / b",
        "caveats": (f"a caveat of {name}",),
        "overturn": f"what would overturn {name}",
        "deviations": (f"a deviation of {name}",),
        "draw": draw_nothing_much,
    }
    return Claim(id=name, section=section, endpoints=endpoints, analyse=analyse, **(settings | more))


def fixed(samples: dict[str, Sample], **more: Any) -> Callable[..., Evidence]:
    return lambda *_: Evidence(samples=samples, **more)


def noisy(center: float, spread: float, count: int = 8) -> tuple[float, ...]:
    """Evenly spread about a centre: the same every time, and no draw is lucky."""
    return tuple(np.linspace(center - spread, center + spread, count).tolist())


def steps_to_target(runs: Any, _rng: Any) -> Evidence:
    base, arm = (
        [time_to_target(r.curve("val/accuracy"), TARGET) for r in runs.reported(a).values()] for a in (NONE, BATCH)
    )
    same = [time_to_target(r.curve("val/accuracy"), TARGET) for r in runs.reported(BATCH, "same").values()]
    return Evidence(
        samples={"own rate": Sample.durations(base, arm), "same rate": Sample.durations(base, same)},
        gates={"the baseline learns at all": True},
        numbers={"target": f"{TARGET}"},
        notes=("a note about these runs",),
    )


RATIO = Difference(null=1, smallest=1.2, scale="ratio")
SPEED = claim(
    "speed", "B2",
    {"own rate": Endpoint("ratio of steps, own rates", RATIO), "same rate": Endpoint("ratio of steps, same rate", RATIO)},
    steps_to_target,
    grids=(
        Grid(
            vary={"norm": ("none", "batch")}, budgets={"quick": ()},
            tuning=Tuning(key="optimizer.lr", values=(0.1, 1.0), same_as=NONE),
        ),
    ),
)  # fmt: skip
REFUTED = claim(
    "refuted", "B10",
    {
        "gain": Endpoint("difference in accuracy", Difference(null=0, smallest=0.1)),
        "late": Endpoint("difference late in training", Difference(null=0, smallest=0.1)),
        "spread": Endpoint("difference in spread", Difference(null=0, smallest=0.1)),
    },
    fixed({
        "gain": Sample(arm=noisy(0.51, 0.02), base=(0.5,) * 8),
        "late": Sample(arm=noisy(0.9, 0.01), base=(0.5,) * 8),
        "spread": Sample(arm=noisy(0.0, 0.5)),
    }),
)  # fmt: skip
GATED = claim(
    "gated", "A5", {"sameness": Endpoint("difference", Equivalence(margin=0.1))},
    fixed({"sameness": Sample(arm=noisy(0, 0.01), base=(0.0,) * 8)}, gates={"the noise was large enough": False}),
)  # fmt: skip
LAW = claim(
    "law", "A7", {"exponent": Endpoint("exponent of the noise", Scaling(predicted=-0.5, rival=-1, within=0.1))},
    fixed({"exponent": Sample(arm=noisy(-0.5, 0.02))}),
)  # fmt: skip
NEVER = [Duration(800, 1.0, False)] * 8
SOON = [Duration(50 + 10 * seed, 0.1, True) for seed in range(8)]
CENSORED = claim(
    "censored", "B3", {"time": Endpoint("ratio of steps", RATIO), "both": Endpoint("where both are cut off", RATIO)},
    fixed({"time": Sample.durations(NEVER, SOON), "both": Sample.durations(NEVER, [*SOON[:6], *NEVER[:2]])}),
)  # fmt: skip
IDENTITY = claim(
    "identity", "B6", {"error": Endpoint("error of the identity", Exact(tolerance=1e-9))},
    lambda runs, _: Evidence(samples={"error": Sample(arm=tuple(runs.measured(0)["error"].tolist()))}),
    measurement=Measurement(measure=lambda *_: {}, num_seeds={"quick": 1}), disputed_by="",
)  # fmt: skip
MISSING = claim("missing", "N1", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}))
BROKEN = claim("broken", "M1", {"cost": Endpoint("ratio of times", RATIO)}, lambda *_: {}["no such run"])
UNSTARTED = claim(
    "unstarted", "N2", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}),
    grids=(Grid(vary={"norm": ("none",)}, budgets={"quick": ()}),),
)  # fmt: skip
UNAFFORDED = claim(
    "unafforded", "N3", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}),
    grids=(Grid(vary={"norm": ("none",)}, budgets={"full": ()}),),
)  # fmt: skip


def make_world(folder: Path) -> World:
    """Write every run, keep every list of runs, judge, report."""
    runs_dir = folder / "runs"
    claims: Registry[Claim] = Registry("claim")
    for one in (SPEED, REFUTED, GATED, LAW, CENSORED, IDENTITY, MISSING, BROKEN, UNSTARTED, UNAFFORDED):
        claims.add(one.id, one)
    cells = {"speed": _speed_cells(runs_dir), "identity": [_measured(runs_dir)]}
    shared = [_trained(runs_dir, "own", BATCH, None, seed, rising(1)) for seed in range(8)]
    cells |= dict.fromkeys(("refuted", "gated", "law", "censored", "broken"), shared)
    cells["missing"] = [
        *shared[:2],
        *(cell(regime="own", arm=NONE, value=None, seed=s, run_id=f"absent-{s}") for s in range(3)),
    ]
    for name, rows in cells.items():
        write_cells(cells_file(runs_dir, "quick", name), rows)
    judged = gather([claims[name] for name in claims], "quick", runs_dir)
    return World(runs_dir, claims, judged, build(judged, runs_dir / "report"))


def cell(*, regime: str, arm: str, value: float | None, seed: int, run_id: str, grid: int = 0) -> Cell:
    rate = "" if value is None else f" optimizer.lr={value:g}"
    command = f"bnexp train experiment=made_up {arm}{rate} seed={seed}"
    return Cell(grid=grid, regime=regime, arm=arm, value=value, seed=seed, run_id=run_id, command=command)


def _trained(
    runs_dir: Path,
    regime: str,
    arm: str,
    value: float | None,
    seed: int,
    accuracies: list[float],
    status: str = "finished",
) -> Cell:
    norm = arm.removeprefix("norm=")
    one = cell(
        regime=regime, arm=arm, value=value, seed=seed, run_id=f"mnist_5k-mlp-{norm}-lr{value or 0:g}-s{seed}-01234567"
    )
    write_run(runs_dir / one.run_id, norm=norm, status=status, accuracies=accuracies)
    return one


def _speed_cells(runs_dir: Path) -> list[Cell]:
    """The baseline is best at 0.1 and BN at 1; at its best rate BN needs a quarter of the steps; one tuning run diverged."""
    cells = []
    for arm, best in ((NONE, 0.1), (BATCH, 1.0)):
        for value in (0.1, 1.0):
            for seed in (1000, 1001):
                lost = arm == NONE and value == 1.0 and seed == 1001
                accuracies = rising(1 if value == best else 5)[: 2 if lost else None]
                cells.append(
                    _trained(runs_dir, "tuning", arm, value, seed, accuracies, "diverged" if lost else "finished")
                )
    for seed in range(8):
        cells.append(_trained(runs_dir, "own", NONE, 0.1, seed, rising(3 + seed % 2)))
        cells.append(_trained(runs_dir, "own", BATCH, 1.0, seed, rising(1 + seed % 2)))
        cells.append(_trained(runs_dir, "same", BATCH, 0.1, seed, rising(2)))
        cells.append(cell(regime="same", arm=NONE, value=0.1, seed=seed, run_id=cells[-3].run_id))
    return cells


def _measured(runs_dir: Path) -> Cell:
    write_measurement(runs_dir / "measure-identity-01234567", {"error": np.geomspace(1e-16, 1e-13, 200)})
    return Cell(
        grid=-1, regime="own", arm="measurement", value=None, seed=0, run_id="measure-identity-01234567",
        command="bnexp reproduce identity budget=quick",
    )  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Ten claims: of every outcome, scaling, censored, exact, with runs missing, a broken analysis, never started, none planned."""
    return make_world(tmp_path_factory.mktemp("world"))
