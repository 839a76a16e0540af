"""Initial weights: the spread of every family, and that arms at one seed share them whatever norms stand between."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from bnexp.config.schema import INITS
from bnexp.models import build_model
from bnexp.models.init import initialize, layer_hashes

SMALL = {
    "deep_linear": {"depth": 3, "width": 8},
    "mlp": {"depth": 3, "width": 8},
    "resmlp": {"depth": 2, "width": 8},
    "cnn": {"width": 4},
    "vgg": {"depth": 11, "width": 2},
    "resnet": {"depth": 8, "width": 4},
    "inception": {"width": 4},
    "vit": {"depth": 1, "width": 8, "heads": 2, "patch": 8},
}
LINEAR = (400, 300)  # inputs, outputs
CONV = (32, 64, 3)  # inputs, outputs, kernel


@pytest.fixture
def build(config_of, factory):
    def make(name, norm="centering", placement="before", seed=0, **options):
        return build_model(config_of(name, **options), (3, 32, 32), 10, factory(norm, placement), seed)

    return make


@pytest.mark.parametrize(
    ("family", "linear_sd", "conv_sd"),
    [
        ("gaussian", 1.0, 1.0),
        ("he", math.sqrt(2 / 400), math.sqrt(2 / (32 * 9))),
        ("lecun", math.sqrt(1 / 400), math.sqrt(1 / (32 * 9))),
        ("glorot", math.sqrt(2 / 700), math.sqrt(2 / (96 * 9))),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_a_normal_family_has_its_standard_deviation_and_mean_zero(family, linear_sd, conv_sd, scale):
    model = nn.Sequential(nn.Linear(*LINEAR), nn.Conv2d(*CONV))
    initialize(model, family, scale, seed=0)
    for layer, sd in ((model[0], linear_sd), (model[1], conv_sd)):
        assert layer.weight.std().item() == pytest.approx(scale * sd, rel=0.02)
        assert abs(layer.weight.mean().item()) < 5 * scale * sd / math.sqrt(layer.weight.numel())


@pytest.mark.parametrize("layer", [nn.Linear(20, 30), nn.Linear(30, 20), nn.Conv2d(4, 8, 3)], ids=str)
def test_orthogonal_weights_have_all_singular_values_equal_to_the_scale(layer):
    initialize(nn.Sequential(layer), "orthogonal", 0.5, seed=0)
    singular_values = torch.linalg.svdvals(layer.weight.flatten(1))
    torch.testing.assert_close(singular_values, torch.full_like(singular_values, 0.5))


@pytest.mark.parametrize("family", INITS)
def test_every_family_of_the_schema_draws_by_the_seed_alone(family):
    models = [nn.Sequential(nn.Linear(5, 5), nn.Conv2d(2, 3, 3)) for _ in range(3)]
    before = torch.get_rng_state()
    for model, seed in zip(models, (0, 0, 1), strict=True):
        initialize(model, family, 1.0, seed)
    first, again, other = (layer_hashes(model) for model in models)
    assert first == again
    assert all(first[name] != other[name] for name in first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("norm", ["none", "weight"])
def test_the_first_scale_of_an_mlp_scales_the_first_layer_alone(build, norm):
    plain, scaled = (build("mlp", norm, depth=3, width=8, first_scale=scale) for scale in (1.0, 0.25))
    for name in ("hidden1.linear", "hidden2.linear", "hidden3.linear", "output"):
        factor = 0.25 if name == "hidden1.linear" else 1.0
        weight, expected = scaled.get_submodule(name).weight, factor * plain.get_submodule(name).weight
        torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", SMALL)
def test_arms_at_one_seed_start_from_the_same_layers(build, name):
    arms = [("none", "before"), ("centering", "before"), ("centering", "after"), ("not_centering", "before")]
    models = [build(name, norm, placement, **SMALL[name]) for norm, placement in arms]
    hashes = [layer_hashes(model) for model in models]
    assert all(other == hashes[0] for other in hashes)
    for key in hashes[0]:
        weights = [model.get_submodule(key).weight for model in models]
        assert all(torch.equal(other, weights[0]) for other in weights)


@pytest.mark.parametrize("name", SMALL)
def test_no_two_layers_and_no_two_seeds_share_a_weight(build, name):
    hashes = [*layer_hashes(build(name, **SMALL[name])).values()]
    others = [*layer_hashes(build(name, seed=1, **SMALL[name])).values()]
    assert len({*hashes, *others}) == len(hashes) + len(others)


def test_a_deeper_network_starts_from_the_layers_of_the_shallow_one(build):
    shallow, deep = (layer_hashes(build("mlp", depth=depth, width=8)) for depth in (3, 5))
    assert len(deep) == len(shallow) + 2
    assert all(deep[name] == shallow[name] for name in shallow)


@pytest.mark.parametrize("name", SMALL)
def test_weight_norm_starts_from_the_function_and_the_names_of_the_plain_network(build, name):
    plain, weight = (build(name, norm, **SMALL[name]).eval() for norm in ("none", "weight"))
    x_NCHW = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert sum("original0" in key for key in weight.state_dict()) == len(layer_hashes(weight)) - 1
    torch.testing.assert_close(weight(x_NCHW), plain(x_NCHW), rtol=1e-4, atol=1e-4)
    assert layer_hashes(weight) == layer_hashes(plain)


def test_weight_norm_of_a_layer_with_one_input_is_fingerprinted_by_what_was_drawn():
    plain, weight = nn.Sequential(nn.Linear(1, 4)), nn.Sequential(parametrizations.weight_norm(nn.Linear(1, 4)))
    for model in (plain, weight):
        initialize(model, "he", 1.0, seed=0)
    assert layer_hashes(weight) == layer_hashes(plain)


def test_fixup_starts_from_zero_in_the_last_layers_and_from_scaled_weights_in_the_first(build):
    plain, fixup = (build("resmlp", "none", depth=4, width=8, branch_scale=scale) for scale in (None, "fixup"))
    for block in ("block1", "block4"):
        torch.testing.assert_close(
            fixup.get_submodule(block).linear1.weight, plain.get_submodule(block).linear1.weight / 2, rtol=1e-6, atol=0
        )
        assert not fixup.get_submodule(block).linear2.weight.any()
    assert not fixup.output.weight.any()
    assert torch.equal(fixup.stem.weight, plain.stem.weight)


def test_biases_start_at_zero_and_norm_parameters_are_left_alone():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    nn.init.constant_(model[1].weight, 7.0)
    nn.init.constant_(model[1].bias, 5.0)
    initialize(model, "he", 1.0, seed=0)
    assert not model[0].bias.any()
    assert model[1].weight.eq(7.0).all()
    assert model[1].bias.eq(5.0).all()


def test_initial_weights_are_leaves_that_can_be_trained(build):
    for norm in ("none", "weight"):
        model = build("mlp", norm, **SMALL["mlp"])
        assert all(parameter.is_leaf and parameter.requires_grad for parameter in model.parameters())


def test_a_fingerprint_follows_the_values_and_not_the_layout_or_precision(build):
    model = build("cnn", **SMALL["cnn"])
    before = layer_hashes(model)
    assert layer_hashes(model.to(memory_format=torch.channels_last).double()) == before
    with torch.no_grad():
        model.hidden3.conv.weight[0, 0, 0, 0] += 1e-3
    after = layer_hashes(model)
    assert [name for name in before if before[name] != after[name]] == ["hidden3.conv"]
