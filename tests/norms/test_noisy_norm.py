"""The noise of norm=noisy: its constants, who shares a draw, when it is drawn and from which stream."""

from __future__ import annotations

import copy

import pytest
import torch

from bnexp.config.schema import NormConfig
from bnexp.models.blocks import NormAct
from bnexp.norms.factory import norm_factory
from bnexp.norms.noisy import UnitNoise
from bnexp.rng import torch_stream


def parts(amplitude, num_examples=4000, num_units=300):
    """The m and s of one call: noise(0) = m, noise(1) - noise(0) = s."""
    zero, one = torch.zeros(num_examples, num_units), torch.ones(num_examples, num_units)
    first, second = (UnitNoise(amplitude, False, torch_stream(0, "noise")) for _ in range(2))
    m = first(zero)
    return m, second(one) - m


@pytest.mark.parametrize("amplitude", [1.0, 2.0])
def test_noise_has_the_papers_constants(amplitude):
    m, s = parts(amplitude)
    mu, sigma = m.mean(0), s.mean(0)
    assert mu.abs().max() < 0.5 * amplitude + 0.01
    assert mu.std() == pytest.approx(amplitude / 12**0.5, rel=0.1)  # U(-0.5, 0.5)
    assert (m - mu).abs().max() < 0.1 * amplitude + 0.01
    assert (m - mu).std() == pytest.approx(0.2 * amplitude / 12**0.5, rel=0.02)  # U(mu - 0.1, mu + 0.1)
    assert sigma.min() > 1 - 0.02
    assert sigma.max() < 1 + 0.25 * amplitude + 0.02
    assert sigma.mean() == pytest.approx(1 + 0.125 * amplitude, abs=0.02 * amplitude)  # U(1, 1.25)
    assert sigma.std() == pytest.approx(0.25 * amplitude / 12**0.5, rel=0.1)
    assert (s - sigma).std() == pytest.approx(0.1 * amplitude, rel=0.02)  # N(sigma, 0.1), 0.1 an sd
    assert ((s - sigma).abs() > 0.25 * amplitude).float().mean() > 0.005  # a normal's tails, not a uniform's


def test_a_units_distribution_changes_from_step_to_step():
    noise = UnitNoise(1.0, False, torch_stream(0, "noise"))
    first, second = (noise(torch.zeros(2000, 50)).mean(0) for _ in range(2))
    assert torch.corrcoef(torch.stack([first, second]))[0, 1].abs() < 0.5
    assert (first - second).abs().mean() > 0.1


def test_channels_share_their_distribution_over_space_and_elements_do_not_share_their_draw():
    m = UnitNoise(1.0, False, torch_stream(0, "noise"))(torch.zeros(200, 30, 4, 4))
    mu = m.mean((0, 2, 3), keepdim=True)
    assert (m - mu).abs().max() < 0.11
    assert (m.std((2, 3)) > 0.01).all()


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("in_eval", [True, False])
def test_noise_acts_in_train_mode_and_in_eval_mode_only_if_asked(build, sample, where, in_eval):
    norm = build("noisy", where=where, in_eval=in_eval)
    plain, x = build("batch"), sample((8, 6))

    def call(module):
        y = module(x)
        return module.post_activation(y) if where == "after" and module is norm else y

    assert not torch.allclose(call(norm), call(plain))
    assert torch.allclose(call(norm.eval()), call(plain.eval())) != in_eval


def test_after_leaves_the_norms_own_output_alone_and_noises_what_follows_the_nonlinearity(sample):
    values = {"amplitude": 1.0, "in_eval": False, "affine": "full", "eps": 1e-5, "momentum": 0.1}
    outputs = {}
    for where in ("before", "after"):
        config = NormConfig(name="noisy", placement="before", options={**values, "where": where})
        factory = norm_factory(config, batch_size=8, generator=torch_stream(0, "noise"))
        block = NormAct(factory, 6, 0, "relu").double()
        outputs[where] = block(sample((8, 6)))
    assert (outputs["before"] >= 0).all()
    assert (outputs["after"] < 0).any()


def test_noise_comes_from_the_given_stream_and_no_other(build, sample):
    generator, x = torch_stream(0, "noise"), sample((8, 6))
    norm = build("noisy", generator=generator)
    first, state = norm(x), generator.get_state()
    assert not torch.equal(state, torch_stream(0, "noise").get_state())
    assert not torch.equal(norm(x), first)
    assert torch.equal(build("noisy", generator=torch_stream(0, "noise"))(x), first)


def test_a_copy_draws_from_a_copy_of_the_stream(build, sample):
    generator = torch_stream(0, "noise")
    norm = build("noisy", generator=generator)
    state = generator.get_state()
    copy.deepcopy(norm)(sample((8, 6)))
    assert torch.equal(generator.get_state(), state)


def test_noise_does_not_reach_the_running_statistics(build, sample):
    noisy, batch = build("noisy"), build("batch")
    for seed in range(3):
        noisy(sample((8, 6), seed))
        batch(sample((8, 6), seed))
    torch.testing.assert_close(noisy.running_var, batch.running_var)
