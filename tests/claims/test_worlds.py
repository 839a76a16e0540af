"""Claims in made-up worlds: the effect is there, absent, reversed, or drowns in noise; each reaches that world's verdict.

Every training claim is planned as it will be; instead of training, each run of the plan gets a made-up record by the name of its
arm, so that tuning rounds, choices, levels, gates, rules and sentences all take part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from bnexp.claims import CLAIMS
from bnexp.claims.base import BUDGETS, Claim
from bnexp.claims.judge import Judged, judge_runs
from bnexp.claims.runs import Cell, Runs
from bnexp.claims.speed import UNTIMED
from bnexp.figures.style import SETTINGS
from bnexp.records.reader import RunRecord
from bnexp.runs.plan import Job, advance, make_plan

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

#: Evaluations, 7 % apart.
STEPS = np.unique(np.geomspace(10, 3000, 86).astype(int))

#: Claim to the arms (of any of its grids) that have the world's effect. Claims that judge more than speed have worlds of their own.
HAVE_EFFECT: dict[str, set[str]] = {
    "fig1_speed": {"subject"},
}


@dataclass(frozen=True)
class World:
    """What happens at each reported seed.

    Attributes:
        outcome: the verdict that every endpoint of every claim has to reach.
        factor: how many times sooner the arm with the effect is, for each of eight seeds (further ones begin again); its logarithm
            to base 2 is what it gains in points of test accuracy.
        best: the tuned value that is best, of every arm.
        plain: how fast the arms without the effect are.
        diverged: the seeds at which reported runs of the arm with the effect diverge.
    """

    outcome: str
    factor: Sequence[float]
    best: float = 2.0
    plain: float = 1.0
    diverged: tuple[int, ...] = ()

    def made(self, cell: Cell, has_effect: bool) -> Made:
        """The record of one run; tuning seeds have the middle of the effect."""
        reported = cell.seed < 1000
        factor = self.factor[cell.seed % 8] if reported else float(np.exp(np.log(self.factor).mean()))
        luck = 1 + 0.02 * ((cell.seed * 7) % 5 - 2)
        off = 0.0 if cell.value is None else abs(np.log2(cell.value / self.best))
        speed = self.plain * luck * (factor if has_effect else 1.0) * np.exp(-0.3 * off**2)
        return Made(speed, "diverged" if has_effect and cell.seed in self.diverged else "finished")


@dataclass(frozen=True)
class Made:
    """A record, as far as claims read them.

    Attributes:
        speed: 1 needs 200 steps to 85 % accuracy and 1,340 to 93 %, and as many to a loss of .5 and of .1.
        status: how the run ended.
        end: further fields of ``end.json``, such as ``probes``.
        arrays: probe or ``measure`` to arrays.
        machine: the processor.
    """

    speed: float
    status: str = "finished"
    end: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    machine: str = "A"

    def write(self, folder: Path, job: Job) -> None:
        relative = STEPS * self.speed / 200
        curves = {
            "val/accuracy": 1 - np.minimum(0.9, 0.15 * relative**-0.4),
            "train/loss": np.minimum(2.3, 0.5 * relative**-0.846),
        }
        events = [
            {"step": int(step), "name": name, "value": float(value), "seconds": step / 500}
            for name, values in curves.items()
            for step, value in zip(STEPS, values, strict=True)
        ]
        accuracy = (95 + float(np.log2(self.speed))) / 100
        test = {"accuracy": accuracy, "recomputed_accuracy": accuracy}
        end = {"status": self.status, "test": test, "step_ms": 2.0, "seconds": {"train": 6.0, "eval": 0.1}, **self.end}
        (folder / "probes").mkdir(parents=True)
        header = {"machine": {"processor": self.machine}, "device": "cpu"} | ({"config": asdict(job.config)} if job.config else {})
        for name, text in (
            ("run.json", json.dumps(header)),
            ("end.json", json.dumps(end)),
            ("events.jsonl", "".join(json.dumps(event) + "\n" for event in events)),
        ):
            (folder / name).write_text(text, encoding="utf-8")
        for probe, content in self.arrays.items():
            np.savez(folder / "probes" / f"{probe}.npz", **content)


WORLDS = {
    "there": World("SUPPORTED", np.geomspace(2.7, 3.3, 8)),
    "absent": World("CONTRADICTED", np.geomspace(1 / 1.02, 1.02, 8)),
    "reversed": World("CONTRADICTED", np.geomspace(0.45, 0.55, 8)),
    "noisy": World("INCONCLUSIVE", [0.25, 9.0, 0.4, 6.0, 0.6, 4.0, 0.25, 9.0]),
}


def judged(name: str, world: World, folder: Path, made: Callable[[Cell], Made] | None = None) -> Judged:
    """A claim planned, its runs made up round by round, and judged."""
    claim = CLAIMS[name]
    plan = make_plan([claim], BUDGETS["quick"], folder)
    make = made or (lambda cell: world.made(cell, cell.arm in HAVE_EFFECT[name]))
    while True:
        cells = {cell.run_id: cell for cell in plan.cells[claim.key]}
        for job in plan.missing():
            make(cells[job.run_id]).write(folder / job.run_id, job)
        if not advance(plan):
            return judge_runs(Runs(claim, "quick", plan.cells[claim.key], folder))


@pytest.fixture(scope="module")
def in_world(tmp_path_factory) -> Callable[[str, str], Judged]:
    """A claim judged in a world, made up once."""
    return cache(lambda name, world: judged(name, WORLDS[world], tmp_path_factory.mktemp(world)))


def test_every_training_claim_is_put_into_some_world():
    texts = [file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py")]
    known = {name for name in CLAIMS if any(re.search(rf"\b{name}\b", text) for text in texts)}
    assert {name for name in CLAIMS if CLAIMS[name].grids} <= known


def scaled(cell: Cell, factor: float) -> Made:
    """A run of a cell of the surface: the arm with BN is ``factor`` times sooner at small rates, and as fast at others."""
    rate = float(cell.arm.rpartition(" ")[2])
    return Made(factor if cell.arm.startswith("subject") and rate <= 1 / 16 else 1.0)


@pytest.mark.parametrize(
    ("factor", "outcome", "shares"),
    [(3.0, "CONTRADICTED", "in 33 % and later by as much in 0 %; at rates up to 0.0625 it is sooner in 100 %"),
     (1.0, "CONTRADICTED", "in 0 % and later by as much in 0 %; at rates up to 0.0625 it is sooner in 0 %")],
)  # fmt: skip
def test_the_surface_counts_cells_and_small_rates_apart(tmp_path, factor, outcome, shares):
    def make(cell: Cell) -> Made:
        made = scaled(cell, factor)
        return replace(made, speed=made.speed * (1.5 if cell.seed == 3 and factor == 3.0 and "subject" in cell.arm else 1.0))

    one = judged("speed_anywhere", WORLDS["there"], tmp_path, make)
    assert one.verdicts["sooner"].outcome == outcome, one.verdicts["sooner"].reason
    assert one.verdicts["later"].outcome == "SUPPORTED"
    assert shares in one.sentence
    figure = Figure()
    CLAIMS["speed_anywhere"].draw(one.evidence, figure)
    figure.draw_without_rendering()


def test_cells_in_which_neither_net_learns_do_not_count(tmp_path):
    one = judged("speed_anywhere", WORLDS["there"], tmp_path, lambda cell: Made(0.05 if "scale 0.01" in cell.arm else 1.0))
    assert "in 12 of 18 either net learns" in one.evidence.numbers["cells"]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", HAVE_EFFECT)
def test_each_world_has_its_verdict_at_every_endpoint_a_sentence_and_a_figure(name, world, in_world):
    one = in_world(name, world)
    assert not one.failure
    told = {endpoint: (verdict.outcome, verdict.word, verdict.reason) for endpoint, verdict in one.verdicts.items()}
    assert {outcome for outcome, *_ in told.values()} == {WORLDS[world].outcome}, told
    assert all(verdict.stability is not None for verdict in one.verdicts.values())
    if world != "noisy":
        assert not any(verdict.fragile for verdict in one.verdicts.values())
    assert one.evidence is not None
    assert all(one.evidence.gates.values())
    said = [one.sentence, *one.evidence.numbers.values(), *one.evidence.notes]
    assert all(isinstance(text, str) and text and "nan" not in text and "inf" not in text.split() for text in said)
    with matplotlib.rc_context(dict(SETTINGS)):
        figure = Figure()
        CLAIMS[name].draw(one.evidence, figure)
        figure.draw_without_rendering()
    assert figure.axes


# B1, sentence by sentence


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ("there", r"(2\.[89]|3\.[01]) times sooner"),
        ("absent", "neither clearly sooner nor later"),
        ("reversed", r"(1\.9|2\.[01]) times later"),
    ],
)
def test_the_sentence_about_speed_says_what_the_world_is(world, words, in_world):
    one = in_world("fig1_speed", world)
    assert len(re.findall(words, one.sentence)) == 2, one.sentence  # the easiest level and the hardest
    assert f"the plain network needs {one.verdicts['own rate'].effect.in_words(suffix=' times')} as many steps" in one.sentence


def test_speed_is_judged_at_the_rates_that_are_best(in_world):
    one = in_world("fig1_speed", "there")
    assert (one.runs.chosen("control"), one.runs.chosen("subject")) == ((2.0,), (2.0,))
    effect = one.verdicts["own rate"].effect
    assert effect is not None
    assert effect.estimate == pytest.approx(np.exp(np.log(WORLDS["there"].factor).mean()), rel=0.07)


def test_a_best_rate_beyond_the_list_is_looked_for_and_found(tmp_path):
    one = judged("fig1_speed", replace(WORLDS["there"], best=16.0), tmp_path)
    assert one.runs.chosen("subject") == (16.0,)
    assert one.verdicts["own rate"].outcome == "SUPPORTED"


def test_and_where_it_is_out_of_sight_nothing_is_said(tmp_path):
    one = judged("fig1_speed", replace(WORLDS["there"], best=128.0, plain=1.2), tmp_path)
    assert one.verdicts["own rate"].word == "gate failed"
    assert "every tuned value lies inside its list" in one.verdicts["own rate"].reason


def test_one_diverged_run_of_eight_passes_the_gate_and_two_fail_it(tmp_path):
    assert judged("fig1_speed", replace(WORLDS["there"], diverged=(3,)), tmp_path / "one").primary.outcome == "SUPPORTED"
    one = judged("fig1_speed", replace(WORLDS["there"], diverged=(3, 5)), tmp_path / "two")
    assert {verdict.word for verdict in one.verdicts.values()} == {"gate failed"}
    assert "at most one reported seed in eight diverged" in one.verdicts["own rate"].reason


def test_levels_that_the_plain_net_does_not_reach_do_not_count_and_too_few_of_them_say_nothing(tmp_path):
    one = judged("fig1_speed", replace(WORLDS["there"], plain=0.1), tmp_path)
    assert one.verdicts["own rate"].word == one.verdicts["late"].word == "out of reach"
    assert one.verdicts["early"].outcome == "SUPPORTED"
    assert one.sentence == "The plain network reaches too few of the levels for any sentence about speed."


def test_seconds_are_steps_times_what_a_step_costs(tmp_path):
    world = WORLDS["there"]

    def slow_steps(cell: Cell) -> Made:
        made = world.made(cell, cell.arm == "subject")
        return replace(made, end={"step_ms": 6.0 if cell.arm == "subject" else 2.0})

    one = judged("fig1_speed", world, tmp_path, slow_steps)
    assert one.verdicts["own rate"].outcome == "SUPPORTED"
    assert (one.verdicts["seconds"].outcome, one.verdicts["seconds"].word) == ("CONTRADICTED", "too small")


def test_seconds_of_another_machine_are_no_price(tmp_path):
    world = WORLDS["there"]

    def elsewhere(cell: Cell, seeds: range) -> Made:
        """Some of the subject's runs on a machine that is a hundred times as fast."""
        fast, made = cell.arm == "subject" and cell.seed in seeds, world.made(cell, cell.arm == "subject")
        return replace(made, machine="B" if fast else "A", end={"step_ms": 0.06 if fast else 6.0 if cell.arm == "subject" else 2.0})

    one = judged("fig1_speed", world, tmp_path / "some", lambda cell: elsewhere(cell, range(5)))
    assert (one.verdicts["seconds"].outcome, one.verdicts["seconds"].word) == ("CONTRADICTED", "too small")
    one = judged("fig1_speed", world, tmp_path / "all", lambda cell: elsewhere(cell, range(8)))
    assert (one.verdicts["seconds"].outcome, one.verdicts["seconds"].word) == ("INCONCLUSIVE", "out of reach")
    assert one.verdicts["seconds"].reason == UNTIMED
    assert one.verdicts["own rate"].outcome == "SUPPORTED"


def test_a_record_that_is_missing_leaves_a_claim_without_a_verdict(tmp_path):
    one = judged("fig1_speed", WORLDS["there"], tmp_path)
    cell = one.runs.cells[-1]
    assert RunRecord(tmp_path / cell.run_id).complete
    (tmp_path / cell.run_id / "end.json").unlink()
    again = judge_runs(Runs(CLAIMS["fig1_speed"], "quick", one.runs.cells, tmp_path))
    assert [missing.run_id for missing in again.missing] == [cell.run_id]
    assert (again.verdicts, again.sentence) == ({}, "")


def test_an_analysis_that_breaks_down_is_named(in_world):
    one = in_world("fig1_speed", "there")
    folder = one.runs.record(one.runs.cells[0]).folder.parent
    broken: Claim = replace(CLAIMS["fig1_speed"], say=lambda *_: {}["nothing"])
    again = judge_runs(Runs(broken, "quick", one.runs.cells, folder))
    assert again.failure.startswith("KeyError: 'nothing' (test_worlds.py, line ")
