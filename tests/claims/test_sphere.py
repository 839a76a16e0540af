"""Claims about weights in front of a norm: the stacked nets against torch's own modules, the analyses on made-up worlds."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bnexp.claims import angular_update, exponential_rate, initial_scale, weight_decay_rate
from bnexp.claims.judge import judge
from bnexp.claims.sphere import NUM_CLASSES, SIDE, Digits, Nets, Training, trained


@pytest.fixture(scope="module")
def data():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(300, SIDE**2, dtype=torch.float64, generator=rng)
    labels = torch.randint(NUM_CLASSES, (300,), generator=rng)
    return Digits(x[:200], labels[:200], x[200:], labels[200:])


TRAININGS = [
    Training(lr=0.3, decay=0.02),
    Training(lr=0.1, decay=0.02, momentum=0.9, sigmoid=True, eps=1e-5),
    Training(lr=0.1, decay=0.05, norm=False),
]


def torch_twin(nets: Nets, place: int) -> tuple[nn.Sequential, torch.optim.SGD]:
    """The same net of torch's modules, and torch's SGD for it."""
    training, layers, hidden, others = nets.trainings[place], [], [], []
    for weight in nets.weights:
        linear = nn.Linear(weight.shape[1], weight.shape[2], bias=not training.norm).double()
        with torch.no_grad():
            linear.weight.copy_(weight[place].T)
        hidden.append(linear.weight)
        layers.append(linear)
        if training.norm:
            norm = nn.BatchNorm1d(weight.shape[2], eps=training.eps).double()
            norm.weight.requires_grad_(False)
            others.append(norm.bias)
            layers.append(norm)
        else:
            nn.init.zeros_(linear.bias)
            others.append(linear.bias)
        layers.append(nn.Sigmoid() if training.sigmoid else nn.ReLU())
    output = nn.Linear(nets.weights[-1].shape[2], NUM_CLASSES).double()
    with torch.no_grad():
        output.weight.copy_(nets._others[-2][place].T)
        output.bias.zero_()
    groups = [
        {"params": hidden, "lr": training.lr, "momentum": training.momentum, "weight_decay": training.decay},
        {"params": [*others, *output.parameters()], "lr": training.others},
    ]
    return nn.Sequential(*layers, output), torch.optim.SGD(groups, lr=0.1)


@pytest.mark.parametrize("place", range(len(TRAININGS)))
def test_a_net_of_the_stack_is_trained_as_torch_trains_it(data, place):
    nets = Nets(TRAININGS, 0, width=6)
    twin, optimizer = torch_twin(nets, place)
    for start in range(0, 160, 32):
        x, labels = data.x[start : start + 32], data.labels[start : start + 32]
        nets.step(x, labels)
        optimizer.zero_grad()
        nn.functional.cross_entropy(twin(x), labels).backward()
        optimizer.step()
    torch.testing.assert_close(nets.logits(data.x[:50])[place], twin(data.x[:50]), rtol=1e-9, atol=1e-9)


def test_steps_are_right_triangles_and_the_angle_is_theirs(data):
    nets = Nets([Training(lr=0.3), Training(lr=0.3, decay=0.1)], 1, width=6)
    for _ in trained(nets, data, 1, 3):
        before = [weight.flatten(1).norm(dim=1).numpy() for weight in nets.before]
        cosine = (1 - np.array([0.0, 0.3 * 0.1])) * np.array(before).T[:, :].T / nets.lengths().T
        np.testing.assert_allclose(np.cos(nets.angles()).T, cosine, rtol=1e-9)


def test_fixed_lengths_are_kept_and_nothing_else_changes_the_direction(data):
    free = Nets([Training(lr=0.3)], 0, width=6)
    lengths = tuple(free.lengths()[0])
    nets = Nets([Training(lr=0.3, lengths=lengths), Training(lr=0.3)], 0, width=6)
    list(trained(nets, data, 0, 1))
    np.testing.assert_allclose(nets.lengths()[0], lengths)
    np.testing.assert_allclose(nets.angles()[0], nets.angles()[1])


def test_a_growing_rate_is_weight_decay_with_momentum_too(data):
    for decayed in (Training(lr=0.5, decay=0.05), Training(lr=0.02, decay=0.05, momentum=0.9)):
        nets = Nets([decayed, exponential_rate.growing(decayed), replace(decayed, decay=0.0)], 0, width=6)
        list(trained(nets, data, 0, 25))
        first, second, third = nets.logits(data.test_x)
        assert float((first - second).abs().max()) < 1e-9 < 1e-3 < float((first - third).abs().max())
        assert float(nets.weights[0][1].norm()) > 1.1 * float(nets.weights[0][0].norm())


def world(**arrays):
    """Eight seeds with the same arrays, but for a little noise where asked for."""
    return SimpleNamespace(budget="quick", seeds=lambda: range(8), measured=lambda seed: arrays["of"](seed))


def outcomes(claim, runs):
    evidence = claim.analyse(runs, np.random.default_rng(0))
    verdicts = judge(claim, evidence)
    assert claim.say(evidence, verdicts)
    return {name: verdict.outcome for name, verdict in verdicts.items()}


def turning(factor: float = 1.0, power: float = 0.5, length: float = 1.0):
    """Angles of theory times a factor, going with the product like a power; lengths that grow over the window."""
    theory = np.array([angular_update.predicted(one) for one in angular_update.NETS.values()])
    products = np.array([one.lr * one.decay for one in angular_update.NETS.values()]) / 1e-3

    def of(seed: int) -> dict[str, np.ndarray]:
        angle = factor * theory * products ** (power - 0.5) * np.random.default_rng(seed).normal(1, 0.005)
        angle[-1] *= 0.3
        block = np.broadcast_to(angle[:, None], (40, len(theory), 2))
        grown = np.geomspace(1, length, 40)[:, None, None] * np.ones((40, len(theory), 2))
        return {"square": block**2, "angle": block, "length": grown, "accuracy": np.full(len(theory), 90.0)}

    return world(of=of)


def test_angles_of_theory_support_and_others_contradict():
    assert set(outcomes(angular_update.CLAIM, turning()).values()) == {"SUPPORTED"}
    found = outcomes(angular_update.CLAIM, turning(factor=0.8))
    assert found["settles"] == "CONTRADICTED"
    assert found["exponent"] == "SUPPORTED"
    assert outcomes(angular_update.CLAIM, turning(power=0.7))["exponent"] == "CONTRADICTED"


def test_lengths_that_still_change_decide_nothing():
    assert outcomes(angular_update.CLAIM, turning(length=2.0))["settles"] == "INCONCLUSIVE"


def diverging(worst: float = 1e-12, control: float = 1.0):
    def of(_: int) -> dict[str, np.ndarray]:
        differences = np.full((200, len(exponential_rate.PAIRS)), 1e-14)
        differences[100, 0] = worst
        differences[:, 3] = 1e-3
        differences[:, 4:] = control
        return {"differences": differences, "lengths": np.ones((200, 2)), "accuracy": np.full(12, 90.0)}

    return world(of=of)


def test_one_function_supports_and_one_step_contradicts():
    usual = {"the same function": "SUPPORTED", "momentum 0.9": "SUPPORTED", "eps 1e-5": "CONTRADICTED"}
    assert outcomes(exponential_rate.CLAIM, diverging()) == usual
    assert outcomes(exponential_rate.CLAIM, diverging(worst=1e-4))["the same function"] == "CONTRADICTED"


def test_controls_that_do_not_differ_decide_nothing():
    assert set(outcomes(exponential_rate.CLAIM, diverging(control=1e-9)).values()) == {"INCONCLUSIVE"}


def decaying(power: float = 0.25, fixed: float = 0.0, neither: float = 2.0, settled: float = 1.0):
    """Lengths that go with rate / decay like a power, and what accuracy gains by fixed lengths and by no decay at all."""
    ratio = np.array([one.lr / one.decay for one in weight_decay_rate.DECAYED])

    def of(seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        lengths = (ratio**power * rng.normal(1, 0.01, 9))[:, None] * np.array([1.0, 2.0])
        accuracy = 90 + np.array([[0.0], [fixed], [neither]]) + rng.normal(0, 0.1, (3, 1)) * np.ones(9)
        return {"lengths": lengths, "settled": np.full((9, 2), settled), "accuracy": accuracy}

    return world(of=of)


def test_a_quarter_power_and_equal_accuracy_support():
    assert set(outcomes(weight_decay_rate.CLAIM, decaying()).values()) == {"SUPPORTED"}
    assert outcomes(weight_decay_rate.CLAIM, decaying(power=0.5))["length"] == "CONTRADICTED"
    assert outcomes(weight_decay_rate.CLAIM, decaying(fixed=1.0))["fixed length instead"] == "CONTRADICTED"


def test_decay_that_does_not_matter_or_lengths_that_move_decide_nothing():
    assert set(outcomes(weight_decay_rate.CLAIM, decaying(neither=0.0)).values()) == {"INCONCLUSIVE"}
    assert set(outcomes(weight_decay_rate.CLAIM, decaying(settled=0.8)).values()) == {"INCONCLUSIVE"}


def wide(with_bn: float, without: float):
    """T doubles with every so many octaves away from He's scale, at every rate."""
    octaves = np.array(initial_scale.OCTAVES["quick"], float)

    def of(seed: int) -> dict[str, np.ndarray]:
        wobble = np.random.default_rng(seed).normal(0, 0.02)
        log = np.stack([np.log(20) + np.log(2) * np.abs(octaves) / (half * (1 + wobble)) for half in (without, with_bn)])
        return {kind: np.minimum(log, np.log(300))[:, :, None] * np.ones(3) for kind in initial_scale.DEPTHS}

    return world(of=of)


