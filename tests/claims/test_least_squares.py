"""Claims on least squares: descent against autograd and against plain loops, the analyses on made-up worlds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bnexp.claims import any_rate, least_squares, length_and_direction
from bnexp.claims.judge import judge
from bnexp.claims.least_squares import Normalised, plain_excess, problems


def test_problems_have_the_condition_that_was_asked_for():
    these = problems(0, 100, 5, 7)
    assert these.h.max(1).tolist() == [1] * 5
    np.testing.assert_allclose(these.h.min(1), 0.01)
    np.testing.assert_allclose((these.w**2).sum(1), 1)


def test_a_gap_parts_the_first_eigenvalue_from_the_others():
    h = problems(0, 100, 5, 7, gap=10).h
    assert (np.sort(h)[:, -2] <= 0.1).all()
    np.testing.assert_allclose((h.max(1), h.min(1)), ([1] * 5, [0.01] * 5))


def test_a_step_is_that_of_the_loss_of_a_normalised_neuron():
    these = problems(1, 30, 3, 6)
    descent = Normalised(these, np.array([0.1, 1.0, 30.0]), np.array([0.1, 0.7, 1.0]))
    h, u = torch.from_numpy(these.h), torch.from_numpy(these.u)
    w, a = torch.from_numpy(these.w).requires_grad_(), torch.ones(3, dtype=torch.float64, requires_grad=True)
    for _ in range(4):
        descent.step()
        sd = (h * w**2).sum(1).sqrt()
        loss = ((h * (u - (a / sd)[:, None] * w) ** 2).sum(1)) / 2  # E (u.x - a w.x / sd)^2 / 2, x with covariance h
        grad_w, grad_a = torch.autograd.grad(loss.sum(), (w, a))
        with torch.no_grad():
            w -= torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)[:, None] * grad_w
            a -= torch.tensor([0.1, 0.7, 1.0], dtype=torch.float64) * grad_a
    np.testing.assert_allclose(descent.w, w.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(descent.a, a.detach().numpy(), rtol=1e-10)
    sd = (h * w**2).sum(1).sqrt()
    left = (h * (u - (a / sd)[:, None] * w) ** 2).sum(1).detach().numpy() / these.variance
    np.testing.assert_allclose(descent.excess(), left, rtol=1e-9)


def test_fixed_weights_stay_at_length_1_and_only_turn():
    these = problems(1, 30, 3, 6)
    fixed, free = (Normalised(these, np.full(3, 0.1), np.ones(3), fixed=one) for one in (True, False))
    for descent in (fixed, free):
        descent.step()
    np.testing.assert_allclose((fixed.w**2).sum(1), 1)
    np.testing.assert_allclose(fixed.w * np.linalg.norm(free.w, axis=1, keepdims=True), free.w)


@pytest.mark.parametrize("rate", [1e-3, 1e3])
def test_many_tiny_steps_at_once_are_those_one_by_one(rate, monkeypatch):
    monkeypatch.setattr(least_squares, "LUMPED", 0.01)
    these = problems(2, 10, 4, 5)
    lumped, single = (Normalised(these, np.full(4, rate), np.full(4, 0.5), lumped=one) for one in (True, False))
    while lumped.steps.max() < 1500:
        lumped.step()
    excess = np.empty(4)
    for step in range(1, int(lumped.steps.max()) + 1):
        single.step()
        now = lumped.steps == step
        excess[now] = single.excess()[now]
    np.testing.assert_allclose(lumped.excess(), excess, rtol=0.03)


def test_taken_at_once_or_one_by_one_they_are_about_as_many():
    these, took = problems(2, 10, 4, 5), {}
    for one in (True, False):
        descent = Normalised(these, np.full(4, 3e-3), np.full(4, 0.5), lumped=one)
        arrived = np.full(4, np.inf)
        while not np.isfinite(arrived).all():
            descent.step()
            done = (descent.excess() < 1e-6) & ~np.isfinite(arrived)
            arrived[done] = descent.steps[done]
        took[one] = arrived
    np.testing.assert_allclose(took[True], took[False], rtol=0.15)


def test_plain_descent_in_closed_form_is_the_loop():
    these, rate = problems(3, 10, 3, 5), np.array([0.3, 1.5, 2.2])
    w = these.w.copy()
    for _ in range(7):
        w -= rate[:, None] * these.h * (w - these.u)
    left = (these.h * (w - these.u) ** 2).sum(1) / these.variance
    np.testing.assert_allclose(plain_excess(these, rate, np.array([7.0]))[:, 0], left, rtol=1e-9)


def test_at_a_rate_far_too_large_for_plain_descent_bn_arrives():
    found = any_rate.measure(0, "smoke")
    assert (found["left 1"] <= any_rate.ARRIVED)[found["condition"] == 10].all()
    assert np.array_equal(np.isfinite(found["steps plain"]), found["rate"] < 1)


def outcomes(claim, arrays):
    of = arrays if callable(arrays) else lambda _: arrays
    seeds = (lambda: range(8)) if callable(arrays) else (lambda: (0,))
    evidence = claim.analyse(SimpleNamespace(budget="quick", seeds=seeds, measured=of), np.random.default_rng(0))
    verdicts = judge(claim, evidence)
    assert claim.say(evidence, verdicts)
    return {name: verdict.outcome for name, verdict in verdicts.items()}


def converging(**changes):
    condition, rate = (
        grid.ravel() for grid in np.meshgrid(np.repeat(any_rate.CONDITIONS, 4), any_rate.RATES, indexing="ij")
    )
    one, below = np.ones(len(rate)), rate < 1
    found = {"condition": condition, "rate": rate, "left plain": np.where(below, 0.0, np.inf), "steps plain": one}
    for scale_rate in (0.1, 1, 2.5):
        found |= {f"left {scale_rate:g}": 1e-7 * one if scale_rate < 2 else 1e9 * one, f"steps {scale_rate:g}": 9 * one}
    return found | changes


def test_every_rate_supports_and_one_that_does_not_arrive_contradicts():
    assert set(outcomes(any_rate.CLAIM, converging()).values()) == {"SUPPORTED"}
    stuck = converging()["left 1"].copy()
    stuck[17] = 0.3
    found = outcomes(any_rate.CLAIM, converging(**{"left 1": stuck}))
    assert found == {
        "with BN": "CONTRADICTED",
        "without, above the limit": "SUPPORTED",
        "without, below the limit": "SUPPORTED",
    }


def test_plain_descent_that_survives_a_large_rate_contradicts():
    found = outcomes(any_rate.CLAIM, converging(**{"left plain": np.zeros(len(converging()["rate"]))}))
    assert found["without, above the limit"] == "CONTRADICTED"


def faster(by: float, line: float = 1e-4, grows: float = 1.0):
    def of(seed: int):
        wobble, found = np.random.default_rng(seed).normal(1, 0.02, 12), {}
        for which in length_and_direction.CASES:
            plain = length_and_direction.plain_speed(int(which.split()[1]))
            found |= {f"speed {which}": (grows if "grows" in which else by) * plain * wobble}
            found |= {f"line {which}": np.full(12, line), f"rate {which}": np.full(12, 0.1)}
        return found | {f"loss {kind}": np.ones(9) for kind in ("plain", "fixed")}

    return of


def test_twice_as_fast_supports_and_a_little_faster_contradicts():
    found = outcomes(length_and_direction.CLAIM, faster(2.5))
    assert found.pop("weights that grow") == "CONTRADICTED"
    assert set(found.values()) == {"SUPPORTED"}
    assert outcomes(length_and_direction.CLAIM, faster(1.2))["condition 100"] == "CONTRADICTED"
    assert outcomes(length_and_direction.CLAIM, faster(2.5, line=0.2))["a straight line"] == "CONTRADICTED"


def test_what_is_read_is_the_slope_and_nothing_where_it_never_arrives():
    loss = np.exp(-0.3 * np.arange(1, 101))[None]
    speed, line = length_and_direction._rates(np.arange(1, 101), loss)
    assert speed[0] == pytest.approx(0.3)
    assert line[0] < 1e-12
    assert length_and_direction._rates(np.arange(1, 101), np.full((1, 100), 0.5))[0][0] == 0
