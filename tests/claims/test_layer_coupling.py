"""Claim A6: its measurement is deterministic and leaves the run alone; its analysis tells the two worlds apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bnexp.claims.judge import judge
from bnexp.claims.layer_coupling import CLAIM, NETS, NORMS, QUANTITIES, _look, analyse, measure
from bnexp.config.compose import compose
from bnexp.engine.build import build

KEYS = [f"{net}/{norm}/{quantity}" for net in NETS for norm in NORMS for quantity in QUANTITIES]


class World:
    """Eight seeds in which BN divides every quantity by ``factor``."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def seeds(self) -> tuple[int, ...]:
        return tuple(range(8))

    def measured(self, seed: int) -> dict[str, np.ndarray]:
        noise = np.random.default_rng(seed).normal(1.0, 0.03, size=len(KEYS))
        return {
            key: np.full(3, 0.2 * wobble / (self.factor if "/batch/" in key else 1.0))
            for key, wobble in zip(KEYS, noise, strict=True)
        }


@pytest.mark.parametrize(("factor", "outcome"), [(2.0, "SUPPORTED"), (1.0, "CONTRADICTED"), (0.5, "CONTRADICTED")])
def test_the_analysis_tells_worlds_apart(factor, outcome):
    rng = np.random.default_rng(0)
    verdicts = judge(CLAIM, analyse(World(factor), rng), rng)
    assert {verdict.outcome for verdict in verdicts.values()} == {outcome}


def test_the_measurement_is_deterministic_and_finite():
    first, second = measure(0, "smoke"), measure(0, "smoke")
    assert set(first) == set(KEYS)
    for key in KEYS:
        assert np.array_equal(first[key], second[key])
        assert np.isfinite(first[key]).all()


def test_looking_leaves_the_run_alone():
    experiment = build(compose(["norm=batch", "probes=none", "threads=1", "optimizer.momentum=0"]))
    experiment.model.train()
    before = {name: value.clone() for name, value in experiment.model.state_dict().items()}
    order, noise = experiment.batches.state(), experiment.augmentation.get_state()
    row = _look(experiment, 0)
    assert row["interaction"] > 0
    torch.testing.assert_close(experiment.model.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(experiment.batches.state(), order, rtol=0, atol=0)
    assert torch.equal(experiment.augmentation.get_state(), noise)
