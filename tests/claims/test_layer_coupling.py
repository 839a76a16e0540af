"""Claim A6: its measurement is deterministic and leaves the run alone; its analysis tells the two worlds apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnexp.claims.judge import judge
from bnexp.claims.layer_coupling import (
    ACTUAL,
    ARMS,
    CHECKPOINTS,
    CLAIM,
    INTERACTION,
    MATCHED,
    NETS,
    QUANTITIES,
    SIGMOID,
    _look,
    analyse,
    draw,
    measure,
    say,
)
from bnexp.config.compose import compose
from bnexp.engine.build import build

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

KEYS = [f"{net}/{arm}/{quantity}" for net in NETS for arm in ARMS for quantity in QUANTITIES]


class World:
    """Eight seeds in which BN divides every quantity by ``factor``, at the steps of training by ``actual``."""

    budget = "quick"

    def __init__(self, factor: float, actual: float | None = None) -> None:
        self.factor, self.actual = factor, actual or factor

    def seeds(self) -> tuple[int, ...]:
        return tuple(range(8))

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        noise = np.random.default_rng(seed).normal(1.0, 0.03, size=len(KEYS))
        return {key: np.full(10, 0.2 * wobble / self._by(key)) for key, wobble in zip(KEYS, noise, strict=True)}

    def _by(self, key: str) -> float:
        if "/subject/" not in key:
            return 1.0
        return self.actual if key.endswith(ACTUAL) else self.factor


def judged(world):
    evidence = analyse(world, np.random.default_rng(0))
    return evidence, judge(CLAIM, evidence)


@pytest.mark.parametrize(("factor", "outcome"), [(2.0, "SUPPORTED"), (1.0, "CONTRADICTED"), (0.5, "CONTRADICTED")])
def test_the_analysis_tells_worlds_apart(factor, outcome):
    assert {verdict.outcome for verdict in judged(World(factor))[1].values()} == {outcome}


def test_the_matched_step_is_primary_and_the_step_of_training_has_its_own_verdict():
    evidence, verdicts = judged(World(2.0, actual=0.5))
    assert next(iter(CLAIM.endpoints)) == f"{SIGMOID}: {INTERACTION}, {MATCHED}"
    assert verdicts[f"{SIGMOID}: {INTERACTION}, {MATCHED}"].outcome == "SUPPORTED"
    assert verdicts[f"{SIGMOID}: {INTERACTION}, {ACTUAL}"].word == "reversed"
    sentence = say(evidence, verdicts)
    assert "2.0 times less" in sentence
    assert "2.0 times more" in sentence
    assert "of the 6 measures by other definitions the claim is supported by 4 and contradicted by 2" in sentence


def test_the_sentence_claims_nothing_where_nothing_was_found():
    assert say(*judged(World(1.0))).count("neither clearly less nor more") == 4


def test_the_figure_shows_both_arms_and_both_steps():
    figure = Figure()
    draw(judged(World(2.0))[0], figure)
    assert [len(axes.lines) for axes in figure.axes] == [4, 4, 2] * len(NETS)


def test_every_budget_looks_equally_often():
    assert len(CHECKPOINTS["quick"]) == len(CHECKPOINTS["full"]) == 10


def test_the_measurement_is_deterministic_finite_and_of_the_subject():
    first, second = (measure(0, "smoke", "norm=none", "norm=batch", ()) for _ in range(2))
    other = measure(0, "smoke", "norm=none", "norm=layer", ())
    assert set(first) == set(KEYS)
    for key in KEYS:
        assert np.array_equal(first[key], second[key])
        assert np.isfinite(first[key]).all()
        assert np.array_equal(first[key], other[key]) == ("/control/" in key)


def experiment_of(*overrides: str):
    experiment = build(compose(["norm=batch", "probes=none", "threads=1", "optimizer.momentum=0", *overrides]))
    experiment.model.train()
    return experiment


def test_the_step_of_training_follows_the_rate_and_the_matched_one_does_not():
    small, large = (_look(experiment_of(f"optimizer.lr={rate}"), 0) for rate in (0.01, 1.0))
    assert small[f"{INTERACTION}, {MATCHED}"] == large[f"{INTERACTION}, {MATCHED}"]
    assert small[f"{INTERACTION}, {ACTUAL}"] < large[f"{INTERACTION}, {ACTUAL}"]


def test_looking_leaves_the_run_alone():
    experiment = experiment_of()
    before = {name: value.clone() for name, value in experiment.model.state_dict().items()}
    order, noise = experiment.batches.state(), experiment.augmentation.get_state()
    row = _look(experiment, 0)
    assert set(row) == set(QUANTITIES)
    torch.testing.assert_close(experiment.model.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(experiment.batches.state(), order, rtol=0, atol=0)
    assert torch.equal(experiment.augmentation.get_state(), noise)
