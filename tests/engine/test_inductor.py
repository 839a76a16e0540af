"""A compiled graph is kept on the disk: another process of the machine finds it, and trains the same with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

from bnexp.engine import inductor

CODE = """
import json, torch
from bnexp.config.compose import compose
from bnexp.engine.build import build, load_data
from bnexp.engine.graph import GraphStep
from bnexp.runs.settle import settled

torch.set_num_threads(1)
config = settled(compose(["dataset=mnist_5k", "norm=batch", "model.width=12"], None))
experiment = build(config, load_data(config))
step = GraphStep(experiment)
images, labels = experiment.train.images[:60], experiment.train.labels[:60]
losses = [step(images, labels)[0].item() for _ in range(5)]
from torch._dynamo.utils import counters
print(json.dumps([losses, step.kernels, dict(counters["inductor"])]))
"""


@pytest.mark.slow  # two processes that compile, half a minute
def test_another_process_finds_what_one_has_compiled(tmp_path):
    def trained(**more: str):
        own = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path), **more}
        done = subprocess.run(
            [sys.executable, "-c", CODE], env={**os.environ, **own}, capture_output=True, text=True, check=True, timeout=300
        )
        return json.loads(done.stdout)

    losses, kernels, made = trained()
    again, same_kernels, found = trained()
    assert (made.get("fxgraph_cache_miss"), made.get("fxgraph_cache_hit")) == (1, None)
    assert (found.get("fxgraph_cache_miss"), found.get("fxgraph_cache_hit")) == (None, 1)
    assert again == losses
    assert kernels == same_kernels
    # of other vectors nothing is taken over
    default, _, other = trained(ATEN_CPU_CAPABILITY="default")
    assert other.get("fxgraph_cache_hit") is None
    assert default == pytest.approx(losses, rel=1e-3)


def test_a_torch_without_these_names_compiles_every_time(monkeypatch):
    with inductor.kept_on_disk() as options:
        assert set(options) == {"cpp.simdlen"}
        assert torch._guards.TracingContext.try_get() is not None
    monkeypatch.setitem(sys.modules, "torch._subclasses.fake_tensor", None)
    with inductor.kept_on_disk() as options:
        assert options == {}
        assert torch._guards.TracingContext.try_get() is None
