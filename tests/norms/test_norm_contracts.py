"""What every normaliser promises, whatever its name: run over the whole registry."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from torch import nn

from bnexp.config.paths import first_comment, group_files
from bnexp.norms import NORMS
from bnexp.norms.base import AFFINE
from bnexp.norms.population import has_running_statistics

SHAPES = {0: (8, 6), 2: (8, 6, 3, 2)}
RUNNING = {"batch", "reference", "ghost", "renorm", "noisy", "mean_only", "scale_only", "detached", "lp", "sync"}
#: Norms that look at one example at a time, or at none.
PER_EXAMPLE = {"none", "layer", "group", "instance", "rms", "weight", "dyt"}
#: Norms with parameters beside gamma and beta.
OTHERS = {"dyt": {"alpha"}}
ALL_NORMS = [(name, dims) for name in NORMS for dims in SHAPES if (name, dims) != ("instance", 0)]
WITH_AFFINE = [(name, dims) for name, dims in ALL_NORMS if name not in ("none", "weight")]

every_norm = pytest.mark.parametrize(("name", "dims"), ALL_NORMS)
every_norm_with_affine = pytest.mark.parametrize(("name", "dims"), WITH_AFFINE)


def test_a_yaml_says_what_a_norm_is_with_its_source_or_its_formula():
    assert [name for name, file in group_files("norm").items() if not first_comment(file).endswith(("].", "biases."))] == []


def test_builders_take_options_without_defaults():
    assert [name for name in NORMS if NORMS[name].build.__kwdefaults__] == []


@pytest.mark.parametrize("name", sorted(set(NORMS) - {"instance"}))
def test_default_options_fit_the_papers_network(build, sample, name):
    assert torch.isfinite(build(name, num_features=100, batch_size=60, small=False)(sample((60, 100)))).all()


@every_norm
def test_output_has_the_shape_and_dtype_of_the_input_with_or_without_gradients_and_no_random_number_is_drawn(
    build, sample, name, dims
):
    before = torch.get_rng_state()
    for training in (True, False):
        x = sample(SHAPES[dims])
        y = build(name, dims=dims).train(training)(x)
        assert (y.shape, y.dtype) == (SHAPES[dims], torch.float64)
        assert torch.isfinite(y).all()
        assert build(name, dims=dims).float().train(training)(x.float()).dtype == torch.float32
        with torch.no_grad():
            assert torch.equal(y, build(name, dims=dims).train(training)(x))
    assert torch.equal(before, torch.get_rng_state())


@every_norm
def test_constant_features_give_a_finite_output_and_gradient(build, name, dims):
    x = torch.full(SHAPES[dims], 2.0, dtype=torch.float64, requires_grad=True)
    y = build(name, dims=dims)(x)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert torch.isfinite(x.grad).all()


@every_norm
def test_gradient_reaches_the_input(build, sample, name, dims):
    for training in (True, False):
        x = sample(SHAPES[dims]).requires_grad_()
        build(name, dims=dims).train(training)(x).pow(3).sum().backward()
        assert (x.grad != 0).any(0).all()


@every_norm_with_affine
def test_affine_gives_exactly_the_parameters_it_names_and_they_learn(build, sample, name, dims):
    for affine, training in product(AFFINE, (True, False)):
        norm = build(name, dims=dims, affine=affine).train(training)
        norm(sample(SHAPES[dims]).requires_grad_()).pow(3).sum().backward()
        expected = {"full": {"weight", "bias"}, "scale": {"weight"}, "shift": {"bias"}, "none": set()}[affine]
        parameters = dict(norm.named_parameters())
        assert set(parameters) == expected | OTHERS.get(name, set())
        for key, parameter in parameters.items():
            assert parameter.shape == ((6,) if key in expected else ())
            assert (parameter.grad != 0).all()


@every_norm_with_affine
def test_gamma_and_beta_act_last(build, sample, name, dims):
    x = sample(SHAPES[dims])
    plain, affine = build(name, dims=dims, affine="none"), build(name, dims=dims, affine="full")
    with torch.no_grad():
        affine.weight.fill_(3)
        affine.bias.fill_(-2)
    if name == "noisy":  # the noise comes after gamma and beta and is drawn anew
        plain.noise.amplitude = affine.noise.amplitude = 0
    torch.testing.assert_close(affine(x), 3 * plain(x) - 2)


@every_norm
def test_a_copy_computes_the_same_and_shares_nothing(build, sample, name, dims):
    norm = build(name, dims=dims)
    norm(sample(SHAPES[dims]))
    twin = copy.deepcopy(norm)
    x = sample(SHAPES[dims], seed=1)
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    y = twin(x)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    assert torch.equal(y, norm(x))


@every_norm
def test_state_dict_round_trip_restores_eval_mode(build, sample, name, dims):
    norm, other = build(name, dims=dims), build(name, dims=dims)
    for seed in range(3):
        norm(sample(SHAPES[dims], seed))
    other.load_state_dict(norm.state_dict())
    x = sample(SHAPES[dims], seed=9)
    assert torch.equal(norm.eval()(x), other.eval()(x))


@every_norm
def test_eval_mode_does_not_depend_on_an_examples_companions(build, sample, name, dims):
    norm = build(name, dims=dims)
    for seed in range(3):
        norm(sample(SHAPES[dims], seed))
    norm.eval()
    x = sample(SHAPES[dims], seed=9)
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]), rtol=1e-12, atol=1e-12)


@every_norm
def test_needs_batch_says_whether_train_mode_depends_on_companions(build, sample, name, dims):
    x = sample(SHAPES[dims])
    other = torch.cat([x[:1], 5 * sample(SHAPES[dims], seed=1)[1:]])
    amplitude = {"amplitude": 0.0} if name == "noisy" else {}
    first, second = (build(name, dims=dims, **amplitude)(batch)[:1] for batch in (x, other))
    assert torch.allclose(first, second) == (name in PER_EXAMPLE) == (not NORMS[name].needs_batch)


@every_norm
def test_centers_says_whether_a_bias_before_it_has_an_effect_and_a_gradient(build, sample, name, dims):
    bias = torch.full((1, 6, *[1] * dims), 0.7, dtype=torch.float64) * torch.arange(1, 7).view(1, 6, *[1] * dims)
    bias.requires_grad_()
    amplitude = {"amplitude": 0.0} if name == "noisy" else {}
    x = sample(SHAPES[dims])
    shifted = build(name, dims=dims, **amplitude)(x + bias)
    shifted.pow(3).sum().backward()
    no_effect = torch.allclose(shifted, build(name, dims=dims, **amplitude)(x))
    no_gradient = bias.grad.abs().max() < 1e-9
    # one_shot's own statistics are constants to the gradient; detached keeps its bias to show that it grows
    assert NORMS[name].centers == (no_effect and (no_gradient or name == "one_shot"))


@every_norm
def test_eval_mode_leaves_the_state_alone_and_train_mode_moves_it(build, sample, name, dims):
    norm = build(name, dims=dims)
    state = copy.deepcopy(norm.state_dict())
    norm.eval()(sample(SHAPES[dims]))
    assert all(torch.equal(state[key], value) for key, value in norm.state_dict().items())
    norm.train()(sample(SHAPES[dims]))
    moved = any(not torch.equal(state[key], value) for key, value in norm.state_dict().items())
    assert moved == NORMS[name].needs_batch


@every_norm
def test_two_forwards_before_a_backward_are_allowed(build, sample, name, dims):
    norm = build(name, dims=dims)
    x = sample(SHAPES[dims]).requires_grad_()
    total = norm(x).pow(2).sum() + norm(2 * x).pow(2).sum()
    norm.eval()
    total = total + norm(x).pow(2).sum()
    norm.train()
    total = total + norm(x).pow(2).sum()
    total.backward()
    assert torch.isfinite(x.grad).all()


@every_norm
def test_running_statistics_are_there_with_torchs_names_or_not_at_all(build, name, dims):
    norm = build(name, dims=dims)
    assert has_running_statistics(norm) == (name in RUNNING)
    if name in RUNNING:
        torchs = nn.BatchNorm1d(6).state_dict().keys() - {"weight", "bias"}
        own = {name.replace("running_sd", "running_var") for name in dict(norm.named_buffers())}  # renorm averages sds
        assert own == torchs


@pytest.mark.parametrize("dims", SHAPES)
@pytest.mark.parametrize(
    ("name", "momentum"),
    [(name, momentum) for name in sorted(RUNNING - {"lp", "renorm"}) for momentum in (0.3, None)],
)
def test_running_statistics_have_torchs_values(build, sample, name, dims, momentum):
    whole = {"ghost_size": 8} if name == "ghost" else {}
    norm = build(name, dims=dims, momentum=momentum, **whole)
    torchs = (nn.BatchNorm2d if dims else nn.BatchNorm1d)(6, momentum=momentum).double()
    for seed in range(4):
        norm(sample(SHAPES[dims], seed))
        torchs(sample(SHAPES[dims], seed))
    for key, value in torchs.named_buffers():
        torch.testing.assert_close(getattr(norm, key), value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(RUNNING))
def test_reset_running_stats_gives_a_fresh_norm(build, sample, name):
    norm = build(name)
    norm(sample(SHAPES[0]))
    norm.reset_running_stats()
    fresh = build(name).state_dict()
    assert all(torch.equal(fresh[key], value) for key, value in norm.state_dict().items())
