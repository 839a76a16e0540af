"""Claims about sharpness and about gradients that lack a statistic: verdicts in made-up worlds, and small measurements."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bnexp.claims import detached_statistics, edge_of_stability, growing_bias, spherical_sharpness
from bnexp.claims.judge import judge
from bnexp.norms import NORMS


def verdicts(claim, measured, budget="quick"):
    """The outcomes and the sentence where the measurement of each seed says this."""
    runs = SimpleNamespace(seeds=lambda: range(len(measured)), measured=lambda seed: measured[seed], budget=budget)
    evidence = claim.analyse(runs, np.random.default_rng(0))
    found = judge(claim, evidence)
    return [verdict.outcome for verdict in found.values()], claim.say(evidence, found)


def edges(without, with_bn, *, tracks=True):
    """Eight seeds of nets that hover at ``level / rate``, or at a sharpness of ``level``, give or take 2 %."""
    rng = np.random.default_rng(1)
    steps = np.linspace(0, 600, edge_of_stability.LOOKS)
    return [
        {
            f"{arm}/{rate:g}/{what}": values
            for arm, level in zip(edge_of_stability.ARMS, (without, with_bn), strict=True)
            for rate in edge_of_stability.RATES["quick"]
            for what, values in {
                "steps": steps,
                "sharpness": level / (rate if tracks else 1) * rng.normal(1, 0.02, len(steps)),
                "loss": np.full(len(steps), 0.1),
            }.items()
        }
        for _ in range(8)
    ]


def test_two_nets_at_the_edge_support():
    outcomes, sentence = verdicts(edge_of_stability.CLAIM, edges(2.0, 2.02))
    assert outcomes == ["SUPPORTED"] * 5
    assert "BN does not" in sentence


def test_a_net_with_bn_that_is_flatter_than_the_edge_contradicts():
    outcomes, sentence = verdicts(edge_of_stability.CLAIM, edges(2.0, 1.2))
    assert outcomes == ["CONTRADICTED", "SUPPORTED", "CONTRADICTED", "SUPPORTED", "SUPPORTED"]
    assert "does not hover" in sentence
    outcomes, sentence = verdicts(edge_of_stability.CLAIM, edges(1.2, 2.0))
    assert outcomes[:3] == ["SUPPORTED", "CONTRADICTED", "CONTRADICTED"]
    assert "not shown" in sentence


def test_a_sharpness_that_does_not_know_the_rate_has_the_rivals_exponent():
    assert verdicts(edge_of_stability.CLAIM, edges(5.0, 5.0, tracks=False))[0][3:] == ["CONTRADICTED", "CONTRADICTED"]


def test_a_run_that_diverged_decides_nothing():
    measured = edges(2.0, 2.0)
    measured[3]["with BN/0.5/sharpness"][-2:] = np.nan
    outcomes, sentence = verdicts(edge_of_stability.CLAIM, measured)
    assert outcomes == ["INCONCLUSIVE"] * 5
    assert "diverged" in sentence


@pytest.mark.slow
def test_both_nets_start_alike_at_every_rate_and_are_followed_to_the_last_step():
    found = edge_of_stability.measure(0, "smoke", "norm=none", "norm=batch", ())
    rates = edge_of_stability.RATES["smoke"]
    for arm in edge_of_stability.ARMS:
        starts = [found[f"{arm}/{rate:g}/sharpness"][0] for rate in rates]
        assert starts == pytest.approx([starts[0]] * len(rates))
        assert np.isfinite(found[f"{arm}/{rates[0]:g}/loss"]).all()
    assert found["without BN/0.05/sharpness"][0] != pytest.approx(found["with BN/0.05/sharpness"][0])


def test_a_hidden_mean_lets_the_bias_run_and_the_right_gradient_does_not():
    found = growing_bias.measure(0, "smoke")
    assert max(found[name].max() for name in ("1 - R^2", "slope", "loss")) < 1e-9
    assert found["correct"].max() < 1e-13
    assert found["growth"].min() > 1e-3
    hidden, inside = found["net bias"]
    assert (hidden[..., -1, :] > 100 * inside[..., -1, :]).all()


def straight():
    """A measurement in which every bias grows as it should."""
    steps = np.array([1, 10, 100, 500])
    found = {key: np.full(200, 1e-16) for key in ("1 - R^2", "slope", "loss", "correct")}
    found |= {"growth": np.full(200, 5.0), "mean gradient": np.full(200, 0.5), "net steps": steps}
    return found | {"net bias": np.broadcast_to(1e-3 * steps[:, None], (2, 3, 4, 3))}


@pytest.mark.parametrize(
    ("name", "value", "outcomes"),
    [
        ("loss", 1e-6, ["SUPPORTED", "SUPPORTED", "CONTRADICTED", "SUPPORTED"]),
        ("1 - R^2", 0.1, ["CONTRADICTED", "SUPPORTED", "SUPPORTED", "SUPPORTED"]),
        ("mean gradient", 0.0, ["SUPPORTED"] * 4),  # by chance the gradients of a batch may cancel
    ],
)
def test_one_case_that_differs_is_enough(name, value, outcomes):
    found = straight()
    assert verdicts(growing_bias.CLAIM, [found])[0] == ["SUPPORTED"] * 4
    found[name][7] = value
    assert verdicts(growing_bias.CLAIM, [found])[0] == outcomes


def test_the_loss_has_to_pull_at_the_mean_in_7_of_8_cases():
    found = straight()
    found["mean gradient"][:25] = 0.0
    assert verdicts(growing_bias.CLAIM, [found])[0] == ["SUPPORTED"] * 4
    found["mean gradient"][25] = 0.0
    assert verdicts(growing_bias.CLAIM, [found])[0] == ["INCONCLUSIVE"] * 4


def blown(stable, learns):
    """Eight seeds; arm to the number of rates up to which nothing blows up, and up to which all learn."""
    module, measured = detached_statistics, []
    for seed in range(8):
        one = {}
        for net in module.NETS:
            for arm in module.ARMS:
                place = np.arange(len(module.RATES))
                fine = place < (stable[0] if arm == module.FULL else stable[1]) - (seed == 3)
                one[f"{net}/{arm}/blown"] = np.where(fine, np.inf, 7.0)
                one[f"{net}/{arm}/learnt"] = place < (learns[0] if arm == module.FULL else learns[1]) - (seed == 5)
                one |= {f"{net}/{arm}/{what}": np.full(len(place), 1.5 + 0.01 * seed) for what in ("length", "loss", "bias")}
        measured.append(one)
    return measured


def test_rates_that_blow_up_and_rates_that_learn_are_told_apart():
    outcomes, sentence = verdicts(detached_statistics.CLAIM, blown((8, 5), (6, 6)))
    assert outcomes == ["SUPPORTED", "CONTRADICTED", "CONTRADICTED"] * 2
    assert "blow up sooner" in sentence
    outcomes, sentence = verdicts(detached_statistics.CLAIM, blown((8, 8), (6, 3)))
    assert outcomes == ["CONTRADICTED", "SUPPORTED", "CONTRADICTED"] * 2
    assert "does not make it blow up" in sentence
    assert set(verdicts(detached_statistics.CLAIM, blown((99, 8), (6, 3)))[0]) == {"INCONCLUSIVE"}


def test_rates_side_by_side_are_the_runs_one_by_one(monkeypatch):
    """The first axis is no more than that: a rate alone does what it does among the others, and each arm's norm is that of its
    name, forward and backward."""
    module, num_arms = detached_statistics, len(detached_statistics.ARMS)
    together = module._train(0, module.RELU, 6)["loss"].reshape(num_arms, -1)
    monkeypatch.setattr(module, "RATES", module.RATES[3:4])
    assert module._train(0, module.RELU, 6)["loss"] == pytest.approx(together[:, 3], rel=1e-4)
    parameters, forward = module._network(0, module.RELU)
    x, labels = next(module._batches(0, 1))
    losses = forward(x, labels)
    (slopes,) = torch.autograd.grad(losses.sum(), parameters["weight0"])
    for place, hidden in enumerate(module.ARMS.values()):
        name, options = ("detached", {"detach": hidden}) if hidden else ("reference", {})
        norm = NORMS[name].build(module.WIDTH, 0, affine="none", eps=module.EPS, momentum=None, **options).train()
        first, *others = [parameters[f"weight{layer}"][place].detach().requires_grad_() for layer in range(module.DEPTH + 1)]
        h = x @ first
        for weight in others:
            h = torch.relu(norm(h)) @ weight
        loss = torch.nn.functional.cross_entropy(h, labels)
        assert float(losses[place].detach()) == pytest.approx(float(loss.detach()), rel=1e-5)
        torch.testing.assert_close(slopes[place], torch.autograd.grad(loss, first)[0], rtol=1e-3, atol=1e-6)


def test_a_length_that_is_kept_stays_and_one_that_is_not_grows():
    module = detached_statistics
    by_arm = module._train(0, module.SIGMOID, 20)["length"].reshape(len(module.ARMS), -1)
    lengths = dict(zip(module.ARMS, by_arm[:, 3], strict=True))
    assert lengths[module.KEPT] == pytest.approx(1, rel=1e-5)
    assert lengths[module.BOTH] > 1.05


def falling(with_decay, without, *, edge=2.0):
    """Eight seeds; arm to its spherical sharpness at the looks, give or take 2 %."""
    rng, module = np.random.default_rng(2), spherical_sharpness
    return [
        {
            f"{arm}/{what}": values
            for arm, track in zip(module.DECAY, (with_decay, without), strict=True)
            for what, values in {
                "steps": np.linspace(0, 1500, module.LOOKS),
                "spherical": track * rng.normal(1, 0.02, module.LOOKS),
                "one sphere": 2 * track * rng.normal(1, 0.02, module.LOOKS),
                "edge": np.full(module.LOOKS, edge),
                "loss": np.full(module.LOOKS, 0.1),
            }.items()
        }
        for _ in range(8)
    ]


def test_a_sharpness_that_falls_supports_and_one_that_stays_does_not():
    flat, fall = np.full(11, 200.0), np.geomspace(400, 50, 11)
    outcomes, sentence = verdicts(spherical_sharpness.CLAIM, falling(fall, flat))
    assert outcomes == ["SUPPORTED"] * 4
    assert "as claimed;" in sentence
    outcomes, sentence = verdicts(spherical_sharpness.CLAIM, falling(flat, flat))
    assert outcomes[:2] == ["CONTRADICTED"] * 2
    assert "less than the halving" in sentence
    assert "rises" in verdicts(spherical_sharpness.CLAIM, falling(fall[::-1], flat))[1]
    assert set(verdicts(spherical_sharpness.CLAIM, falling(fall, flat, edge=0.5))[0]) == {"INCONCLUSIVE"}


@pytest.mark.slow
def test_the_loss_is_that_of_directions_alone():
    """Raw sharpness times |w|^2 is at least that of directions, and about twice it for two layers of one length."""
    found = spherical_sharpness.measure(0, "smoke")
    for arm in spherical_sharpness.DECAY:
        single, product = found[f"{arm}/one sphere"], found[f"{arm}/spherical"]
        assert (single > product).all()
        assert (single < 2.5 * product).all()
    shrinks, keeps = (found[f"{arm}/length"] for arm in spherical_sharpness.DECAY)
    assert shrinks[-1] < keeps[-1]
    assert (np.diff(keeps) > 0).all()
