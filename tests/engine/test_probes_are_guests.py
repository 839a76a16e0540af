"""Bitwise: a run with every probe is the run without any."""

from __future__ import annotations

import pytest
import torch

from bnexp.engine.evaluate import evaluate
from bnexp.probes import PROBES

#: A heavy schedule: one probe looks after nearly every step; the other has only 47 held-out examples.
ALL = [
    "probes=[depth,gradient_shift,gradients,jacobian,landscape,layer_inputs,saturation,scale,sharpness,shift,statistics]",
    "probes.layer_inputs.steps_between=1",
    "probes.scale.steps_between=1",
    "probes.layer_inputs.eval_too=true",
    "probes.layer_inputs.values_per_unit=30",
    "probes.shift.sizes=[1,16]",
]


@pytest.fixture
def pair(make, trained):
    """One run with every probe and one with none."""
    return lambda *words: (
        trained(make(*ALL, "train.steps=20", *words)),
        trained(make("probes=none", "train.steps=20", *words)),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "norm"),
    [
        ("mlp", "noisy"),
        pytest.param("mlp", "batch", marks=pytest.mark.slow),
        pytest.param("cnn", "renorm", marks=pytest.mark.slow),
        pytest.param("cnn", "none", marks=pytest.mark.slow),
    ],
)
def test_no_probe_changes_a_weight_a_buffer_an_event_or_a_test_score(pair, model, norm):
    # renorm corrects from its first step, so that its buffers matter to training
    fast = ["norm.warmup_steps=0", "norm.r_ramp_steps=1", "norm.d_ramp_steps=1"] if norm == "renorm" else []
    watched, alone = pair(f"model={model}", f"norm={norm}", *fast)
    assert set(watched.experiment.probes) == set(PROBES)
    assert len(watched.experiment.probes["layer_inputs"].arrays()["steps"]) > 5
    first, second = (run.experiment.model.state_dict() for run in (watched, alone))
    assert [name for name in second if not torch.equal(first[name], second[name])] == []
    assert watched.events() == alone.events()
    scores = [evaluate(run.experiment.model, run.experiment.test, run.experiment) for run in (watched, alone)]
    assert scores[0] == scores[1]


@pytest.mark.slow
def test_no_probe_moves_a_generator_of_the_run(pair):
    watched, alone = pair("norm=noisy", "dataset.crop=1")
    for name in ("noise", "augmentation"):
        first, second = (getattr(run.experiment, name).get_state() for run in (watched, alone))
        assert torch.equal(first, second), name
    assert watched.experiment.batches.next().tolist() == alone.experiment.batches.next().tolist()
