"""A batch in micro-batches: the same update where nothing is normalised, else what statistics of a micro-batch make of it."""

from __future__ import annotations

import pytest
import torch

from bnexp.engine.build import Experiment, build
from bnexp.engine.ensemble import NextBatch, StackedStep
from bnexp.engine.evaluate import evaluate
from bnexp.engine.graph import GraphStep
from bnexp.engine.step import eager_step
from bnexp.models.blocks import NormAct
from bnexp.rng import torch_stream

FOUR = ("train.accumulate=4",)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def after(built: Experiment, num_steps: int = 6) -> Experiment:
    built.model.train()
    for _ in range(num_steps):
        eager_step(built, built.batches.next())
    return built


def parameters(built: Experiment) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in built.model.named_parameters()}


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_without_batch_statistics_it_is_the_step_on_the_whole_batch(make, norm, optimizer):
    words = (f"norm={norm}", f"optimizer={optimizer}", "optimizer.lr=0.01")
    parts, whole = after(build(make(*FOUR, *words))), after(build(make(*words)))
    torch.testing.assert_close(parameters(parts), parameters(whole), **CLOSE)


def test_with_statistics_of_the_whole_batch_it_is_the_step_on_the_whole_batch(make):
    parts = after(build(make(*FOUR, "train.accumulate_statistics=whole")))
    whole = after(build(make()))
    torch.testing.assert_close(parts.model.state_dict(), whole.model.state_dict(), **CLOSE)


def test_with_statistics_of_micro_batches_it_trains_as_ghosts_of_that_size_do(make):
    micro = after(build(make(*FOUR, "norm=batch")))
    ghosts = after(build(make("norm=ghost", f"norm.ghost_size={micro.config.train.pass_size}")))
    whole = after(build(make("norm=batch")))
    torch.testing.assert_close(parameters(micro), parameters(ghosts), **CLOSE)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(parameters(micro), parameters(whole), **CLOSE)


def test_running_statistics_take_a_step_for_each_micro_batch(make):
    built = after(build(make(*FOUR)), num_steps=3)
    norms = [module.norm for module in built.model.modules() if isinstance(module, NormAct)]
    assert {int(norm.num_batches_tracked) for norm in norms} == {12}


def test_loss_and_correct_answers_are_of_the_whole_batch(make):
    one, other = build(make(*FOUR, "norm=none")), build(make("norm=none"))
    steps = [eager_step(b, b.batches.next()) for b in (one, other)]
    torch.testing.assert_close(*steps)


@pytest.mark.slow
@pytest.mark.parametrize("words", [FOUR, ("norm.track=false",)], ids=["accumulate", "track"])
def test_a_compiled_step_is_the_eager_one(make, words):
    plain, fast = after(build(make(*words)), 0), after(build(make(*words)), 0)
    graph = GraphStep(fast, "traced")
    for _ in range(4):
        expected = eager_step(plain, plain.batches.next())
        torch.testing.assert_close(graph(fast.batches.next()), expected)
    torch.testing.assert_close(fast.model.state_dict(), plain.model.state_dict(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("words", [FOUR, ("norm.track=false",)], ids=["accumulate", "track"])
def test_side_by_side_each_run_is_the_eager_one(make, words):
    seeds = [make(*words, f"seed={seed}") for seed in (0, 1)]
    together, alone = [after(build(one), 0) for one in seeds], [after(build(one), 4) for one in seeds]
    step, next_batch = StackedStep(together, None), NextBatch(together)
    for _ in range(4):
        step(*next_batch(), 1.0)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one.model.state_dict(), other.model.state_dict(), rtol=1e-3, atol=1e-5)


def test_a_net_without_running_statistics_is_evaluated_in_shuffled_batches_of_its_own_size(make):
    built = after(build(make("norm.track=false")))
    score = evaluate(built.model, built.test, built)
    again = evaluate(built.model, built.test, built)
    assert score == again
    stream = torch_stream(built.config.seed, "evaluation")
    order = torch.randperm(len(built.test), generator=stream).split(built.config.train.batch_size)
    x, model = built.prepare(built.test.images), built.model.eval()
    correct = sum(int((model(x[chosen]).argmax(1) == built.test.labels[chosen]).sum()) for chosen in order)
    assert score.accuracy == correct / len(built.test)
    assert not any("running" in name for name in built.model.state_dict())
