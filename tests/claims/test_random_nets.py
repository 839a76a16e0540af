"""Claims about nets that are only initialised: what they share against closed forms, and their analyses in made-up worlds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnexp.claims import (
    CLAIMS,
    gradient_explosion,
    jacobian_near_one,
    more_gaussian,
    orthogonality_gap,
    partition_boundaries,
    rank_collapse,
    residual_branch,
    shattered_gradients,
)
from bnexp.claims import orthogonal_linear as orthogonal
from bnexp.claims import random_nets as nets
from bnexp.claims.exact import float64_norm
from bnexp.claims.judge import judge

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow

NAMES = (
    "gradient_explosion",
    "orthogonal_linear",
    "rank_collapse",
    "orthogonality_gap",
    "jacobian_near_one",
    "residual_branch",
    "partition_boundaries",
    "shattered_gradients",
    "more_gaussian",
)


def judged(name, arrays_of):
    """The claim's evidence and verdicts where the measurement at a seed is ``arrays_of(seed, noise)``, at eight seeds."""

    def measured(seed):
        rng = np.random.default_rng(seed)
        return {key: np.asarray(value) for key, value in arrays_of(lambda size=None: rng.normal(0, 1, size)).items()}

    runs = SimpleNamespace(budget="quick", seeds=lambda: tuple(range(8)), measured=measured)
    claim = CLAIMS[name]
    evidence = claim.analyse(runs, np.random.default_rng(0))
    return evidence, judge(claim, evidence)


def told(name, arrays_of):
    """Primary verdict, all verdicts and the sentence; the figure is drawn too."""
    evidence, verdicts = judged(name, arrays_of)
    CLAIMS[name].draw(evidence, Figure())
    return next(iter(verdicts.values())), verdicts, CLAIMS[name].say(evidence, verdicts)


# --- what the claims share


def test_orthogonal_weights_are_orthogonal_and_gaussian_ones_have_variance_one_over_n():
    q = nets.orthogonal_weights(0, "test", 3, 20)
    assert torch.allclose(q @ q.mT, torch.eye(20, dtype=q.dtype).expand(3, 20, 20), atol=1e-12)
    assert float(nets.gaussian_weights(0, "test", 5, 100).var()) == pytest.approx(0.01, rel=0.03)


