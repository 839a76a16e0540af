"""After ``norm.freeze_after`` steps a norm normalises by its running statistics in training too, however the step is made."""

from __future__ import annotations

import pytest
import torch

from bnexp.engine.build import Experiment, build
from bnexp.engine.evaluate import evaluate, evaluate_recomputed
from bnexp.engine.graph import GraphStep
from bnexp.engine.step import eager_step, train_step
from bnexp.models.blocks import NormAct, freeze_norms

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

AFTER, STEPS = 8, 20
WORDS = (f"norm.freeze_after={AFTER}", f"train.steps={STEPS}")


def norms(built: Experiment) -> list[torch.nn.Module]:
    return [module.norm for module in built.model.modules() if isinstance(module, NormAct)]


def by_hand(built: Experiment) -> Experiment:
    """The plain loop, with every norm put into eval mode after ``AFTER`` steps."""
    built.model.train()
    for step in range(STEPS):
        if step >= AFTER:
            for norm in norms(built):
                norm.training = False
        batch = built.training_batch(built.batches.next(), built.augmentation)
        train_step(built.model, built.optimizer, *batch)
    return built


@pytest.mark.parametrize("norm", ["batch", "reference", "sync", "ghost", "renorm", "noisy"])
def test_a_run_that_freezes_is_the_plain_loop_with_norms_in_eval_mode(make, trained, norm):
    config = make(f"norm={norm}", *WORDS)
    run, plain = trained(config).experiment.model.state_dict(), by_hand(build(config)).model.state_dict()
    assert [name for name in plain if not torch.equal(run[name], plain[name])] == []


def test_running_statistics_stay_and_gamma_and_beta_train_on(make):
    built = build(make(*WORDS))
    built.model.train()
    for _ in range(3):
        eager_step(built, built.batches.next())
    freeze_norms(built.model)
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    evaluate(built.model, built.validation, built)  # into eval mode and back
    built.model.train()
    eager_step(built, built.batches.next())
    stayed = {name for name, value in built.model.state_dict().items() if torch.equal(value, before[name])}
    assert stayed == {name for name, _ in built.model.named_buffers()}


def test_a_frozen_net_trains_as_it_evaluates(make):
    built = by_hand(build(make(*WORDS)))
    freeze_norms(built.model)
    x, _ = built.training_batch(built.batches.next(), built.augmentation)
    torch.testing.assert_close(built.model.train()(x), built.model.eval()(x))


@pytest.mark.parametrize("norm", ["batch", "ghost", "renorm"])
def test_a_compiled_frozen_step_is_the_eager_one(make, norm):
    one, other = (build(make(f"norm={norm}", *WORDS)) for _ in range(2))
    for built in (one, other):
        built.model.train()
        freeze_norms(built.model)
    graph = GraphStep(other, "traced")
    for _ in range(4):
        expected = eager_step(one, one.batches.next())
        found = graph(other.batches.next())
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(other.model.state_dict(), one.model.state_dict(), rtol=1e-3, atol=1e-5)


def test_a_compiled_run_that_freezes_is_the_eager_one(make, trained):
    fast, plain = (trained(make(*WORDS, f"execution.compile={how}")) for how in ("on", "off"))
    assert (fast.ended.execution.split()[0], plain.ended.execution) == ("compiled", "eager")
    states = [run.experiment.model.state_dict() for run in (fast, plain)]
    torch.testing.assert_close(*states, rtol=1e-3, atol=1e-4)


def test_recomputed_statistics_of_a_frozen_net_are_new_ones_and_leave_it_as_it_was(make):
    built = by_hand(build(make(*WORDS)))
    freeze_norms(built.model)
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    running, recomputed = evaluate(built.model, built.test, built), evaluate_recomputed(built, built.test)
    assert recomputed is not None
    assert recomputed.loss != running.loss
    assert all(torch.equal(value, before[name]) for name, value in built.model.state_dict().items())
    assert not any(norm.training for norm in norms(built))
