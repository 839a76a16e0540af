"""Claims about depth and about statistics (F2, O2.9, L3): oracles at small size, and the analysis in made-up worlds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from bnexp.claims import CLAIMS, init_metrics, trainable_depth, transformer_statistics
from bnexp.config.compose import compose
from bnexp.engine.build import build

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


class Measured:
    """Arrays by seed, as :class:`Runs` hands them over."""

    def __init__(self, *by_seed, budget="quick"):
        self.by_seed, self.budget = by_seed, budget

    def seeds(self):
        return tuple(range(len(self.by_seed)))

    def measured(self, seed):
        return self.by_seed[seed]


def test_all_are_claims():
    modules = (trainable_depth, transformer_statistics, init_metrics)
    assert [CLAIMS[module.CLAIM.id] for module in modules] == [module.CLAIM for module in modules]


# F2: the limit of trainable depth


def test_nets_side_by_side_are_nets_one_by_one():
    images = torch.randn(2 * len(trainable_depth.RATES), 6, 5)
    rngs = [np.random.default_rng(seed) for seed in (0, 1)]
    weights = [trainable_depth._stacked("BN", sizes, rngs) for sizes in ((5, 4), (4, 4), (4, 10))]
    logits = trainable_depth._forward("BN", images, weights)
    for net in range(len(images)):
        x = images[net] @ weights[0][net]
        for weight in weights[1:]:
            spread = (x.var(0, correction=0) + trainable_depth.EPS).sqrt()
            x = ((x - x.mean(0)) / spread).relu() @ weight[net]
        torch.testing.assert_close(logits[net], x)


def test_a_residual_net_without_its_branches_is_its_first_and_last_layer():
    images = torch.randn(len(trainable_depth.RATES), 6, 5)
    rng = [np.random.default_rng(0)]
    weights = [trainable_depth._stacked("residual BN", sizes, rng) for sizes in ((5, 4), (4, 4), (4, 4), (4, 10))]
    with torch.no_grad():
        weights[2].zero_()
    shallow = trainable_depth._forward("residual BN", images, [weights[0], weights[3]])
    assert torch.equal(trainable_depth._forward("residual BN", images, weights), shallow)


def test_orthogonal_layers_keep_lengths_but_for_the_gain_of_a_relu():
    (weight,) = [trainable_depth._stacked("orthogonal", (8, 8), [np.random.default_rng(0)])]
    torch.testing.assert_close(weight[0].T @ weight[0] / 2, torch.eye(8), rtol=1e-4, atol=1e-5)


def test_the_gradients_of_deep_bn_nets_grow_as_theory_says():
    depth, images = 30, torch.randn(3, 64, 200)
    rngs = [np.random.default_rng(0)]
    layers = [200] * (depth + 1) + [10]
    weights = [trainable_depth._stacked("BN", sizes, rngs) for sizes in pairwise(layers)]
    loss = torch.nn.functional.cross_entropy(
        trainable_depth._forward("BN", images, weights).flatten(0, 1), torch.arange(192) % 10, reduction="sum"
    )
    squares = [float(gradient[0].square().sum()) for gradient in torch.autograd.grad(loss, weights)]
    rate = np.exp(-np.polyfit(np.arange(5, depth - 5), np.log(squares[5 : depth - 5]), 1)[0])
    assert rate == pytest.approx(np.pi / (np.pi - 1), rel=0.08)


def test_the_depth_of_half_accuracy_is_between_depths_and_the_ends_where_there_is_none():
    points = np.array([[90.0, 90.0, 20.0], [60.0, 90.0, 10.0], [40.0, 90.0, 10.0]])
    found = trainable_depth.depth_of_half((10, 20, 40), points)
    assert found == pytest.approx([np.sqrt(20 * 40), 40, 10])


def depths(limits, seeds=6):
    """Accuracy 90 down to 10 points around each arm's limit."""
    grid = np.array(trainable_depth.DEPTHS["quick"], float)
    found = {}
    for arm, limit in limits.items():
        luck = np.exp(0.03 * np.random.default_rng(len(arm)).normal(size=seeds))
        points = 10 + 80 / (1 + np.exp(8 * np.log(grid[:, None] / (limit * luck))))
        found[arm] = np.stack([points, points - 3, np.full_like(points, 10)], axis=2)
    return found


@pytest.mark.parametrize(
    ("limit", "outcome", "words"), [(42, "SUPPORTED", "within the 25 to 70"), (12, "CONTRADICTED", "outside the 25 to 70")]
)
def test_the_limit_of_bn_is_where_theory_has_it_or_not(told, limit, outcome, words):
    limits = {"BN": limit, "He": 25, "orthogonal": 60, "residual BN": 500}
    verdicts, sentence = told(trainable_depth, Measured(depths(limits)))
    assert verdicts["depth limit"].outcome == outcome
    assert words in sentence
    assert f"they do so beyond {trainable_depth.DEPTHS['quick'][-1]}" in sentence
    assert verdicts["no norm, He"].outcome == ("CONTRADICTED" if limit == 42 else "SUPPORTED")


# O2.9: statistics of tokens


def test_independent_normal_values_fluctuate_as_a_sample_does():
    rng = np.random.default_rng(0)
    batches = 5 + 3 * rng.normal(size=(800, 40, 50))  # batches, features, values
    mean, var = transformer_statistics.fluctuation(batches.mean(2), batches.var(2))
    assert mean == pytest.approx(1 / np.sqrt(50), rel=0.05)
    assert var == pytest.approx(np.sqrt(2 / 50), rel=0.05)


