"""What every model promises: shapes, published sizes, names, where norms stand, and what it says when it cannot be."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.models.vit import TokenNorm
from bnexp.norms import NORMS, NormFactory

CONFIGS = Path(__file__).parents[2] / "configs" / "model"
SMALL = {
    "deep_linear": {"depth": 2, "width": 8},
    "mlp": {"depth": 2, "width": 8},
    "resmlp": {"depth": 2, "width": 8},
    "cnn": {"width": 4},
    "vgg": {"depth": 11, "width": 2},
    "resnet": {"depth": 8, "width": 4},
    "inception": {"width": 4},
    "vit": {"depth": 2, "width": 8, "heads": 2, "patch": 4},
}
#: Models in which every hidden layer feeds a norm.
FEEDING = sorted(set(SMALL) - {"vit"})
CONVOLUTIONAL = ("cnn", "vgg", "resnet", "inception")


def sites(model: nn.Module) -> dict[str, NormAct]:
    return {name: module for name, module in model.named_modules() if isinstance(module, NormAct)}


def layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def images(shape, number=4):
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(0))


# Shapes and sizes


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 32), (3, 40, 36)])
def test_a_model_maps_images_to_one_logit_per_class(build, name, shape):
    assert build(name, shape, num_classes=7, **SMALL[name])(images(shape)).shape == (4, 7)


@pytest.mark.parametrize("name", sorted(set(SMALL) - {"vgg"}))
def test_every_model_but_vgg_takes_the_28_pixels_of_mnist_as_they_are(build, name):
    assert build(name, (1, 28, 28), **SMALL[name])(images((1, 28, 28))).shape == (4, 10)


def test_a_deep_linear_net_is_one_linear_map_and_the_fully_connected_net_without_nonlinearity(build):
    deep = build("deep_linear", (1, 4, 4), "none", depth=4, width=8).double()
    mlp = build("mlp", (1, 4, 4), "none", depth=4, width=8, activation="identity").double()
    mlp.load_state_dict(deep.state_dict())  # the same names and shapes
    x, weight = images((1, 4, 4), 20).double(), torch.eye(16, dtype=torch.float64)
    for layer in layers(deep).values():
        weight = layer.weight @ weight
    torch.testing.assert_close(deep(x), x.flatten(1) @ weight.T)
    torch.testing.assert_close(deep(x), mlp(x), rtol=0, atol=0)


def test_softmax_regression_maps_images_to_one_logit_per_class(build):
    model = build("linear", (3, 5, 4), norm="none", num_classes=7)
    assert model(images((3, 5, 4))).shape == (4, 7)
    assert list(layers(model)) == ["output"]


@pytest.mark.parametrize(
    ("name", "shape", "norm", "options", "published"),
    [
        ("linear", (1, 28, 28), "none", {}, 7_850),
        ("mlp", (1, 28, 28), "none", {}, 99_710),
        ("mlp", (1, 28, 28), "centering", {}, 99_710 - 300 + 600),
        ("vgg", (3, 32, 32), "none", {"depth": 16}, 14_719_818),
        ("vgg", (3, 32, 32), "centering", {"depth": 16}, 14_719_818 - 4_224 + 8_448),
        ("resnet", (3, 32, 32), "centering", {"depth": 20}, 269_722),
    ],
)
def test_a_model_has_the_published_number_of_parameters(build, name, shape, norm, options, published):
    assert num_parameters(build(name, shape, norm, **options)) == published


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_resnets_have_the_sizes_of_table_6_of_he_et_al(build, depth, millions):
    assert round(num_parameters(build("resnet", depth=depth)) / 1e6, 2) == millions


def test_inception_modules_have_the_outputs_of_figure_5(build):
    model = build("inception", width=64)
    modules = {name: module for name, module in model.named_children() if name.startswith("inception")}
    channels = {name.removeprefix("inception"): module.num_outputs for name, module in modules.items()}
    fours = dict.fromkeys(("4a", "4b", "4c", "4d"), 576)
    assert channels == {"3a": 256, "3b": 320, "3c": 576, **fours, "4e": 1024, "5a": 1024, "5b": 1024}


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("cnn", {"hidden2": 32, "hidden3": 16, "hidden4": 16, "hidden5": 8, "average": 8}),
        ("vgg", {"stage1": 32, "stage2": 16, "stage3": 8, "stage4": 4, "stage5": 2, "average": 1}),
        ("resnet", {"stage1": 32, "stage2": 32, "stage3": 16, "average": 8}),
        ("inception", {"stem3": 32, "inception3a": 16, "inception3c": 16, "inception4a": 8, "inception4e": 8,
                       "inception5a": 4, "average": 4}),
    ],
)  # fmt: skip
def test_an_image_of_32_pixels_reaches_each_part_at_its_size(build, name, sides):
    model, seen = build(name, **SMALL[name]), {}
    for child, module in model.named_children():
        module.register_forward_pre_hook(lambda _, inputs, child=child: seen.update({child: inputs[0].shape[-1]}))
    model(images((3, 32, 32)))
    assert {child: seen[child] for child in sides} == sides


def test_average_pooling_does_not_darken_the_border(build):
    ones = torch.ones(1, 2, 5, 5)
    assert torch.equal(build("inception", **SMALL["inception"]).inception3a.pool.spread(ones), ones)


# Names and norms


def test_layers_and_sites_have_readable_names(build):
    assert list(layers(build("mlp", depth=2))) == ["hidden1.linear", "hidden2.linear", "output"]
    assert list(sites(build("mlp", depth=2))) == ["hidden1.site", "hidden2.site"]
    assert list(sites(build("resmlp", depth=1))) == ["block1.site1", "block1.site2", "site"]
    assert list(layers(build("resnet", depth=8)))[:4] == [
        "stem.conv", "stage1.block1.conv1", "stage1.block1.conv2", "stage2.block1.conv1",
    ]  # fmt: skip
    assert list(sites(build("vgg", depth=13, width=2)))[:3] == [
        "stage1.hidden1.site", "stage1.hidden2.site", "stage2.hidden1.site",
    ]  # fmt: skip
    assert [name for name in sites(build("inception", width=2)) if "3c" in name] == [
        "inception3c.three.reduce.site", "inception3c.three.hidden1.site", "inception3c.three_twice.reduce.site",
        "inception3c.three_twice.hidden1.site", "inception3c.three_twice.hidden2.site",
    ]  # fmt: skip


@pytest.mark.parametrize("name", FEEDING)
def test_every_layer_but_the_last_has_a_site_and_the_last_is_a_plain_linear_output(build, name):
    model = build(name, **SMALL[name])
    *hidden, last = layers(model).items()
    assert len(sites(model)) == len(hidden)
    assert last[0] == "output"
    assert type(last[1]) is nn.Linear
    assert last[1].bias is not None


@pytest.mark.parametrize("name", FEEDING)
@pytest.mark.parametrize(
    ("norm", "placement", "kept"),
    [
        ("centering", "before", False),
        ("centering", "after", True),
        ("not_centering", "before", True),
        ("none", "before", True),
    ],
)
def test_hidden_biases_are_dropped_iff_the_norm_centres_and_stands_before(build, name, norm, placement, kept):
    *hidden, _ = layers(build(name, norm=norm, placement=placement, **SMALL[name])).values()
    assert {layer.bias is not None for layer in hidden} == {kept}


@pytest.mark.parametrize("name", FEEDING)
def test_a_dropped_bias_would_have_had_no_effect(build, name):
    """In resmlp the biases of stem and linear2 enter the sum, which is read by norms alone: they too may go."""
    model = build(name, norm="not_centering", **SMALL[name])
    *hidden, _ = layers(model).values()
    x = images((3, 32, 32), 16)
    before = model(x)
    with torch.no_grad():
        for layer in hidden:
            layer.bias.copy_(images(layer.bias.shape, 1)[0])
    torch.testing.assert_close(model(x), before, rtol=1e-3, atol=1e-3)


def watch(module, log, key):
    module.register_forward_hook(lambda _, inputs, output: log.update({key: (inputs[0], output)}))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("placement", ["before", "after"])
def test_a_norm_reads_the_layer_when_before_and_the_nonlinearity_when_after(build, name, placement):
    model, log = build(name, placement=placement, **SMALL[name]), {}
    layer, site = model.hidden1
    for key, module in (("layer", layer), ("norm", site.norm), ("activation", site.activation), ("site", site)):
        watch(module, log, key)
    model(images((3, 32, 32)))
    order = ("layer", "norm", "activation") if placement == "before" else ("layer", "activation", "norm")
    for first, second in pairwise(order):
        assert log[second][0] is log[first][1]
    assert log["site"][1] is log[order[-1]][1]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("placement", ["before", "after"])
def test_every_site_of_a_model_uses_its_norm_once_in_the_order_asked_for(build, name, placement):
    model, calls = build(name, placement=placement, **SMALL[name]), []
    for site in sites(model).values():
        for part in (site.norm, site.activation):
            part.register_forward_hook(lambda part, *_: calls.append(part))
    model(images((3, 32, 32)))
    pairs = [
        (site.norm, site.activation) if placement == "before" else (site.activation, site.norm)
        for site in sites(model).values()
    ]
    used = [(first, second) for first, second in zip(calls[::2], calls[1::2], strict=True)]
    assert sorted(map(id, (part for pair in used for part in pair))) == sorted(id(p) for pair in pairs for p in pair)
    assert {(id(a), id(b)) for a, b in used} == {(id(a), id(b)) for a, b in pairs}


# Residual connections


def test_the_resnet_shortcut_halves_the_image_pads_channels_and_joins_before_the_nonlinearity(build):
    block = build("resnet", norm="none", **SMALL["resnet"]).stage2.block1
    nn.init.zeros_(block.conv2.weight)
    x_NCHW = images((4, 7, 7))
    y_NCHW = block(x_NCHW)
    assert y_NCHW.shape == (4, 8, 4, 4)
    assert torch.equal(y_NCHW[:, :4], x_NCHW[:, :, ::2, ::2].relu())
    assert not y_NCHW[:, 4:].any()


def test_a_resmlp_block_adds_its_scaled_branch_to_its_input(build):
    x_NC = images((8,))
    plain = build("resmlp", norm="none", **SMALL["resmlp"]).block1
    scaled = {a: build("resmlp", norm="none", branch_scale=a, **SMALL["resmlp"]).block1 for a in (0.0, 0.5, 1.0)}
    branch_NC = plain(x_NC) - x_NC
    assert branch_NC.abs().max() > 0.1
    assert torch.equal(scaled[0.0](x_NC), x_NC)
    torch.testing.assert_close(scaled[0.5](x_NC), x_NC + 0.5 * branch_NC)
    torch.testing.assert_close(scaled[1.0](x_NC), plain(x_NC))


def test_branch_scale_adds_one_learnable_number_per_block(build):
    scaled, plain = (build("resmlp", depth=3, width=8, branch_scale=scale) for scale in (0.0, None))
    assert num_parameters(scaled) == num_parameters(plain) + 3
    nn.functional.cross_entropy(scaled(images((3, 32, 32))), torch.arange(4)).backward()
    assert all(block.alpha.grad is not None for block in (scaled.block1, scaled.block2, scaled.block3))


@pytest.mark.parametrize(("norm", "growth"), [("none", [2, 4, 8, 16]), ("centering", [2, 3, 4, 5])])
def test_at_the_start_the_square_doubles_per_block_without_a_norm_and_grows_by_one_with_one(build, norm, growth):
    """De & Smith 2020: what this model is for. Their variance is over weights: a mean square, not a batch variance."""
    model = build("resmlp", norm=norm, depth=4, width=256)
    x_NC = images((256,), 256)
    mean_squares = []
    for block in (model.block1, model.block2, model.block3, model.block4):
        x_NC = block(x_NC)
        mean_squares.append(x_NC.square().mean().item())
    np.testing.assert_allclose(mean_squares, growth, rtol=0.2)


def test_a_fixup_net_starts_as_nothing_and_every_part_of_it_learns(build):
    model = build("resmlp", norm="none", depth=3, width=8, branch_scale="fixup")
    x, labels = images((3, 32, 32)), torch.arange(4)
    assert not model(x).any()
    x_NC = images((8,))
    assert torch.equal(model.block2(x_NC), x_NC)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):  # first the output's weights leave 0, then linear2's, then the gradient reaches all before them
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    assert all(parameter.grad.any() for parameter in model.parameters())


def test_a_fixup_block_is_the_formula_of_its_source(build):
    block, x_NC = build("resmlp", norm="none", depth=2, width=8, branch_scale="fixup").block1, images((8,))
    with torch.no_grad():
        for number, bias in enumerate((block.bias1, block.bias2, block.bias3, block.bias4), start=1):
            bias.bias.fill_(0.1 * number)
        block.multiplier.fill_(2)
        block.linear2.weight.copy_(block.linear1.weight.T)
    w_CC = block.linear1.weight
    hidden_NC = ((x_NC + 0.1).relu() + 0.2) @ w_CC.T
    expected = x_NC + 2 * ((hidden_NC + 0.3).relu() + 0.4) @ w_CC
    torch.testing.assert_close(block(x_NC), expected)


# Transformer


def test_a_vit_cuts_patches_row_by_row_and_sees_their_places(build):
    model = build("vit", (1, 28, 28), norm="none", depth=1, width=8, heads=2, patch=7).eval()
    picture = torch.arange(784.0).reshape(1, 1, 28, 28)
    patches = model.patches(picture)
    assert patches.shape == (1, 16, 49)
    torch.testing.assert_close(patches[0, 5], picture[0, 0, 7:14, 7:14].flatten())
    x = images((1, 28, 28))
    moved = x.roll(7, 3)
    torch.testing.assert_close(model(x), model(moved), rtol=1e-4, atol=1e-5)  # places start at 0, the mean has no order
    with torch.no_grad():
        model.embed.places.copy_(images((16, 8), 1)[0])
    assert (model(x) - model(moved)).abs().max() > 1e-3


def test_the_attention_of_a_vit_is_the_formula_written_out(build):
    block, x_NTD = build("vit", norm="none", depth=1, width=8, heads=2, patch=8).block1, images((16, 8))
    q, k, v = block.attend(x_NTD).split(8, -1)
    heads = []
    for part in (slice(0, 4), slice(4, 8)):
        weights = (q[..., part] @ k[..., part].mT / 4**0.5).softmax(-1)
        heads.append(weights @ v[..., part])
    attended = x_NTD + block.project(torch.cat(heads, -1))
    expected = attended + block.linear2(nn.functional.gelu(block.linear1(attended)))
    torch.testing.assert_close(block(x_NTD), expected)


@pytest.mark.parametrize("norm", ["layer", "rms", "reference"])
def test_a_norm_of_a_vit_sees_each_token_as_an_example(norm):
    momentum = {"momentum": 0.1} if norm == "reference" else {}
    factory = NormFactory(NORMS[norm], {"affine": "none", "eps": 1e-5, **momentum}, "before")
    tokens, x_NTD = TokenNorm(factory, num_tokens=64, width=8), 3 + images((64, 8))
    axes = (0, 1) if norm == "reference" else 2
    centre = 0 if norm == "rms" else x_NTD.mean(axes, keepdim=True)
    spread = (x_NTD - centre).square().mean(axes, keepdim=True)
    torch.testing.assert_close(tokens(x_NTD), (x_NTD - centre) * (spread + 1e-5).rsqrt(), rtol=1e-4, atol=1e-4)


def test_what_writes_into_the_sum_of_a_vit_has_a_bias_unless_every_norm_would_remove_it(build):
    model = build("vit", norm="not_centering", **SMALL["vit"])
    dropped = {name for name, layer in layers(build("vit", **SMALL["vit"])).items() if layer.bias is None}
    assert dropped == {"embed.linear", *(f"block{n}.{name}" for n in (1, 2) for name in ("project", "linear2"))}
    x = images((3, 32, 32), 16)
    before = model(x)
    with torch.no_grad():
        for name in dropped:
            model.get_submodule(name).bias.copy_(images((8,), 1)[0])
    torch.testing.assert_close(model(x), before, rtol=1e-3, atol=1e-3)


# Ways to run it


@pytest.mark.parametrize("name", CONVOLUTIONAL)
def test_channels_last_gives_the_same_logits_and_stays_channels_last(build, name):
    model, last = build(name, **SMALL[name]).eval(), {}
    x_NCHW = images((3, 32, 32))
    expected = model(x_NCHW)
    for site_name, site in sites(model).items():
        watch(site, last, site_name)
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model(x_NCHW.to(memory_format=torch.channels_last)), expected, rtol=1e-4, atol=1e-4)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for _, output in last.values())


@pytest.mark.parametrize("name", SMALL)
def test_no_branch_of_a_model_depends_on_data(build, name):
    """A symbolic trace refuses such branches, which would also break up a compiled graph."""
    model = build(name, **SMALL[name]).eval()
    x = images((3, 32, 32))
    torch.testing.assert_close(torch.fx.symbolic_trace(model)(x), model(x))


@pytest.mark.parametrize("name", SMALL)
def test_building_a_model_moves_no_global_generator(build, name):
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    build(name, **SMALL[name])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]


@pytest.mark.parametrize("name", SMALL)
def test_the_global_generator_has_no_say_in_a_model(build, name):
    with torch.random.fork_rng():
        models = []
        for state in (1, 2):
            torch.manual_seed(state)
            models.append(build(name, **SMALL[name]).state_dict())
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


@pytest.mark.parametrize(("name", "smallest"), [("cnn", 4), ("vgg", 32)])
def test_the_smallest_image_a_model_speaks_of_works_and_one_pixel_less_is_refused(build, name, smallest):
    shape = (1, smallest, smallest)
    assert build(name, shape, **SMALL[name])(images(shape)).shape == (4, 10)
    with pytest.raises(UserError):
        build(name, (1, smallest, smallest - 1), **SMALL[name])
