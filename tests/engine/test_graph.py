"""The compiled step is the eager step: same losses, same weights, same buffers, same optimiser state, up to rounding."""

from __future__ import annotations

import pytest
import torch

from bnexp.config.compose import compose
from bnexp.config.paths import group_files
from bnexp.engine import graph, kernels, step
from bnexp.engine.build import Experiment, build
from bnexp.engine.graph import GraphStep
from bnexp.engine.journal import Stopwatch
from bnexp.engine.step import backend, pick_step, wants_graph
from bnexp.models.blocks import freeze_norms
from bnexp.runs.many import step_of

STEPS = 8
SMALL = (
    "dataset.train_examples=200",
    "train.batch_size=40",
    "model.width=12",
    "probes=none",
    "device=cpu",
    "threads=1",
)
COMPILABLE = sorted(set(group_files("norm")) - {"noisy", "instance"})


@pytest.fixture(autouse=True)
def _everything_anew():
    step.say_once.cache_clear()
    graph._last.clear()


pytestmark = pytest.mark.filterwarnings("ignore")  # torch.compile warns about its own internals


def experiment(*overrides: str) -> Experiment:
    built = build(compose([*SMALL, *overrides]))
    built.model.train()
    return built


def losses(built: Experiment, advance) -> list[float]:
    found = []
    for _ in range(STEPS):
        loss, _ = advance(built.batches.next())
        found.append(loss.item())
    return found


def assert_equal_steps(*overrides: str, backend: str = "traced") -> None:
    plain, fast = experiment(*overrides), experiment(*overrides)
    expected = losses(plain, pick_step(plain, Stopwatch())[1])
    compiled = GraphStep(fast, backend)
    found = losses(fast, compiled)
    assert compiled.kernels.endswith("replayed") == (backend == "inductor")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert expected[0] != expected[-1]
    torch.testing.assert_close(fast.model.state_dict(), plain.model.state_dict(), rtol=1e-3, atol=1e-5)
    for mine, theirs in zip(state_of(fast), state_of(plain), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def state_of(built: Experiment) -> list[dict[str, torch.Tensor]]:
    """The optimiser's tensors, in the order of its parameters."""
    parameters = [p for group in built.optimizer.param_groups for p in group["params"]]
    states = [built.optimizer.state.get(parameter, {}) for parameter in parameters]
    return [{name: value for name, value in state.items() if value is not None} for state in states]


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.1, "null"])
def test_the_compiled_step_equals_the_eager_one_with_batch_norm(momentum):
    """Without momentum a step weighs its batch by 1/n: a graph must not keep the n it was made at."""
    assert_equal_steps("norm=batch", f"norm.momentum={momentum}")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [("optimizer=sgd",), ("optimizer=adam", "dataset.flip=true")])
def test_the_default_backend_replays_its_kernels_and_gives_the_same(optimizer):
    assert_equal_steps("norm=batch", *optimizer, backend="inductor")


