"""Claim A7: test accuracy, the training side and the noise law are told apart, and the law is measured on a net's own units."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnexp.claims.judge import judge
from bnexp.claims.minibatch_noise import (
    CALM,
    CLAIM,
    GHOSTS,
    NOISY,
    PLAIN,
    SIZES,
    THEOREM,
    _variance,
    analyse,
    draw,
    gap_points,
    measure,
    points_at_loss,
    say,
)
from bnexp.claims.runs import FINISHED, INSIDE, recomputed_points
from bnexp.records.curves import Curve
from bnexp.stats.sample import Side

STEPS = tuple(range(0, 110, 10))


def record(*, test=0.94, recomputed=0.95, train=0.99, arrives=60, val=0.9, status="finished"):
    """A run whose training loss is 0.01 from step ``arrives`` on, and whose validation accuracy rises in a line to ``val``."""
    curves = {
        "train/accuracy": [train] * len(STEPS),
        "train/loss": [0.01 if step >= arrives else 1.0 for step in STEPS],
        "val/accuracy": [val * step / 100 for step in STEPS],
    }
    return SimpleNamespace(
        status=status,
        end={"test": {"accuracy": test, "recomputed_accuracy": recomputed}},
        curve=lambda name: Curve(STEPS, tuple(curves[name]), tuple(map(float, STEPS))),
    )


class World:
    """Twelve seeds in which noise gains ``points`` of test accuracy, and the law of the layers has exponent ``slope``."""

    budget = "quick"

    def __init__(self, points: float, *, sd=0.1, slope=-1.0, theorem=-1.0, arrives=60) -> None:
        self.points, self.sd, self.slope, self.theorem, self.arrives = points, sd, slope, theorem, arrives

    def reported(self, arm: str, regime: str = "own", grid: int = 0) -> list[SimpleNamespace]:
        assert (regime, grid) == ("own", 0)
        rng = np.random.default_rng(sorted((*GHOSTS, PLAIN)).index(arm))
        gain = 0.01 * (self.points if arm in NOISY else 0.0)
        return [
            record(recomputed=0.95 + gain + 0.01 * self.sd * rng.normal(), val=0.9 + gain, arrives=self.arrives)
            for _ in range(12)
        ]

    def side(self, read, arm: str, regime: str = "own", grid: int = 0) -> Side:  # noqa: ARG002 - as Runs has it
        return Side((tuple(map(read, self.reported(arm))),))

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        sizes, wobble = np.array(SIZES, float), 0.01 * np.random.default_rng(seed).normal()
        return {"gaussian": sizes**self.theorem, "layers": np.stack([sizes ** (self.slope + wobble)] * 3)}

    def seeds(self) -> tuple[int, ...]:
        return tuple(range(8))

    def tuning_gate(self) -> dict[str, bool]:
        return {INSIDE: True}

    def finished_gate(self) -> dict[str, bool]:
        return {FINISHED: True}

    def chosen(self, arm: str, regime: str = "own", grid: int = 0) -> tuple[float, ...]:  # noqa: ARG002 - as Runs has it
        return (0.3, 1.0)


def judged(world):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence)


@pytest.mark.parametrize(
    ("world", "outcome", "words"),
    [
        (World(1.0), "SUPPORTED", "1.0 points more test accuracy"),
        (World(-1.0), "CONTRADICTED", "1.0 points less test accuracy"),
        (World(0.0, sd=0.05), "CONTRADICTED", "neither clearly more nor less test accuracy"),
        (World(0.1, sd=2.0), "INCONCLUSIVE", "neither clearly more nor less test accuracy"),
    ],
)
def test_the_analysis_tells_worlds_apart(world, outcome, words):
    evidence, verdicts = judged(world)
    assert next(iter(verdicts)) == "test accuracy"
    assert verdicts["test accuracy"].outcome == outcome
    assert words in say(evidence, verdicts)


def test_the_training_side_has_verdicts_of_its_own():
    verdicts = judged(World(1.0))[1]
    assert verdicts["generalisation gap"].outcome == "SUPPORTED"
    assert verdicts["generalisation gap"].effect.estimate == pytest.approx(-1, abs=0.2)
    assert verdicts["equal training loss"].effect.estimate == pytest.approx(0.6, abs=1e-9)  # at step 60 of 100
    assert judged(World(-1.0))[1]["generalisation gap"].word == "reversed"


def test_a_loss_that_is_not_reached_is_out_of_reach():
    assert judged(World(1.0, arrives=1000))[1]["equal training loss"].word == "out of reach"


@pytest.mark.parametrize(("slope", "outcome"), [(-1.0, "SUPPORTED"), (-0.5, "CONTRADICTED")])
def test_the_law_is_judged_on_the_layers(slope, outcome):
    assert judged(World(1.0, slope=slope))[1]["noise law"].outcome == outcome


def test_a_measurement_that_misses_the_theorem_says_nothing():
    evidence, verdicts = judged(World(1.0, theorem=-0.7))
    assert not evidence.gates[THEOREM]
    assert {verdict.word for verdict in verdicts.values()} == {"gate failed"}


def test_a_run_is_read_with_recomputed_statistics_where_it_has_them():
    assert recomputed_points(record(test=0.9, recomputed=0.95)) == pytest.approx(95)
    assert recomputed_points(record(test=0.9, recomputed=None)) == pytest.approx(90)
    assert gap_points(record(train=0.99, recomputed=0.95)) == pytest.approx(4)
    assert points_at_loss(record(arrives=60), 0.05) == pytest.approx(54)
    assert points_at_loss(record(arrives=100), 0.05) == pytest.approx(90)  # never at two points in a row


def test_the_figure_shows_every_layer_and_every_arm():
    figure = Figure()
    draw(judged(World(1.0))[0], figure)
    left, right = figure.axes
    assert len(left.lines) == 3 + 2
    assert [label.get_text() for label in right.get_xticklabels()] == [*GHOSTS, PLAIN]
    assert CALM in GHOSTS


def test_the_variance_is_that_of_batch_normalisation_with_drawn_companions():
    z_NC = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = _variance(z_NC, 8, 50, torch.Generator().manual_seed(1))
    generator, normalised = torch.Generator().manual_seed(1), []
    for _ in range(50):
        companions = z_NC[50:][torch.randperm(250, generator=generator)[:7]]
        batches = torch.cat([z_NC[:50].unsqueeze(0), companions.unsqueeze(1).expand(-1, 50, -1)]).flatten(1)
        normalised.append(torch.nn.functional.batch_norm(batches, None, None, training=True)[0])
    assert found == pytest.approx(float(torch.stack(normalised).var(dim=0).mean()), rel=1e-9)


def test_the_measurement_is_deterministic_and_has_every_layer():
    first, second = (measure(0, "smoke", "", "", ("model.depth=2",)) for _ in range(2))
    assert first["layers"].shape == (2, len(SIZES))
    for name, values in first.items():
        assert np.array_equal(values, second[name])
        assert (values > 0).all()