def test_the_norm_is_algorithm_1_without_gamma_and_beta():
    z = nets.gaussian(0, "test", 9, 5)
    assert torch.allclose(nets.normalize(z, 1e-3), float64_norm("reference", 5, 0, eps=1e-3)(z), atol=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("norm", [True, False])
def test_squared_gradients_are_those_of_the_dense_jacobian(activation, norm):
    x, weights = nets.gaussian(0, "x", 5, 4), nets.gaussian_weights(0, "w", 3, 4)
    readout = nets.gaussian(0, "readout", 5, 4)

    def last(given):
        return list(nets.states(given, weights, activation=activation, norm=norm))[-1]

    dense = torch.func.jacrev(last)(x).reshape(20, 20)
    found = nets.squared_gradients(x, weights, readout, activation=activation, norm=norm)
    assert found[0] == pytest.approx(float((dense.T @ readout.flatten()).square().sum()), rel=1e-9)
    assert found[-1] == pytest.approx(float(readout.square().sum()), rel=1e-12)


def test_a_linear_layer_with_bn_multiplies_squared_gradients_by_b_minus_2_over_b_minus_3():
    """Of white examples and independent gradients, in a layer so wide that its mean is the expectation."""
    batch, width = 10, 40_000
    x, g = nets.gaussian(0, "test", batch, batch), nets.gaussian(1, "test", batch, width)
    white = torch.linalg.qr(x - x.mean(0))[0][:, :-1] * batch**0.5  # of length 1 a coordinate, and without mean, as what BN leaves
    z = (white @ nets.gaussian(2, "test", batch - 1, width) / (batch - 1) ** 0.5).requires_grad_()
    g = g - g.mean(0)
    (pulled,) = torch.autograd.grad((nets.normalize(z) * g).sum(), z)
    assert float(pulled.square().sum() / g.square().sum()) == pytest.approx((batch - 2) / (batch - 3), rel=0.02)


def test_growth_is_the_factor_of_a_geometric_series():
    assert nets.growth(1.3 ** -np.arange(20.0), 5, 15) == pytest.approx(1.3)


def test_soft_rank_and_gap_at_their_ends():
    line, white = torch.arange(6.0, dtype=torch.float64)[:, None] * torch.ones(1, 3, dtype=torch.float64), torch.eye(6).double()
    assert float(nets.soft_rank(nets.gram(line))) == pytest.approx(1)
    assert float(nets.soft_rank(nets.gram(white))) == pytest.approx(6)
    assert float(nets.orthogonality_gap(nets.gram(white, centred=True))) == pytest.approx(0, abs=1e-12)
    assert float(nets.orthogonality_gap(nets.gram(line, centred=True))) == pytest.approx((4 / 5) ** 0.5)


@pytest.mark.parametrize("norm", [True, False])
def test_singular_values_are_those_of_the_dense_jacobian(norm):
    x, weight = nets.gaussian(0, "x", 6, 5), nets.gaussian_weights(0, "w", 1, 5)[0]
    out = torch.tanh(x) @ weight
    mean, sd = (out.mean(0), out.std(0, correction=0)) if norm else (0, 1)
    dense = torch.func.jacrev(lambda one: (torch.tanh(one) @ weight - mean) / sd)(x[0])
    found = jacobian_near_one.singular_values(x, weight, "tanh", norm)
    assert np.allclose(found[0], torch.linalg.svdvals(dense).numpy(), rtol=1e-9)
    whole = torch.func.jacrev(lambda given: jacobian_near_one.layer_map(given, weight, "tanh", norm))(x).reshape(30, 30)
    estimate = jacobian_near_one.batch_mean_square(x, weight, "tanh", norm, 0, num_probes=2000)
    assert estimate == pytest.approx(float(whole.square().sum()) / 30, rel=0.05)


def test_the_branch_is_that_of_the_residual_model(make):
    from bnexp.engine.build import build

    net = build(make("model=resmlp", "model.depth=1", "model.width=8", "norm=batch", "norm.eps=1e-12")).model.double().train()
    block, h = net.block1, nets.gaussian(0, "h", 20, 8)
    with torch.no_grad():
        expected = block(h) - h
    found = residual_branch.branch(h, block.linear1.weight.T, block.linear2.weight.T, norm=True)
    assert torch.allclose(found, expected, atol=1e-4)


def test_boundaries_of_a_batch_on_a_line():
    """Points 0, 1, 2, 3 on the first axis: a unit of weight 2 cuts them at 1.25, one of weight 1 at 9 does not."""
    u = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[2.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    cut, distance = partition_boundaries.boundaries(u, weights, torch.tensor([2.5, 9.0]))
    assert cut == 0.5
    assert distance == pytest.approx(0.75 / 1.25**0.5)  # of 1.25, 0.25, 0.75 and 1.75 the lower median; the spread is their sd


@pytest.mark.parametrize("skips", [True, False])
def test_likeness_is_that_of_gradients_taken_one_by_one(skips):
    x, weights, readout = nets.gaussian(0, "x", 6, 4), nets.gaussian_weights(0, "w", 2, 4), nets.gaussian(0, "r", 4)
    mean1, sd1 = x.mean(0), x.std(0, correction=0)

    def layer(h, weight, mean, sd):
        return (h if skips else 0) + torch.relu((h - mean) / sd) @ weight

    h1 = layer(x, weights[0], mean1, sd1)

    def out(one):
        return layer(layer(one, weights[0], mean1, sd1), weights[1], h1.mean(0), h1.std(0, correction=0)) @ readout

    g = torch.stack([torch.func.grad(out)(one) for one in x])
    pairs = g @ g.T
    expected = (pairs.sum() - pairs.trace()) / 30 / (pairs.trace() / 6)
    assert shattered_gradients.likeness(x, weights, readout, skips=skips, norm=True)[2] == pytest.approx(float(expected))


def test_distance_from_a_gaussian_of_a_gaussian_a_coin_and_a_constant():
    x = np.random.default_rng(0).normal(3, 2, size=(20_000, 3))
    x[:, 1] = np.where(x[:, 1] > 3, 1, -1)
    x[:, 2] = 5.0
    found = more_gaussian.from_gaussian(x)
    assert found[0] < 0.02
    quantile, density = 0.8413447, 0.2419707  # W1 = 2 int_0^inf |x - 1| phi = 2 (2 phi(1) - phi(0) + 2 Phi(1) - 3/2)
    assert found[1] == pytest.approx(2 * (2 * density - 0.3989423 + 2 * quantile - 1.5), abs=0.02)
    assert np.isnan(found[2])


# --- every claim: its measurement, whole


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_measurement_is_deterministic_finite_and_small(name):
    measure = CLAIMS[name].measurement.measure
    first, second, other = measure(0, "smoke"), measure(0, "smoke"), measure(1, "smoke")
    assert all(np.array_equal(first[key], second[key]) and np.isfinite(first[key]).all() for key in first)
    assert any(not np.array_equal(first[key], other[key]) for key in first)
    assert sum(np.asarray(value).nbytes for value in first.values()) < 12_000


# --- analyses in made-up worlds


def geometric(factor, depth, noise):
    """Squared gradients that grow by ``factor`` a layer on their way back, a little off."""
    return np.exp(-np.log(factor) * np.arange(depth + 1) + 0.001 * noise(depth + 1))


@pytest.mark.parametrize(("relu", "outcome"), [(1.47, "SUPPORTED"), (1.0, "CONTRADICTED"), (1.6, "CONTRADICTED")])
def test_gradient_explosion(relu, outcome):
    def arrays(noise):
        factors = {name: arm.theory or 1.2 for name, arm in gradient_explosion.ARMS.items()} | {"ReLU, 64 examples": relu}
        return {name: geometric(factor, gradient_explosion.DEPTH, noise) for name, factor in factors.items()}

    primary, verdicts, sentence = told("gradient_explosion", arrays)
    assert primary.outcome == outcome
    assert {verdict.outcome for name, verdict in verdicts.items() if name != "ReLU, 64 examples"} == {"SUPPORTED"}
    assert f"{relu:.3f}" in sentence


@pytest.mark.parametrize(("square", "outcome"), [(1.0, "SUPPORTED"), (1.016, "CONTRADICTED")])
def test_orthogonal_linear(square, outcome):
    def arrays(noise):
        found = {}
        for name in orthogonal.SHAPES:
            depths = np.array(orthogonal.depths_of(name, "quick"))
            for kind in orthogonal.KINDS:
                factor = square if name in orthogonal.SQUARE and kind == "orthogonal" else 1.05
                found[f"{name}, {kind}"] = factor**depths * np.exp(0.01 * noise(len(depths)))
        return found

    primary, verdicts, sentence = told("orthogonal_linear", arrays)
    assert primary.outcome == outcome
    assert {verdict.outcome for name, verdict in verdicts.items() if orthogonal.NARROW in name} == {"SUPPORTED"}
    assert ("too little to count as growth" in sentence) == (outcome == "SUPPORTED")
    assert "where the batch is as large as the width" in sentence


def test_the_gradient_at_the_input_is_that_of_a_net_of_each_depth():
    weights, x = nets.gaussian_weights(0, "w", 10, 6), nets.gaussian(0, "x", 6, 6)
    readouts = nets.gaussian(0, "r", 3, 6, 6)
    found = orthogonal.input_gradients(x, weights, readouts, (1, 10))
    expected = [
        np.mean([nets.squared_gradients(x, weights[:depth], one, activation="linear", norm=True)[0] for one in readouts])
        for depth in (1, 10)
    ]
    assert np.allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(("exponent", "outcome"), [(0.5, "SUPPORTED"), (0.0, "CONTRADICTED"), (1.0, "CONTRADICTED")])
def test_rank_collapse(exponent, outcome):
    def arrays(noise):
        layers = len(rank_collapse.LAYERS)
        return {
            f"{activation}, {name}, {width}": (width**exponent if norm else 1.0) * np.exp(0.01 * noise((2, layers)))
            for activation in rank_collapse.ACTIVATIONS
            for name, norm in rank_collapse.NORMS.items()
            for width in rank_collapse.WIDTHS["quick"]
        }

    primary, verdicts, _ = told("rank_collapse", arrays)
    assert primary.outcome == outcome
    assert verdicts["ReLU: BN / none"].outcome == ("SUPPORTED" if exponent else "CONTRADICTED")


@pytest.mark.parametrize(("rate", "outcome"), [(0.8, "SUPPORTED"), (1.0, "CONTRADICTED"), (1.1, "CONTRADICTED")])
def test_orthogonality_gap(rate, outcome):
    def arrays(noise):
        depth = orthogonality_gap.DEPTH
        return {name: geometric(1 / (rate if norm else 1.0), depth, noise) for name, (_, norm) in orthogonality_gap.ARMS.items()}

    primary, verdicts, _ = told("orthogonality_gap", arrays)
    assert primary.outcome == outcome
    assert verdicts["one rate"].outcome == "SUPPORTED"


@pytest.mark.parametrize(("square", "word"), [(1.0, "as claimed"), (1.3, "too small"), (2.0, "reversed")])
def test_jacobian_near_one(square, word):
    """Without BN the mean square is 1.3."""

    def arrays(noise):
        found = {}
        for activation in jacobian_near_one.ACTIVATIONS:
            for name in jacobian_near_one.arms_of(activation):
                value = (square if name == "BN" else 1.3) * np.exp(0.01 * noise())
                of_arm = {"example": value, "batch": value, "near": 0.4 + 0.01 * noise()}
                of_arm["counts"] = np.ones(len(jacobian_near_one.EDGES) - 1, int)
                found |= {f"{activation}, {name}, {key}": entry for key, entry in of_arm.items()}
        return found

    primary, _, sentence = told("jacobian_near_one", arrays)
    assert primary.word == word
    assert ("takes it away from 1" in sentence) == (word == "reversed")


@pytest.mark.parametrize(("power", "outcome"), [(-1.0, "SUPPORTED"), (-0.5, "CONTRADICTED"), (0.0, "CONTRADICTED")])
def test_residual_branch(power, outcome):
    def arrays(noise):
        blocks = np.arange(residual_branch.NUM_BLOCKS + 1)
        sums = {"BN": blocks + 1.0, "none": 2.0**blocks}
        shares = {"BN": (blocks[1:] + 1.0) ** power, "none": np.full(len(blocks) - 1, 0.5)}
        wobble = np.exp(0.01 * noise(len(blocks) - 1))
        return {
            key: value
            for name in residual_branch.NORMS
            for key, value in ((f"{name}, sum", sums[name]), (f"{name}, branch", shares[name] * sums[name][1:] * wobble))
        }

    primary, verdicts, _ = told("residual_branch", arrays)
    assert primary.outcome == outcome
    assert verdicts["without"].outcome == "SUPPORTED"


@pytest.mark.parametrize(("without", "outcome"), [(0.8, "SUPPORTED"), (1.0, "CONTRADICTED")])
def test_partition_boundaries(without, outcome):
    def arrays(noise):
        shape = (8, partition_boundaries.DEPTH)
        cut = np.clip(without + 0.01 * noise(shape), 0, 1) if without < 1 else np.ones(shape)
        wobble = np.exp(0.01 * noise(shape))
        return {"BN, cut": np.ones(shape), "none, cut": cut, "BN, distance": wobble, "none, distance": wobble / without**2}

    primary, verdicts, sentence = told("partition_boundaries", arrays)
    assert primary.outcome == verdicts["distance"].outcome == outcome
    assert verdicts["all with BN"].outcome == "SUPPORTED"
    assert ("puts more boundaries" in sentence) == (outcome == "SUPPORTED")


@pytest.mark.parametrize(("power", "outcome"), [(-0.5, "SUPPORTED"), (-0.73, "CONTRADICTED"), (0.0, "CONTRADICTED")])
def test_shattered_gradients(power, outcome):
    def arrays(noise):
        layers = np.arange(shattered_gradients.DEPTH + 1)
        alike = {"plain": 0.5**layers, "plain, BN": 0.5**layers, "residual": 0.75**layers, "residual, BN": (layers + 1.0) ** power}
        return {name: one * np.exp(0.01 * noise(len(layers))) for name, one in alike.items()}

    primary, verdicts, _ = told("shattered_gradients", arrays)
    assert primary.outcome == outcome
    assert {verdicts[name].outcome for name in shattered_gradients.BASES} == {"SUPPORTED"}
    assert verdicts["residual: BN / none"].outcome == "SUPPORTED"
    assert verdicts["plain: none / BN"].outcome == "CONTRADICTED"


@pytest.mark.parametrize(("times", "word"), [(3.0, "as claimed"), (1.2, "too small"), (0.5, "reversed")])
def test_more_gaussian(times, word):
    def arrays(noise):
        depth = more_gaussian.DEPTH
        return {
            f"{name}, {what}": (0.05 * times if what == "u" else 0.05) * np.exp(0.01 * noise(depth))
            for name in more_gaussian.ARMS
            for what in "zu"
        }

    primary, verdicts, sentence = told("more_gaussian", arrays)
    assert {verdict.word for verdict in verdicts.values()} == {primary.word} == {word}
    assert ("so that Wu is the more Gaussian" in sentence) == (word == "as claimed")