def test_values_that_an_example_shares_fluctuate_more():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 20, 10, 1)).repeat(5, 3).reshape(400, 20, 50)
    assert transformer_statistics.fluctuation(shared.mean(2), shared.var(2))[0] == pytest.approx(1 / np.sqrt(10), rel=0.05)


def test_constant_features_are_left_out():
    mean, var = np.ones((4, 2)), np.array([[0.0, 1.0], [0.0, 3.0], [0.0, 1.0], [0.0, 3.0]])
    assert transformer_statistics.fluctuation(mean, var) == (0.0, 0.5)


def tokens(times, seeds=8):
    """Seeds in which the transformers' statistics fluctuate ``times`` as much."""
    found = []
    for seed in range(seeds):
        luck = 1 + 0.02 * np.random.default_rng(seed).normal()
        one = {}
        for net in transformer_statistics.NETS:
            level = 0.05 * (times * luck if net.startswith("transformer") else 1)
            one |= {f"{net}/mean": np.full(5, level), f"{net}/variance": np.full(5, 2 * level), f"{net}/places": np.full(5, 49)}
        found.append(one)
    return Measured(*found)


@pytest.mark.parametrize(
    ("times", "outcome", "words"),
    [
        (4.0, "SUPPORTED", "so at least 3 times as much"),
        (2.0, "CONTRADICTED", "less than the 3 times"),
        (0.5, "CONTRADICTED", "the other way round"),
    ],
)
def test_tokens_fluctuate_more_or_not(told, times, outcome, words):
    verdicts, sentence = told(transformer_statistics, tokens(times))
    assert {verdict.outcome for verdict in verdicts.values()} == {outcome}
    assert words in sentence


def test_the_statistics_are_measured_at_every_norm_with_their_places():
    found = transformer_statistics.measure(0, "smoke")
    assert found["convolutional net with BN/places"].tolist() == [784, 784, 196, 196, 49]
    assert found["transformer with BN/places"].tolist() == [49] * 5
    assert all(np.isfinite(values).all() and (values > 0).all() for values in found.values())


# L3: metrics at initialisation


def net(*words):
    return build(compose([*init_metrics._NET, *init_metrics._TRAINING, "dataset=mnist_5k", *words]))


def test_metrics_are_those_of_a_dense_computation():
    similarity, gradients, activations = init_metrics.metrics_of(net("norm=batch", "model.depth=3", "seed=1"))
    built = net("norm=batch", "model.depth=3", "seed=1")
    model, every = built.model.double(), len(built.train) // init_metrics.EXAMPLES
    x = built.prepare(built.train.images[::every][: init_metrics.EXAMPLES]).double().flatten(1)
    seen = []
    for block in (model.hidden1, model.hidden2, model.hidden3):
        seen.append(block.linear(x))
        x = block.site(seen[-1])
    direction = torch.nn.functional.normalize(x.detach(), dim=1)
    cosines = direction @ direction.T
    assert similarity == pytest.approx(float((cosines.sum() - len(x)) / (len(x) * (len(x) - 1))))
    assert activations == pytest.approx(abs(float((seen[-1].detach().norm() / seen[0].detach().norm()).log())) / 2)
    labels = built.train.labels[::every][: init_metrics.EXAMPLES]
    first, _, last = torch.autograd.grad(torch.nn.functional.cross_entropy(model.output(x), labels), seen)
    assert gradients == pytest.approx(abs(float((last.norm() / first.norm()).log())) / 2)


def test_examples_become_alike_without_a_norm_and_less_so_with_bn():
    plain, bn = (init_metrics.metrics_of(net(f"norm={norm}")) for norm in ("none", "batch"))
    assert plain[0] > 0.9
    assert bn[0] < 0.7
    assert bn[1] > plain[1]


def test_log_steps_are_of_the_first_step_below_each_level_and_the_horizon_where_there_is_none():
    losses = np.full(100, 3.0)
    assert np.exp(init_metrics.mean_log_steps(losses, 150)) == pytest.approx(150)
    losses[60:] = 0.0
    first = [61 + int(np.argmax([3 - 0.3 * (k + 1) < level for k in range(10)])) for level in init_metrics.LEVELS]
    assert init_metrics.mean_log_steps(losses, 150) == pytest.approx(np.log(first).mean())


def normalisers(slope, noise=0.1):
    rng = np.random.default_rng(1)
    count = len(init_metrics.NORMS)
    found = []
    for _ in range(3):
        metric = np.linspace(0, 1, count)
        log_steps = 4 + slope * metric + noise * rng.normal(size=count)
        found.append({"metrics": np.stack([metric] * 3, 1), "log_steps": np.stack([log_steps + 1, log_steps, log_steps + 2], 1)})
    return Measured(*found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("slope", "outcome", "words"),
    [(2.0, "SUPPORTED", "enough to say that it goes with"), (-2.0, "CONTRADICTED", "keep examples apart learn later")],
)
def test_a_metric_ranks_normalisers_or_the_other_way_round(told, slope, outcome, words):
    verdicts, sentence = told(init_metrics, normalisers(slope))
    assert verdicts[init_metrics.SIMILARITY].outcome == outcome
    assert words in sentence


@pytest.mark.slow
def test_every_normaliser_has_finite_metrics():
    found = init_metrics.measure(0, "smoke")
    assert found["metrics"].shape == (len(init_metrics.NORMS), 3)
    assert all(np.isfinite(values).all() for values in found.values())
