"""Algorithm 2's statistics: exact averages for every norm that keeps running ones, and nothing else touched."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bnexp.norms import NORMS
from bnexp.norms.population import has_running_statistics, recompute_statistics

RUNNING = ["batch", "reference", "sync", "renorm", "noisy", "mean_only", "scale_only", "detached"]


def batches(sample, shape=(8, 6), count=5):
    return [sample(shape, seed) for seed in range(count)]


@pytest.mark.parametrize("name", [*RUNNING, "lp"])
@pytest.mark.parametrize("shape", [(8, 6), (4, 6, 3, 2)])
def test_statistics_are_the_mean_of_means_and_the_bessel_scaled_mean_of_biased_variances(build, sample, name, shape):
    options = {"p": "l2"} if name == "lp" else {}
    norm = build(name, dims=len(shape) - 2, **options)
    norm(sample(shape, seed=77))
    data, axes, m = batches(sample, shape), (0, *range(2, len(shape))), shape[0] * torch.Size(shape[2:]).numel()
    recompute_statistics(norm, data)
    means = torch.stack([x.mean(axes) for x in data])
    biased = torch.stack([x.var(axes, correction=0) for x in data])
    torch.testing.assert_close(norm.running_mean, means.mean(0), rtol=1e-12, atol=1e-12)
    if name == "renorm":
        torch.testing.assert_close(norm.running_sd, (biased + 1e-5).sqrt().mean(0), rtol=1e-12, atol=1e-12)
    else:
        torch.testing.assert_close(norm.running_var, m / (m - 1) * biased.mean(0), rtol=1e-12, atol=1e-12)


def test_ghosts_of_all_batches_weigh_the_same(build, sample):
    norm, data = build("ghost", ghost_size=4), batches(sample)
    recompute_statistics(norm, data)
    ghosts = [part for x in data for part in x.split(4)]
    biased = torch.stack([part.var(0, correction=0) for part in ghosts])
    torch.testing.assert_close(norm.running_mean, torch.stack([part.mean(0) for part in ghosts]).mean(0))
    torch.testing.assert_close(norm.running_var, 4 / 3 * biased.mean(0))


@pytest.mark.parametrize("name", RUNNING)
def test_deeper_layers_are_measured_behind_layers_normalised_by_their_batch(build, sample, name):
    options = {"noisy": {"amplitude": 0.0}, "renorm": {"warmup_steps": 0, "r_ramp_steps": 1, "d_ramp_steps": 1}}.get(
        name, {}
    )
    first, second = (build(name, affine="none", **options) for _ in range(2))
    for seed in range(40, 43):
        second(first(5 * sample((8, 6), seed)))
    data = batches(sample)
    recompute_statistics(nn.Sequential(first, second), data)
    plain = build("batch" if name == "renorm" else name, affine="none", **({} if name == "renorm" else options))
    expected = torch.stack([plain(x).mean(0) for x in data]).mean(0)
    torch.testing.assert_close(second.running_mean, expected, rtol=1e-9, atol=1e-9)


def test_momentum_flags_counts_and_parameters_are_as_before(build, sample):
    model = nn.Sequential(build("batch", momentum=0.3), nn.Linear(6, 6).double(), build("reference", momentum=0.2))
    model(sample((8, 6)))
    model[0].eval()
    parameters = copy.deepcopy(list(model.parameters()))
    recompute_statistics(model, data := batches(sample))
    torch.testing.assert_close(model[0].running_mean, torch.stack(data).mean((0, 1)))
    assert [module.training for module in model] == [False, True, True]
    assert (model[0].momentum, model[2].momentum) == (0.3, 0.2)
    assert (int(model[0].num_batches_tracked), int(model[2].num_batches_tracked)) == (1, 1)
    assert all(torch.equal(a, b) for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_cumulative_norm_goes_on_from_the_batches_of_the_pass(build, sample):
    norm, data = build("reference", momentum=None), batches(sample, count=4)
    recompute_statistics(norm, data[:3])
    norm(data[3])
    torch.testing.assert_close(norm.running_mean, torch.stack([x.mean(0) for x in data]).mean(0))


def test_flags_and_momentum_are_put_back_after_an_error(build, sample):
    norm = build("batch", momentum=0.3).eval()
    with pytest.raises(RuntimeError):
        recompute_statistics(norm, [sample((8, 5))])
    assert (norm.training, norm.momentum) == (False, 0.3)


def test_no_batches_is_an_error(build):
    with pytest.raises(ValueError, match=r"^recompute_statistics got no batches, so there is nothing to average"):
        recompute_statistics(build("batch"), [])


@pytest.mark.parametrize("name", ["none", "layer", "one_shot"])
def test_a_model_without_running_statistics_is_left_alone(build, sample, name):
    norm = build(name)
    norm(sample((8, 6)))
    state = copy.deepcopy(norm.state_dict())
    recompute_statistics(norm, iter(lambda: pytest.fail("read a batch"), None))
    assert not has_running_statistics(norm)
    assert all(torch.equal(state[key], value) for key, value in norm.state_dict().items())


@pytest.mark.parametrize("name", ["batch", "reference", "mean_only", "scale_only", "detached", "noisy"])
def test_eval_mode_after_the_pass_normalises_the_data_it_saw(build, sample, name):
    norm, x = build(name), sample((400, 6))
    recompute_statistics(norm, x.split(100))
    y = norm.eval()(x)
    centred, scaled = name != "scale_only", name != "mean_only"
    assert (y.mean(0).abs().max() < 1e-9) == centred
    assert ((y.std(0) - 1).abs().max() < 0.02) == scaled


def test_every_norm_with_running_statistics_is_covered_here(build):
    kept = {name for name in NORMS if has_running_statistics(build(name, dims=2))}
    assert kept == {*RUNNING, "lp", "ghost"}
