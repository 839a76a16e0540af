"""Small worlds of made-up runs: claims of every outcome with records as ``bnexp train`` writes them, none of them trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Measurement, Tuning
from bnexp.claims.judge import Judged
from bnexp.claims.quantities import Levels, Speed
from bnexp.claims.runs import Cell, write_cells
from bnexp.claims.variants import variant_of
from bnexp.records.writer import RunWriter
from bnexp.registry import Registry
from bnexp.report.page import Written, build, gather
from bnexp.stats.rules import Difference, Equivalence, Exact, Scaling
from bnexp.stats.sample import Sample

STEPS = (0, 50, 100, 200, 400, 800)
CONTROL, SUBJECT = "control", "subject"
NORMS = {CONTROL: "none", SUBJECT: "batch"}
RATES = (0.01, 0.1, 1.0, 10.0)
TO_LEVELS = Speed({"quick": Levels(0.15, 0.07, 800)})

#: What makes the variant that is in the world.
GHOST = ("subject=norm=ghost",)


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

    def of(self, key: str) -> Judged:
        return next(one for one in self.judged if one.claim.key == key)

    def named(self, key: str, name: str) -> Judged:
        """A claim as if it had the id of another one."""
        one = self.of(key)
        return replace(one, claim=replace(one.claim, id=name), sentence=one.sentence.replace(key, name))


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
    figure.subplots().plot(next(iter(evidence.samples.values())).arm[0].values[0])


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
        "say": lambda _, verdicts: f"The sentence of {name} & what it found: {next(iter(verdicts.values())).outcome.lower()}.",
    }
    return Claim(id=name, section=section, endpoints=endpoints, analyse=analyse, **(settings | more))


def fixed(samples: dict[str, Sample], **more: Any) -> Callable[..., Evidence]:
    return lambda *_: Evidence(samples=samples, **more)


def noisy(center: float, spread: float, count: int = 8) -> list[float]:
    """Evenly spread about a centre: the same every time, and no draw is lucky."""
    return np.linspace(center - spread, center + spread, count).tolist()


def steps_to_levels(runs: Any, _rng: Any) -> Evidence:
    def sample(regime: str) -> Sample:
        sides = (
            runs.side(lambda r: math.exp(-TO_LEVELS.score(r, "quick")), arm, regime) for arm in (SUBJECT, CONTROL)
        )
        arm, base = sides
        return Sample((arm,), (base,))

    return Evidence(
        samples={"own rate": sample("own"), "same rate": sample("same")},
        gates={"the baseline learns at all": True} | runs.tuning_gate() | runs.finished_gate(),
        numbers={"levels": "93 %"},
        notes=("a note about these runs",),
    )


RATIO = Difference(null=1, smallest=1.2, scale="ratio")
GAIN = Difference(null=0, smallest=0.1)
BASE = [0.5] * 8
ABOUT_BN = {"control": "norm=none", "subject": "norm=batch"}
ARMS = {CONTROL: "{control}", SUBJECT: "{subject}"}
SPEED = claim(
    "speed", "B2",
    {"own rate": Endpoint("ratio of steps, own rates", RATIO), "same rate": Endpoint("ratio of steps, same rate", RATIO)},
    steps_to_levels,
    **ABOUT_BN,
    grids=(
        Grid(
            arms=ARMS, budgets={"quick": ()},
            tuning=Tuning(key="optimizer.lr", values=RATES, by=TO_LEVELS, same_as=CONTROL),
        ),
    ),
)  # fmt: skip
REFUTED = claim(
    "refuted", "B10",
    {
        "gain": Endpoint("difference in accuracy", GAIN, "points"),
        "late": Endpoint("difference late in training", GAIN),
        "spread": Endpoint("difference in spread", GAIN),
    },
    fixed({
        "gain": Sample.of(noisy(0.51, 0.02), BASE),
        "late": Sample.of(noisy(0.9, 0.01), BASE),
        "spread": Sample.of(noisy(0.0, 0.5)),
    }),
    **ABOUT_BN,
)  # fmt: skip
FRAGILE = claim("fragile", "B3", {"gain": Endpoint("gain", GAIN)}, fixed({"gain": Sample.of(noisy(0.605, 0.05), BASE)}), **ABOUT_BN)
GATED = claim(
    "gated", "A5", {"sameness": Endpoint("difference", Equivalence(margin=0.1))},
    fixed({"sameness": Sample.of(noisy(0, 0.01), [0.0] * 8)}, gates={"the noise was large enough": False}),
)  # fmt: skip
LAW = claim(
    "law", "A7", {"exponent": Endpoint("exponent of the noise", Scaling(predicted=-0.5, rival=-1, within=0.1))},
    fixed({"exponent": Sample.of(noisy(-0.5, 0.02))}), **ABOUT_BN,
)  # fmt: skip
IDENTITY = claim(
    "identity", "A1", {"error": Endpoint("error of the identity", Exact(tolerance=1e-9))},
    lambda runs, _: Evidence(samples={"error": Sample.of(runs.measured(0)["error"])}),
    measurement=Measurement(measure=lambda *_: {}, num_seeds={"quick": 1}), disputed_by="",
)  # fmt: skip
MISSING = claim("missing", "N1", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}))
BROKEN = claim("broken", "M1", {"cost": Endpoint("ratio of times", RATIO)}, lambda *_: {}["no such run"])
UNSTARTED = claim(
    "unstarted", "N2", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}),
    grids=(Grid(arms=ARMS, budgets={"quick": ()}),),
)  # fmt: skip
UNAFFORDED = claim(
    "unafforded", "N3", {"cost": Endpoint("ratio of times", RATIO)}, fixed({}),
    grids=(Grid(arms=ARMS, budgets={"full": ()}),),
)  # fmt: skip


def make_world(folder: Path) -> World:
    """Write every run, keep every list of runs, judge, report."""
    runs_dir = folder / "runs"
    claims: Registry[Claim] = Registry("claim")
    for one in (SPEED, REFUTED, FRAGILE, GATED, LAW, IDENTITY, MISSING, BROKEN, UNSTARTED, UNAFFORDED):
        claims.add(one.id, one)
    cells = {"speed": _speed_cells(runs_dir, NORMS), "identity": [_measured(runs_dir)]}
    shared = [_trained(runs_dir, "own", SUBJECT, "batch", None, seed, rising(1)) for seed in range(8)]
    cells |= dict.fromkeys(("refuted", "fragile", "gated", "law", "broken"), shared)
    cells["missing"] = [
        *shared[:2],
        *(cell(regime="own", arm=CONTROL, norm="none", value=None, seed=s, run_id=f"absent-{s}") for s in range(3)),
    ]
    for name, rows in cells.items():
        write_cells(runs_dir, "quick", claims[name], rows)
    write_cells(runs_dir, "quick", variant_of(SPEED, GHOST), _speed_cells(runs_dir, NORMS | {SUBJECT: "ghost"}))
    judged = gather([claims[name] for name in claims], "quick", runs_dir)
    return World(runs_dir, claims, judged, build(judged, runs_dir / "report"))


def cell(*, regime: str, arm: str, norm: str, value: float | None, seed: int, run_id: str, grid: int = 0) -> Cell:
    rate = "" if value is None else f" optimizer.lr={value:g}"
    command = f"bnexp train experiment=made_up norm={norm}{rate} seed={seed}"
    return Cell(grid=grid, regime=regime, arm=arm, value=value, seed=seed, run_id=run_id, command=command)


def _trained(
    runs_dir: Path, regime: str, arm: str, norm: str, value: float | None, seed: int, accuracies: list[float],
    status: str = "finished",
) -> Cell:  # fmt: skip
    name = f"mnist_5k-mlp-{norm}-lr{value or 0:g}-s{seed}-01234567"
    write_run(runs_dir / name, norm=norm, status=status, accuracies=accuracies)
    return cell(regime=regime, arm=arm, norm=norm, value=value, seed=seed, run_id=name)


def _speed_cells(runs_dir: Path, norms: dict[str, str]) -> list[Cell]:
    """The baseline is best at 0.1 and a norm at 1; at its best rate it needs a quarter of the steps; one tuning run diverged."""
    cells = []
    for arm, best in ((CONTROL, 0.1), (SUBJECT, 1.0)):
        for value in RATES:
            for seed in (1000, 1001):
                lost = arm == CONTROL and value == 1.0 and seed == 1001
                accuracies = rising(1 if value == best else 5)[: 2 if lost else None]
                status = "diverged" if lost else "finished"
                cells.append(_trained(runs_dir, "tuning", arm, norms[arm], value, seed, accuracies, status))
    for seed in range(8):
        cells.append(_trained(runs_dir, "own", CONTROL, norms[CONTROL], 0.1, seed, rising(3 + seed % 2)))
        cells.append(_trained(runs_dir, "own", SUBJECT, norms[SUBJECT], 1.0, seed, rising(1 + seed % 2)))
        cells.append(_trained(runs_dir, "same", SUBJECT, norms[SUBJECT], 0.1, seed, rising(2)))
        cells.append(replace(cells[-3], regime="same"))
    return cells


def _measured(runs_dir: Path) -> Cell:
    write_measurement(runs_dir / "measure-identity-01234567", {"error": np.geomspace(1e-16, 1e-13, 200)})
    return Cell(
        grid=-1, regime="own", arm="measurement", value=None, seed=0, run_id="measure-identity-01234567",
        command="bnexp reproduce identity budget=quick",
    )  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Ten claims (of every outcome, fragile, exact, with runs missing, broken, never started, none planned) and a variant."""
    return make_world(tmp_path_factory.mktemp("world"))
