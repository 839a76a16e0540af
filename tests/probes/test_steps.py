"""``gradient_shift`` and ``landscape`` against back-propagation by hand, a copy of the net that is really moved, a quadratic."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp.config.compose import compose
from bnexp.engine.build import build
from bnexp.errors import UserError
from bnexp.probes.base import guest
from bnexp.probes.one_batch import OneBatch, layers_of

LINEAR = ("norm=none", "model.activation=identity", "model.depth=2", "optimizer.lr=0.7")


def batch_of(probe, name: str, step: int):
    return probe._view.training_batch(f"probe/{name}/{step}")


def hand_gradients(weights: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """dL/dW and dL/db of each layer of a linear net with softmax and mean cross-entropy, written out."""
    entered = [x]
    for w, b in weights:
        entered.append(entered[-1] @ w.T + b)
    odds = np.exp(entered[-1] - entered[-1].max(1, keepdims=True))
    delta = (odds / odds.sum(1, keepdims=True) - np.eye(odds.shape[1])[y]) / len(y)
    found = []
    for (w, _), h in zip(reversed(weights), reversed(entered[:-1]), strict=True):
        found.append((delta.T @ h, delta.sum(0)))
        delta = delta @ w
    return found[::-1]


def test_gradient_shift_of_a_linear_net_is_what_one_gets_by_hand(experiment):
    built = experiment(*LINEAR, "probes=gradient_shift")
    probe = built.probes["gradient_shift"]
    found = probe.look(4)
    x, y = (value.numpy() for value in batch_of(probe, "gradient_shift", 4))
    x = x.reshape(len(x), -1).astype(float)
    names = ("hidden1.linear", "hidden2.linear", "output")
    weights = [tuple(p.detach().double().numpy() for p in built.model.get_submodule(name).parameters()) for name in names]
    before = hand_gradients(weights, x, y)
    stepped = [(w - 0.7 * gw, b - 0.7 * gb) for (w, b), (gw, gb) in zip(weights, before, strict=True)]
    for place, layer in ((1, "hidden2"), (2, "output")):
        after = hand_gradients([*stepped[:place], *weights[place:]], x, y)[place][0].ravel()
        g = before[place][0].ravel()
        assert found["shift"][layer] == pytest.approx(np.linalg.norm(after - g), rel=1e-4)
        assert found["relative_shift"][layer] == pytest.approx(np.linalg.norm(after - g) / np.linalg.norm(g), rel=1e-4)
        assert found["cosine"][layer] == pytest.approx(g @ after / np.linalg.norm(g) / np.linalg.norm(after), abs=1e-6)
        assert found["relative_shift"][layer] > 0.01
    assert list(found["cosine"]) == ["hidden2", "output"]


@pytest.mark.parametrize(
    "words", [("norm=batch",), ("norm=noisy",), ("norm=batch", "train.accumulate=2"), ("model=cnn", "norm=batch")]
)
def test_gradient_shift_is_that_of_a_copy_whose_earlier_layers_are_really_moved(experiment, words):
    built = experiment("probes=gradient_shift", "optimizer.lr=0.5", *words)
    probe = built.probes["gradient_shift"]
    with guest(built.model, [built.noise]):
        found = probe.look(0)
    x, y = batch_of(probe, "gradient_shift", 0)
    parts = list(zip(x.split(built.config.train.pass_size), y.split(built.config.train.pass_size), strict=True))

    def gradients(moved: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        net = copy.deepcopy(built.model).train()  # with its own copy of the noise's generator
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter -= moved.get(name, torch.zeros(()))
        for part, answers in parts:
            (F.cross_entropy(net(part), answers) * len(answers) / len(y)).backward()
        return {name: parameter.grad for name, parameter in net.named_parameters()}

    start = gradients({})
    order = list(start)
    for layer, value in found["relative_shift"].items():
        name = next(one for one in order if one.startswith(f"{layer}.") and one.endswith("weight"))
        own = start[name].flatten()
        after = gradients({one: 0.5 * start[one] for one in order[: order.index(name)]})[name].flatten()
        assert value == pytest.approx(float((after - own).norm() / own.norm()), rel=2e-3)
        assert found["cosine"][layer] == pytest.approx(float(F.cosine_similarity(own, after, dim=0)), abs=1e-4)


@pytest.fixture
def logistic(small, tmp_path):
    """Softmax regression on the small data: a net of one layer."""
    shared = [word for word in small if not word.startswith("model.")]

    def make(*words: str):
        return build(replace(compose([*shared, "model=linear", "norm=none", *words]), runs_dir=str(tmp_path / "runs")))

    return make


def test_gradient_shift_needs_two_layers(logistic):
    with pytest.raises(UserError, match="needs a layer that has another one before it"):
        logistic("probes=gradient_shift")


def test_landscape_of_a_quadratic_is_its_hessian(logistic, monkeypatch):
    """Half the mean squared output of a linear map: L(w - eta g) = L - eta g.g + eta^2 g.Hg / 2, and g moves by eta |Hg|."""
    built = logistic("probes=landscape", "probes.landscape.times=[1,3]", "optimizer.lr=0.1")
    monkeypatch.setattr(F, "cross_entropy", lambda logits, _: 0.5 * logits.square().sum(1).mean())
    probe = built.probes["landscape"]
    found = probe.look(2)
    x, _ = batch_of(probe, "landscape", 2)
    x = torch.cat([x.flatten(1), torch.ones(len(x), 1)], dim=1).double()
    layer = built.model.output
    w = torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().double()
    second = x.T @ x / len(x)
    g = w @ second
    moved = g @ second
    loss = 0.5 * (w @ second * w).sum()

    def at(eta: float) -> float:
        return float(loss - eta * g.square().sum() + 0.5 * eta**2 * (g * moved).sum())

    assert found["loss"]["here"] == pytest.approx(float(loss), rel=1e-5)
    assert found["loss_range"]["rate"] == pytest.approx(abs(at(0.1) - at(0.3)), rel=1e-4)
    assert found["relative_loss_range"]["rate"] == pytest.approx(abs(at(0.1) - at(0.3)) / float(loss), rel=1e-4)
    assert found["gradient_change"]["rate"] == pytest.approx(0.3 * float(moved.norm()), rel=1e-4)
    assert found["relative_gradient_change"]["rate"] == pytest.approx(0.3 * float(moved.norm() / g.norm()), rel=1e-4)
    assert found["smoothness"]["rate"] == pytest.approx(float(moved.norm() / g.norm()), rel=1e-3)
    cosine = F.cosine_similarity(g.flatten(), (g - 0.3 * moved).flatten(), dim=0)
    assert found["cosine"]["rate"] == pytest.approx(float(cosine), abs=1e-5)
    own, direction = w[:, :-1].norm(), g[:, :-1]  # relative steps leave the bias alone
    eta = 0.1 * float(own / direction.norm())
    change = (eta * direction) @ second[:-1, :-1]
    for kind in ("whole 0.1", "layers 0.1"):
        assert found["relative_gradient_change"][kind] == pytest.approx(float(change.norm() / direction.norm()), rel=1e-3)


def test_landscape_is_that_of_a_copy_that_is_really_moved(experiment):
    built = experiment("norm=batch", "probes=landscape", "optimizer.lr=0.5", "probes.landscape.times=[2]")
    probe = built.probes["landscape"]
    with guest(built.model, [built.noise]):
        found = probe.look(0)
    x, y = batch_of(probe, "landscape", 0)

    def there(step: dict[str, torch.Tensor]) -> tuple[float, dict[str, torch.Tensor]]:
        net = copy.deepcopy(built.model).train()
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                parameter -= step.get(name, torch.zeros(()))
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss.item(), {name: parameter.grad for name, parameter in net.named_parameters()}

    loss, g = there({})
    weights = {name: p.detach() for name, p in built.model.named_parameters()}
    flat_g = torch.cat([one.flatten() for one in g.values()])
    new_loss, new = there({name: 1.0 * one for name, one in g.items()})
    change = (torch.cat([one.flatten() for one in new.values()]) - flat_g).norm() / flat_g.norm()
    assert found["loss_range"]["rate"] == pytest.approx(abs(new_loss - loss), rel=1e-3)
    assert found["relative_gradient_change"]["rate"] == pytest.approx(float(change), rel=1e-3)
    own = [name for name in g if g[name].ndim == 2]
    _, new = there({name: 0.1 * float(weights[name].norm() / g[name].norm()) * g[name] for name in own})
    changes = [float((new[name] - g[name]).norm() / g[name].norm()) for name in own]
    assert found["relative_gradient_change"]["layers 0.1"] == pytest.approx(float(np.mean(changes)), rel=1e-3)
    together = [float(torch.cat([one[name].flatten() for name in own]).norm()) for one in (weights, g)]
    _, new = there({name: 0.1 * together[0] / together[1] * g[name] for name in own})
    difference = torch.cat([(new[name] - g[name]).flatten() for name in own]).norm()
    assert found["relative_gradient_change"]["whole 0.1"] == pytest.approx(float(difference) / together[1], rel=1e-3)


def test_stretching_weights_before_a_norm_changes_raw_smoothness_and_no_relative_step_of_layers(experiment):
    looks = []
    for factor in (1.0, 1000.0):
        built = experiment("norm=batch", "norm.eps=1e-12", "probes=landscape")
        with torch.no_grad():
            built.model.hidden2.linear.weight.mul_(factor)
        looks.append(built.probes["landscape"].look(0))
    for quantity in ("relative_gradient_change", "relative_loss_range", "cosine"):
        assert looks[0][quantity]["layers 0.01"] == pytest.approx(looks[1][quantity]["layers 0.01"], rel=0.02)
    assert looks[0]["smoothness"]["layers 0.01"] > 1.2 * looks[1]["smoothness"]["layers 0.01"]  # a mean over four layers


@pytest.mark.parametrize("probe", ["gradient_shift", "landscape"])
def test_noise_is_the_same_at_every_weights_and_the_runs_own_goes_on_as_if_nothing_had_been(experiment, probe):
    built = experiment("norm=noisy", f"probes={probe}", "optimizer.lr=1e-12")
    before = built.noise.get_state()
    with guest(built.model, [built.noise]):
        found = built.probes[probe].look(0)
    assert torch.equal(built.noise.get_state(), before)
    kinds = found["cosine"].items() if probe == "gradient_shift" else [("rate", found["cosine"]["rate"])]
    assert all(value == pytest.approx(1, abs=1e-5) for _, value in kinds)


def test_layers_are_those_with_weights_and_what_comes_before_them_includes_norms(experiment):
    layers = layers_of(experiment("norm=batch").model)
    assert [layer.name for layer in layers] == ["hidden1", "hidden2", "hidden3", "output"]
    assert layers[0].before == ()
    assert layers[1].before == ("hidden1.linear.weight", "hidden1.site.norm.weight", "hidden1.site.norm.bias")
    assert layers[3].own == ("output.weight",)


def test_a_gradient_that_overflows_is_no_number_and_no_error(experiment):
    built = experiment("probes=causes", "norm=none", "model.activation=relu")
    with torch.no_grad():
        for parameter in built.model.parameters():
            parameter.mul_(1e15)
    for probe in built.probes.values():
        probe.observe(0)
        assert None in probe.summary()["cosine"].values()


def test_the_rate_is_that_of_the_update_that_follows(experiment):
    built = experiment("probes=gradient_shift", "optimizer.lr=0.5", "schedule=cosine", "train.steps=11", "schedule.warmup_steps=0")
    rates = [built.probes["gradient_shift"]._view.rate(step) for step in (0, 5, 10, 11)]
    assert rates[0] == 0.5
    assert rates[1] == pytest.approx(0.25, abs=0.01)
    assert rates[2] == rates[3] < 0.01


def test_one_batch_leaves_weights_and_buffers(experiment):
    built = experiment("norm=batch", "probes=landscape")
    before = {name: value.clone() for name, value in built.model.state_dict().items()}
    batch = OneBatch(built.probes["landscape"]._view, "probe/test")
    batch.gradient({name: value + 1 for name, value in batch.weights().items()})
    assert all(torch.equal(value, before[name]) for name, value in built.model.state_dict().items())


@pytest.mark.parametrize("option", ["times=[0]", "relative=[-0.1]", "observations=1"])
def test_landscape_refuses_options_out_of_range(experiment, option):
    with pytest.raises(UserError, match=f"probes.landscape.{option.split('=')[0]}"):
        experiment("probes=landscape", f"probes.landscape.{option}")