@pytest.mark.slow
def test_frozen_norms_settle_no_shapes_and_get_the_same_products():
    plain, fast = experiment("norm=batch"), experiment("norm=batch")
    for built in (plain, fast):
        freeze_norms(built.model)
    compiled = GraphStep(fast)
    assert compiled.products == kernels.private(kernels.brgemm)[1]
    assert compiled.kernels.endswith("replayed")
    expected = losses(plain, pick_step(plain, Stopwatch())[1])
    torch.testing.assert_close(losses(fast, compiled), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_convolutional_net_whose_kernels_make_new_tensors_is_not_replayed():
    words = [word for word in SMALL if "width" not in word]
    words += ["model=cnn", "model.width=4", "optimizer.lr=0.01", "execution.precision=fp32"]
    plain, fast = (build(compose(words)) for _ in range(2))
    compiled = GraphStep(fast)
    assert "replayed" not in compiled.kernels
    expected = losses(plain, pick_step(plain, Stopwatch())[1])
    torch.testing.assert_close(losses(fast, compiled), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("norm", COMPILABLE)
def test_every_norm_that_can_be_compiled_gives_the_same(norm):
    assert_equal_steps(f"norm={norm}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", [("norm=one_shot", "norm.fold=false"), ("norm=lp", "norm.order=norm_first"), ("norm=ghost",)]
)
def test_norms_with_other_options_give_the_same(words):
    assert_equal_steps(*words)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        ("optimizer=sgd", "optimizer.momentum=0"),
        ("optimizer=sgd", "optimizer.nesterov=true", "optimizer.weight_decay=0.01", "optimizer.decay_norm=false"),
        ("optimizer=adam", "optimizer.weight_decay=0.01"),
        ("optimizer=adamw", "optimizer.decay_norm=false"),
    ],
)
def test_every_optimizer_gives_the_same(optimizer):
    assert_equal_steps(*optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", "resmlp", "cnn", "vit"])
def test_other_models_give_the_same(model):
    small = () if model == "linear" else ("model.width=12",)
    overrides = (*(word for word in SMALL if "width" not in word), f"model={model}", *small, "optimizer.lr=0.01")
    norm = "norm=none" if model == "linear" else "norm=batch"
    plain, fast = (build(compose([*overrides, norm])) for _ in range(2))
    expected = losses(plain, pick_step(plain, Stopwatch())[1])
    torch.testing.assert_close(losses(fast, GraphStep(fast, "traced")), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_learning_rate_that_moves_is_followed_without_compiling_again():
    built = experiment("norm=none", "optimizer.momentum=0")
    step = GraphStep(built, "traced")
    indices = built.batches.next()
    step(indices)
    before = [p.detach().clone() for p in built.model.parameters()]
    built.optimizer.param_groups[0]["lr"] = 0.0
    step(indices)
    for parameter, value in zip(built.model.parameters(), before, strict=True):
        assert torch.equal(parameter, value)


@pytest.mark.slow
def test_warming_up_changes_nothing():
    built = experiment("norm=batch", "optimizer=adam")
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    GraphStep(built, "traced")
    torch.testing.assert_close(built.model.state_dict(), before, rtol=0, atol=0)
    assert all(not value.any() for held in built.optimizer.state.values() for value in held.values())


@pytest.mark.slow
def test_runs_of_one_arm_share_a_graph_and_another_arm_gets_its_own(monkeypatch):
    first, second = experiment("seed=1"), experiment("seed=2", "optimizer.lr=0.01")
    torch.testing.assert_close(losses(first, GraphStep(first, "traced")), losses(*eagerly("seed=1")))
    graphs = dict(graph._last)
    found = losses(second, GraphStep(second, "traced"))
    assert graph._last == graphs
    torch.testing.assert_close(found, losses(*eagerly("seed=2", "optimizer.lr=0.01")), rtol=1e-4, atol=1e-5)
    GraphStep(experiment("norm=none"), "traced")
    assert len(graph._last) == 2
    monkeypatch.setattr(graph, "KEPT", 2)
    GraphStep(first, "traced")
    GraphStep(experiment("norm=layer"), "traced")  # takes the place of the one that was not asked for the longest
    assert len(graph._last) == 2
    assert graphs.keys() < graph._last.keys()


@pytest.mark.parametrize("how", ["standardize=per_pixel", "binarize=true"])
def test_a_shared_graph_standardises_each_runs_images_by_its_own_constants(how):
    graphs = []
    for count in (200, 120):
        words = f"dataset.{how}", f"dataset.train_examples={count}"
        built = experiment(*words)
        found = losses(built, GraphStep(built, "traced"))
        torch.testing.assert_close(found, losses(*eagerly(*words)), rtol=1e-4, atol=1e-5)
        graphs.append(dict(graph._last))
    assert graphs[0] == graphs[1]


def eagerly(*overrides: str):
    plain = experiment(*overrides)
    return plain, pick_step(plain, Stopwatch())[1]


class Counting(torch.nn.Module):
    """A layer with a bug: what it does depends on a number that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x / self.calls


def test_a_layer_that_counts_outside_its_buffers_runs_eagerly_and_says_why(capsys):
    built = experiment("norm=none", "execution.compile=on")
    built.model.add_module("counting", Counting())
    assert not isinstance(pick_step(built, Stopwatch())[1], GraphStep)
    assert "counting.calls changes in every forward pass and is not a buffer" in capsys.readouterr().err


def test_short_runs_are_not_compiled_by_themselves():
    assert not isinstance(pick_step(experiment(), Stopwatch())[1], GraphStep)


@pytest.mark.parametrize(
    ("steps", "on_gpu", "graphs", "built"),
    [(999, True, False, "traced"), (1_000, True, True, "traced"), (50_000, True, True, "inductor"),
     (1_000, False, False, "inductor"), (30_000, False, True, "inductor")],
)  # fmt: skip
def test_a_gpu_has_a_graph_sooner_and_fuses_it_only_for_long_runs(make, steps, on_gpu, graphs, built):
    assert wants_graph(make(), steps, on_gpu) is graphs
    assert backend(steps, on_gpu) == built


def test_what_cannot_be_compiled_runs_eagerly_and_says_why(capsys):
    step = pick_step(experiment("norm=noisy", "execution.compile=on"), Stopwatch())[1]
    assert not isinstance(step, GraphStep)
    assert "not compiled, running eagerly: norm=noisy draws from a generator" in capsys.readouterr().err


def test_a_compiler_that_fails_does_not_stop_the_run(monkeypatch, capsys):
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler here\nmore")

    monkeypatch.setattr(graph, "compile_once", refuse)
    name, advance = pick_step(experiment("execution.compile=on"), Stopwatch())
    assert (name, isinstance(advance, GraphStep)) == ("eager", False)
    assert "running eagerly: RuntimeError: no C++ compiler here" in capsys.readouterr().err


@pytest.fixture(name="traced")
def _traced(monkeypatch):
    """Every graph stays as it was traced, which takes no compiler."""
    real = GraphStep.__init__
    monkeypatch.setattr(GraphStep, "__init__", lambda self, experiment, *_: real(self, experiment, "traced"))


@pytest.mark.usefixtures("traced")
def test_a_step_that_lacks_brgemm_is_named_so_and_who_asked_for_it_is_told(monkeypatch, capsys):
    monkeypatch.setattr(kernels, "private", lambda find: (None, f"{find.__name__}: gone"))
    name, _ = pick_step(experiment("execution.compile=on"), Stopwatch())
    assert name == "compiled (torch's own products)"
    assert "compiled with torch's own products, which are slower here (brgemm: gone)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
def test_a_graph_that_fails_with_foreign_products_is_made_once_more_with_torchs(monkeypatch):
    def fails(_: object, __: object) -> None:
        raise RuntimeError("Inductor has changed")

    monkeypatch.setattr(kernels, "private", lambda _: (fails, ""))
    built = experiment("execution.compile=on")
    name, advance = pick_step(built, Stopwatch())
    assert name == "compiled (torch's own products)"
    assert advance.products == "brgemm: RuntimeError: Inductor has changed"
    torch.testing.assert_close(losses(built, advance), losses(*eagerly()), rtol=1e-4, atol=1e-5)


def test_runs_share_a_graph_where_they_differ_in_first_weights_and_not_where_other_weights_train():
    plain = graph.structure(experiment("norm=batch"))
    other = experiment("norm=batch", "model.init_scale=0.5", "model.first_scale=0.5", "seed=3", "optimizer.lr=0.7")
    assert graph.structure(other) == plain
    assert step_of(other.config) == step_of(experiment("norm=batch").config)
    assert graph.structure(experiment("norm=batch", "train.only=norm")) != plain
