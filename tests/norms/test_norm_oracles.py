"""Each variant against torch, against batch normalisation where they must agree, and against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bnexp.norms.weight import wrap_layer

SHAPES = {0: (8, 6), 2: (8, 6, 3, 2)}
both_dims = pytest.mark.parametrize("dims", SHAPES)


def close(a, b, tolerance=1e-10):
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def gradient(norm, x, upstream):
    x = x.clone().requires_grad_()
    norm(x).backward(upstream)
    return x.grad


def test_layer_is_torchs_layer_norm(build, sample):
    x = sample((8, 6))
    close(build("layer")(x), functional.layer_norm(x, (6,)))
    x = sample((8, 6, 3, 2))
    close(build("layer", dims=2)(x), functional.layer_norm(x, (6, 3, 2)))


@both_dims
@pytest.mark.parametrize("num_groups", [1, 2, 3])
def test_group_is_torchs_group_norm(build, sample, dims, num_groups):
    x = sample(SHAPES[dims])
    close(build("group", dims=dims, num_groups=num_groups)(x), functional.group_norm(x, num_groups))


@both_dims
def test_group_of_all_features_is_layer(build, sample, dims):
    x = sample(SHAPES[dims])
    close(build("group", dims=dims, num_groups=1)(x), build("layer", dims=dims)(x))


def test_groups_of_one_channel_are_instance(build, sample):
    x = sample((8, 6, 3, 2))
    close(build("group", dims=2, num_groups=6)(x), build("instance", dims=2)(x))


def test_rms_is_torchs_rms_norm(build, sample):
    x = sample((8, 6))
    close(build("rms")(x), functional.rms_norm(x, (6,), eps=1e-5))
    x = sample((8, 6, 3, 2))
    close(build("rms", dims=2)(x), functional.rms_norm(x, (6, 3, 2), eps=1e-5))


@both_dims
def test_dyt_is_a_tanh_of_one_slope_between_a_gain_and_a_shift_of_each_feature(build, sample, dims):
    norm, x = build("dyt", dims=dims, alpha=0.75), sample(SHAPES[dims])
    with torch.no_grad():
        norm.weight.copy_(torch.arange(1, 7))
        norm.bias.copy_(torch.arange(6))
    gamma, beta = (np.arange(start, start + 6).reshape(1, 6, *[1] * dims) for start in (1, 0))
    np.testing.assert_allclose(norm(x).detach(), gamma * np.tanh(0.75 * x.numpy()) + beta, rtol=1e-10)
    norm(x).sum().backward()
    slope = (gamma * x.numpy() / np.cosh(0.75 * x.numpy()) ** 2).sum()
    np.testing.assert_allclose(norm.alpha.grad, slope, rtol=1e-10)


def test_dyt_starts_from_the_slope_and_parameters_of_its_source(build):
    norm = build("dyt")
    assert norm.alpha.item() == 0.5
    assert norm.weight.eq(1).all()
    assert not norm.bias.any()


def test_weight_wraps_the_layer_so_that_length_and_direction_are_its_parameters(sample):
    layer = nn.Linear(6, 4).double()
    x = sample((8, 6))
    before, weight, bias = layer(x), layer.weight.detach().clone(), layer.bias
    wrapped = wrap_layer(layer)
    close(wrapped(x), before)
    g, v = wrapped.parametrizations.weight.original0, wrapped.parametrizations.weight.original1
    close(g.detach(), weight.norm(dim=1, keepdim=True))
    assert {id(p) for p in wrapped.parameters()} == {id(g), id(v), id(bias)}
    with torch.no_grad():
        v.mul_(7)
    close(wrapped(x), before)


def test_weight_gives_each_output_channel_of_a_convolution_its_own_length():
    wrapped = wrap_layer(nn.Conv2d(3, 5, 2))
    assert wrapped.parametrizations.weight.original0.shape == (5, 1, 1, 1)


def test_assigning_a_weight_to_a_wrapped_layer_sets_it():
    wrapped, weight = wrap_layer(nn.Linear(6, 4)), torch.arange(1.0, 25).reshape(4, 6)
    wrapped.weight = weight
    close(wrapped.weight, weight, 1e-5)


@both_dims
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ghost", {"ghost_size": 8}),
        ("lp", {"p": "l2"}),
        ("renorm", {"r_max": 1.0, "d_max": 0.0, "warmup_steps": 0}),
        ("renorm", {"warmup_steps": 10}),
        ("noisy", {"amplitude": 0.0}),
    ],
)
def test_equal_to_batch_forward_backward_and_afterwards(build, sample, dims, name, options):
    norm, batch = build(name, dims=dims, momentum=0.1, **options), build("batch", dims=dims)
    for seed in range(3):
        x, upstream = sample(SHAPES[dims], seed), sample(SHAPES[dims], seed + 50)
        close(gradient(norm, x, upstream), gradient(batch, x, upstream))
        close(norm(x), batch(x))
    if name == "renorm":
        return  # its running sds are other ones
    for mine, theirs in zip(norm.buffers(), batch.buffers(), strict=True):
        close(mine, theirs)
    close(norm.eval()(x), batch.eval()(x))


@both_dims
def test_each_ghost_is_a_batch_of_its_own(build, sample, dims):
    x = sample(SHAPES[dims])
    ghost, batch = build("ghost", dims=dims, ghost_size=4), build("batch", dims=dims)
    close(ghost(x), torch.cat([batch(x[:4]), batch(x[4:])]))


@both_dims
@pytest.mark.parametrize("momentum", [0.1, None])
def test_ghosts_move_the_running_statistics_once_a_batch_by_their_means(build, sample, dims, momentum):
    norm = build("ghost", dims=dims, ghost_size=2, momentum=momentum)
    axes = (0, 2, 3)[: 1 + dims]
    mean, var = np.zeros(6), np.ones(6)
    for count in range(1, 4):
        x = sample(SHAPES[dims], seed=count)
        norm(x)
        ghosts = x.numpy().reshape(4, 2, *x.shape[1:])
        share = momentum or 1 / count
        mean += share * (np.mean([ghost.mean(axes) for ghost in ghosts], axis=0) - mean)
        var += share * (np.mean([ghost.var(axes, ddof=1) for ghost in ghosts], axis=0) - var)
    np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(norm.running_var, var, rtol=1e-12)
    assert int(norm.num_batches_tracked) == 3


@both_dims
def test_unclipped_renorm_gives_in_train_mode_what_eval_mode_gives(build, sample, dims):
    norm = build("renorm", dims=dims, r_max=1e6, d_max=1e6, warmup_steps=0, r_ramp_steps=1, d_ramp_steps=1)
    norm(sample(SHAPES[dims]))
    x = sample(SHAPES[dims], seed=1)
    expected = norm.eval()(x)
    close(norm.train()(x), expected)


def test_renorm_clips_both_corrections_and_keeps_them_out_of_the_gradient(build, sample):
    norm = build("renorm", r_max=15.0, d_max=20.0, warmup_steps=0, r_ramp_steps=1, d_ramp_steps=1)
    x, upstream = 10 * sample((8, 6)), sample((8, 6), seed=1)
    r, d = (x.var(0, correction=0) + 1e-5).sqrt(), x.mean(0)
    assert 0 < (r > 15).sum() < 6
    assert 0 < (d.abs() > 20).sum() < 6
    r, d = r.clamp(1 / 15, 15), d.clamp(-20, 20)
    batch = build("batch")
    close(gradient(norm, x, upstream), r * gradient(batch, x, upstream))
    norm.reset_running_stats()
    close(norm(x), batch(x) * r + d)


def test_renorm_ramps_from_pure_batch_norm_to_its_limits(build, sample):
    norm = build("renorm", r_max=3.0, d_max=4.0, warmup_steps=2, r_ramp_steps=4, d_ramp_steps=2)
    largest, tiny = [], torch.full((1, 6), 1e-9, dtype=torch.float64)
    for seed in range(8):
        r, d = norm.correction(1e9 + tiny, 1e9 + tiny)
        smallest, _ = norm.correction(tiny, tiny)
        close(smallest, 1 / r)
        largest.append((float(r[0, 0]), float(d[0, 0])))
        norm(sample((8, 6), seed))
    assert largest == [(1, 0), (1, 0), (1.5, 2), (2, 4), (2.5, 4), (3, 4), (3, 4), (3, 4)]


@both_dims
def test_renorm_is_algorithm_1(build, sample, dims):
    """Ioffe 2017, Algorithm 1, in numpy, with limits that bind for some features and not for others."""
    alpha, eps, r_max, d_max = 0.2, 1e-5, 1.3, 0.4
    options = {"r_max": r_max, "d_max": d_max, "warmup_steps": 0, "r_ramp_steps": 1, "d_ramp_steps": 1}
    norm = build("renorm", dims=dims, momentum=alpha, eps=eps, **options)
    axes = (0, 2, 3)[: 1 + dims]
    shape = (1, 6, *[1] * dims)
    mu, sigma = np.zeros(shape), np.ones(shape)
    bound = free = 0
    for seed in range(12):
        x = sample(SHAPES[dims], seed % 3) + 0.3 * sample(SHAPES[dims], seed)
        values = x.numpy()
        mu_b = values.mean(axes, keepdims=True)
        sigma_b = np.sqrt(eps + ((values - mu_b) ** 2).mean(axes, keepdims=True))
        r, d = np.clip(sigma_b / sigma, 1 / r_max, r_max), np.clip((mu_b - mu) / sigma, -d_max, d_max)
        bound, free = bound + (r != sigma_b / sigma).sum(), free + (r == sigma_b / sigma).sum()
        np.testing.assert_allclose(norm(x).detach(), (values - mu_b) / sigma_b * r + d, rtol=1e-10, atol=1e-12)
        mu, sigma = mu + alpha * (mu_b - mu), sigma + alpha * (sigma_b - sigma)
    assert bound > 0
    assert free > 0
    np.testing.assert_allclose(norm.eval()(x).detach(), (values - mu) / sigma, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_renorm_in_a_steady_state_corrects_nothing_on_average(build):
    norm = build("renorm", num_features=500, momentum=0.01, warmup_steps=10**6)
    generator, found = torch.Generator().manual_seed(0), []
    for step in range(1500):
        x = 3 + 2 * torch.randn(4, 500, dtype=torch.float64, generator=generator)
        _, var = norm.batch_statistics(x)
        if step >= 700:
            found.append(torch.sqrt(var + norm.eps) / norm.running_sd)
        norm(x)
    assert float(torch.stack(found).mean()) == pytest.approx(1, abs=0.01)


def test_renorm_ramp_of_one_step_is_a_switch(build, sample):
    norm = build("renorm", r_max=1e6, d_max=1e6, warmup_steps=1, r_ramp_steps=1, d_ramp_steps=1)
    close(norm(sample((8, 6))), build("batch")(sample((8, 6))))
    x = sample((8, 6), seed=1)
    assert not torch.allclose(norm(x), build("batch")(x))


@both_dims
@pytest.mark.parametrize(("p", "order"), [("l1", 1), ("l2", 2), ("linf", float("inf"))])
def test_lp_output_is_centred_and_has_average_norm_one(build, sample, dims, p, order):
    x = 100 * sample(SHAPES[dims])  # large, so that eps does not count
    y = build("lp", dims=dims, p=p)(x).transpose(0, 1).flatten(1)
    close(y.mean(1), torch.zeros_like(y[:, 0]))
    average = torch.linalg.vector_norm(y, order, dim=1) / y.shape[1] ** (1 / order)
    close(average, torch.ones_like(average), 1e-8)


@both_dims
@pytest.mark.parametrize("order", ["mean_first", "norm_first"])
@pytest.mark.parametrize(
    ("p", "average"),
    [
        ("l1", lambda z, axes: np.abs(z).mean(axes, keepdims=True)),
        ("l2", lambda z, axes: np.sqrt((z**2).mean(axes, keepdims=True))),
        ("linf", lambda z, axes: np.abs(z).max(axes, keepdims=True)),
    ],
)
def test_lp_norm_is_of_the_values_with_or_without_their_mean(build, sample, dims, order, p, average):
    x, axes = sample(SHAPES[dims]), (0, 2, 3)[: 1 + dims]
    norm, values = build("lp", dims=dims, p=p, order=order, momentum=1.0), x.numpy()
    mean, num_values = values.mean(axes, keepdims=True), values[:, 0].size
    size = average(values - mean if order == "mean_first" else values, axes)
    expected = (values - mean) / np.sqrt(size**2 + 1e-5)
    np.testing.assert_allclose(norm(x).detach(), expected, rtol=1e-10, atol=1e-12)
    stored = size**2 * (num_values / (num_values - 1) if order == "mean_first" else 1)
    np.testing.assert_allclose(norm.running_var, stored.ravel(), rtol=1e-12)
    expected = (values - mean) / np.sqrt(stored + 1e-5)
    np.testing.assert_allclose(norm.eval()(x).detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("order", ["mean_first", "norm_first"])
@pytest.mark.parametrize("p", ["l1", "l2", "linf"])
def test_lp_gradient_is_right(build, sample, p, order):
    norm = build("lp", p=p, order=order)
    assert torch.autograd.gradcheck(norm, (sample((5, 6)).requires_grad_(),))


@pytest.mark.parametrize(("p", "squared"), [("l1", 2.4**2), ("l2", 9.6), ("linf", 36.0)])
def test_lp_running_var_is_the_bessel_scaled_squared_norm(build, p, squared):
    x = torch.tensor([[-6.0], [2.0], [2.0], [2.0], [0.0]], dtype=torch.float64)
    x = torch.cat([x, -x])  # mean 0; mean |x| 2.4; mean x^2 9.6; largest 6
    norm = build("lp", num_features=1, p=p, momentum=1.0)
    norm(x)
    assert float(norm.running_var) == pytest.approx(squared * 10 / 9)


@both_dims
def test_mean_only_removes_the_mean_and_keeps_the_scale(build, sample, dims):
    x = sample(SHAPES[dims])
    axes = (0, 2, 3)[: 1 + dims]
    y = build("mean_only", dims=dims)(x)
    close(y.mean(axes), torch.zeros(6, dtype=torch.float64))
    close(y.std(axes), x.std(axes))


@both_dims
def test_mean_only_in_eval_mode_removes_the_running_mean(build, sample, dims):
    norm = build("mean_only", dims=dims, momentum=1.0)
    norm(sample(SHAPES[dims]))
    x = sample(SHAPES[dims], seed=1)
    axes = (0, 2, 3)[: 1 + dims]
    close(norm.eval()(x), x - sample(SHAPES[dims]).mean(axes, keepdim=True))


@both_dims
def test_scale_only_divides_by_the_sd_about_the_mean_and_does_not_centre(build, sample, dims):
    x = sample(SHAPES[dims])
    axes = (0, 2, 3)[: 1 + dims]
    y = build("scale_only", dims=dims)(x)
    sd = (x.var(axes, correction=0, keepdim=True) + 1e-5).sqrt()
    close(y, x / sd)
    close(y - y.mean(axes, keepdim=True), build("batch", dims=dims)(x))


@both_dims
def test_scale_only_in_eval_mode_divides_by_the_running_sd(build, sample, dims):
    norm = build("scale_only", dims=dims, momentum=1.0)
    norm(sample(SHAPES[dims]))
    x = sample(SHAPES[dims], seed=1)
    axes = (0, 2, 3)[: 1 + dims]
    close(norm.eval()(x), x / (sample(SHAPES[dims]).var(axes, keepdim=True) + 1e-5).sqrt())


@both_dims
@pytest.mark.parametrize("detach", ["mean", "variance", "both"])
def test_detached_is_batch_forward_and_its_closed_form_backward(build, sample, dims, detach):
    x, g = sample(SHAPES[dims]), sample(SHAPES[dims], seed=1)
    norm, batch = build("detached", dims=dims, detach=detach), build("batch", dims=dims)
    close(norm(x), batch(x))
    axes = (0, 2, 3)[: 1 + dims]
    x_hat = norm(x).detach()
    sd = (x.var(axes, correction=0, keepdim=True) + 1e-5).sqrt()
    through_mean = g.mean(axes, keepdim=True)
    through_variance = x_hat * (g * x_hat).mean(axes, keepdim=True)
    close(gradient(batch, x, g), (g - through_mean - through_variance) / sd)
    expected = {"mean": g - through_variance, "variance": g - through_mean, "both": g}[detach] / sd
    close(gradient(norm, x, g), expected)
    assert not torch.allclose(expected, gradient(batch, x, g))


def test_a_bias_before_detached_grows_without_changing_the_output(build, sample):
    norm, bias = build("detached", detach="mean", affine="none"), torch.zeros(6, dtype=torch.float64)
    x, outputs, sizes = sample((8, 6)), [], []
    for _ in range(5):
        bias.requires_grad_()
        y = norm(x + bias)
        y.sum().backward()
        outputs.append(y.detach())
        bias = (bias - bias.grad).detach()
        sizes.append(float(bias.abs().min()))
    close(outputs[-1], outputs[0])
    assert sizes == pytest.approx([k * sizes[0] for k in range(1, 6)])


@both_dims
def test_one_shot_is_batch_norm_once_and_the_same_map_ever_after(build, sample, dims):
    norm, batch = build("one_shot", dims=dims), build("batch", dims=dims)
    first, later = sample(SHAPES[dims]), sample(SHAPES[dims], seed=1)
    close(norm(first), batch(first))
    axes = (0, 2, 3)[: 1 + dims]
    mean, sd = first.mean(axes, keepdim=True), (first.var(axes, correction=0, keepdim=True) + 1e-5).sqrt()
    close(norm(later), (later - mean) / sd)
    close(norm.eval()(later), (later - mean) / sd)


def test_one_shot_sees_its_batch_in_train_mode_only(build, sample):
    norm = build("one_shot").eval()
    x = sample((8, 6))
    assert torch.equal(norm(x), x)
    assert not norm.has_seen_batch
    norm.train()(x)
    assert norm.has_seen_batch


def test_one_shot_statistics_are_constants_to_the_gradient(build, sample):
    norm, x, g = build("one_shot"), sample((8, 6)), sample((8, 6), seed=1)
    close(gradient(norm, x, g), g / norm.first_sd)
