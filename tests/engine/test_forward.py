"""A convolutional net that is evaluated often is evaluated as one graph, which scores as the net does."""

from __future__ import annotations

import pytest

from bnexp.config.compose import compose
from bnexp.engine import evaluate as evaluation
from bnexp.engine import forward, graph, inductor, step
from bnexp.engine.build import Experiment, build
from bnexp.engine.evaluate import evaluate
from bnexp.engine.forward import fused_forward, pick_forward, wants_fused
from bnexp.engine.journal import Stopwatch

SMALL = ("dataset.train_examples=200", "train.batch_size=40", "probes=none", "device=cpu", "threads=1", "execution.precision=fp32")
MANY = 10**6


@pytest.fixture(autouse=True)
def _everything_anew():
    step.say_once.cache_clear()
    graph._last.clear()


def experiment(*overrides: str) -> Experiment:
    return build(compose([*SMALL, *overrides]))


@pytest.fixture
def traced_only(monkeypatch):
    """Compiling takes seconds; the graph as it was traced computes the same."""
    monkeypatch.setattr(inductor, "fused", lambda traced, _: traced)


def assert_same_scores(built: Experiment, fused: forward.Forward) -> None:
    plain = evaluate(built.model, built.validation, built)
    found = evaluate(built.model, built.validation, built, fused)
    assert found.accuracy == plain.accuracy
    assert found.loss == pytest.approx(plain.loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [("model=cnn", "model.width=4"), ("model=cnn", "model.width=4", "norm=none"), ("model=cnn", "model.width=4", "norm=group"),
     ("model=resnet", "model.width=8", "model.depth=8")],
)  # fmt: skip
@pytest.mark.usefixtures("traced_only")
def test_it_scores_as_the_net_does_and_follows_its_weights_and_statistics(words, monkeypatch):
    monkeypatch.setattr(evaluation, "CONVOLUTIONAL_BATCH", 48)  # the last batch is smaller
    built = experiment(*words)
    fused = fused_forward(built)
    assert_same_scores(built, fused)
    before = evaluate(built.model, built.validation, built, fused).loss
    advance = step.pick_step(built, Stopwatch())[1]
    built.model.train()
    for _ in range(3):
        advance(built.batches.next())
    assert_same_scores(built, fused)
    assert built.model.training
    assert evaluate(built.model, built.validation, built, fused).loss != before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own internals
@pytest.mark.parametrize("norm", ["batch", "none", "layer"])
def test_what_inductor_makes_of_it_scores_the_same(norm):
    built = experiment("model=cnn", "model.width=4", f"norm={norm}")
    assert_same_scores(built, fused_forward(built))


@pytest.mark.parametrize(
    ("evaluations", "words", "expected"),
    [
        (MANY, (), True),
        (10, (), False),
        (MANY, ("execution.compile=off",), False),
        (MANY, ("norm.track=false",), False),
        (MANY, ("norm=noisy",), False),
        (MANY, ("model=mlp", "model.width=10"), False),
    ],
)
def test_it_pays_for_many_examples_through_convolutions(evaluations, words, expected):
    assert wants_fused(experiment("model=cnn", "model.width=4", *words), evaluations) == expected


@pytest.mark.usefixtures("traced_only")
def test_a_net_that_a_graph_cannot_hold_is_evaluated_layer_by_layer_and_told(monkeypatch, capsys):
    built = experiment("model=cnn", "model.width=4")
    watch = Stopwatch()
    assert pick_forward(built, MANY, watch) is not built.model
    graph._last.clear()
    monkeypatch.setattr(inductor, "fused", lambda traced, _: lambda *tensors: traced(*tensors) + 1)
    assert pick_forward(built, MANY, watch) is built.model
    assert "layer by layer: RuntimeError: the compiled network computes something else" in capsys.readouterr().err


@pytest.mark.usefixtures("traced_only")
def test_a_run_that_is_evaluated_often_goes_through_it(monkeypatch, make):
    seen = []
    monkeypatch.setattr(forward, "WORTH_FUSING_EVALUATION", 1)
    monkeypatch.setattr(inductor, "fused", lambda traced, _: lambda *tensors: seen.append(len(tensors[-1])) or traced(*tensors))
    from bnexp.runs.run import execute

    execute(make("model=cnn", "probes=none"))
    assert seen