def test_the_width_is_that_of_what_is_within_twice_the_best():
    evidence = initial_scale.CLAIM.analyse(wide(3.0, 2.0), np.random.default_rng(0))
    np.testing.assert_allclose(evidence.data["widths"]["ReLU"], (4.0, 6.0), rtol=0.05)


def test_a_net_that_learns_at_no_scale_has_no_width():
    runs = wide(3.0, 2.0)
    never = {kind: np.where(np.arange(2)[:, None, None] == 0, np.log(300), log) for kind, log in runs.measured(0).items()}
    found = initial_scale.CLAIM.analyse(world(of=lambda _: never), np.random.default_rng(0)).data["widths"]["ReLU"]
    assert found == (0, pytest.approx(6, rel=0.1))


def test_two_octaves_more_support_and_less_contradict():
    assert set(outcomes(initial_scale.CLAIM, wide(4.0, 2.0)).values()) == {"SUPPORTED"}
    assert set(outcomes(initial_scale.CLAIM, wide(2.2, 2.0)).values()) == {"CONTRADICTED"}


def test_steps_are_those_of_the_first_of_two_looks_below_a_level():
    looks, error = np.array([5, 10, 20, 40]), np.array([[0.9, 0.9], [0.2, 0.9], [0.6, 0.2], [0.2, 0.2]])
    log = initial_scale._log_steps(looks, error, "smoke")
    np.testing.assert_allclose(log, [np.mean([np.log(5), np.log(10)]), np.mean([np.log(5), np.log(20)])])
