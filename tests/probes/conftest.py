"""A view of a small net on fixed examples, and the ``layer_inputs`` probe on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from bnexp.config.schema import ExperimentConfig
from bnexp.engine.build import Experiment, build
from bnexp.probes.base import View
from bnexp.probes.layer_inputs import LayerInputs

OPTIONS = {
    "examples": 40,
    "values_per_unit": 4096,
    "observations": 12,
    "steps_between": 1,
    "early": 0.5,
    "histograms": 3,
    "looks": None,
    "eval_too": False,
}


@pytest.fixture
def experiment(make: Callable[..., ExperimentConfig]) -> Callable[..., Experiment]:
    """Builds the small run with these overrides."""
    return lambda *words: build(make(*words))


@pytest.fixture
def probe() -> Callable[..., tuple[LayerInputs, View]]:
    """``probe(experiment, examples=20, ...)``: the probe with these options, and the view it has."""

    def on(experiment: Experiment, **options: Any) -> tuple[LayerInputs, View]:
        config = experiment.config
        view = View(
            model=experiment.model, inputs=experiment.prepare(experiment.validation.images), labels=experiment.validation.labels,
            validation=experiment.validation, test=experiment.test, prepare=experiment.prepare,
            training_batch=lambda _: experiment.training_batch(torch.arange(config.train.batch_size), experiment.augmentation),
            rate=lambda _: config.optimizer.lr, batch_size=config.train.batch_size, order="shuffled", seed=config.seed,
            steps=config.train.steps,
        )  # fmt: skip
        return LayerInputs(view, **{**OPTIONS, **options}), view

    return on
