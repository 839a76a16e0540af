"""What only a GPU can show: a run there ends as on a CPU, and many side by side cost far less than one by one."""

from __future__ import annotations

import time

import pytest
import torch

from bnexp.engine.build import build, load_data
from bnexp.engine.ensemble import NextBatch, StackedStep
from bnexp.engine.graph import GraphStep
from bnexp.engine.journal import Stopwatch
from bnexp.engine.step import pick_step, train_step
from bnexp.runs.run import execute

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # torch's about its own internals
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.mark.parametrize("backend", ["traced", "inductor"])
@pytest.mark.parametrize("words", [(), ("optimizer=adam",), ("norm=renorm",)])
def test_a_compiled_step_is_the_eager_step(make, words, backend):
    plain, fast = (build(make(*words, "device=cuda")) for _ in range(2))
    for run in (plain, fast):
        run.model.train()
    advance = GraphStep(fast, backend)
    for _ in range(6):
        _others = [torch.full((60, 784), torch.nan, device="cuda") for _ in range(50)]  # in what the graph let go, if it did
        expected = train_step(
            plain.model, plain.optimizer, *plain.training_batch(plain.batches.next(), plain.augmentation)
        )
        found = advance(fast.batches.next())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(fast.model.state_dict(), plain.model.state_dict(), rtol=1e-3, atol=1e-4)


def test_a_convolutional_step_is_the_eager_step_whether_it_compiles_or_not(make):
    words = ("model=cnn", "device=cuda", "execution.compile=on")
    fast, plain = build(make(*words)), build(make(*words))
    _, advance = pick_step(fast, Stopwatch())
    for _ in range(6):
        expected = train_step(
            plain.model, plain.optimizer, *plain.training_batch(plain.batches.next(), plain.augmentation)
        )
        found = advance(fast.batches.next())
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_run_on_the_gpu_ends_as_on_the_cpu(make):
    there = execute(make("device=cuda"), show=False).record
    here = execute(make("device=cpu", "force=true"), show=False).record
    assert (there.end["execution"], here.end["execution"]) == ("eager", "eager")
    assert there.end["test"]["accuracy"] == pytest.approx(here.end["test"]["accuracy"], abs=0.05)


def test_each_of_sixty_four_runs_side_by_side_takes_at_most_a_tenth_of_the_time_of_one_alone(make):
    config = make("device=cuda", "model.width=100", "train.batch_size=60")
    data = load_data(config)

    def seconds(count: int) -> float:
        runs = [
            build(make("device=cuda", "model.width=100", "train.batch_size=60", f"seed={s}"), data)
            for s in range(count)
        ]
        advance, next_batch = StackedStep(runs), NextBatch(runs)
        for steps in (20, 300):  # the first are a warm-up
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                advance(*next_batch(), 1.0)
            torch.cuda.synchronize()
        return time.perf_counter() - start

    assert seconds(64) / 64 <= seconds(1) / 10
