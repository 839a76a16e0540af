"""The numbers of a batch behind each layer against closed forms, the claims' own formulas and the step's gradient."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from bnexp.claims.random_nets import gram, orthogonality_gap, soft_rank
from bnexp.errors import UserError
from bnexp.probes.base import guest
from bnexp.probes.depth import of_batch

WHAT = ["mean", "sd", "soft_rank", "orthogonality_gap", "gradient_norm"]


def test_orthogonal_examples_have_full_rank_and_no_gap_and_those_on_a_line_have_rank_one():
    white, line = of_batch(3 * torch.eye(6)), of_batch(torch.arange(6.0)[:, None] * torch.ones(1, 3))
    gap = (4 / 5) ** 0.5
    assert white == pytest.approx({"mean": 0.5, "sd": 1.25**0.5, "soft_rank": 6, "orthogonality_gap": 0}, abs=1e-9)
    assert line == pytest.approx({"mean": 2.5, "sd": (35 / 12) ** 0.5, "soft_rank": 1, "orthogonality_gap": gap}, abs=1e-9)


def test_rank_and_gap_are_those_of_the_claims():
    h = torch.randn(9, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64).relu()
    found = of_batch(h)
    assert found["soft_rank"] == pytest.approx(float(soft_rank(gram(h))))
    assert found["orthogonality_gap"] == pytest.approx(float(orthogonality_gap(gram(h, centred=True))))


def test_a_batch_that_is_not_finite_has_no_numbers():
    assert all(value != value for value in of_batch(torch.tensor([[1.0, float("inf")], [0.0, 1.0]])).values())


ARMS = [("norm=batch",), ("norm=none",), ("norm=batch", "train.accumulate=4"), ("model=cnn", "norm=batch")]


@pytest.mark.parametrize("words", ARMS)
def test_it_sees_what_leaves_each_layer_and_its_gradient(experiment, words):
    built = experiment("probes=depth", *words)
    probe = built.probes["depth"]
    with guest(built.model, [built.noise]):
        found = probe.look(3)
    x, y = (part[: built.config.train.pass_size] for part in probe._view.training_batch("probe/depth/3"))
    left = []
    last = list(found["mean"])[-1]
    built.model.get_submodule(f"{last}.site").register_forward_hook(lambda _module, _inputs, h: left.append(h))
    loss = F.cross_entropy(built.model.train()(x), y)
    (gradient,) = torch.autograd.grad(loss, left[0])
    assert list(found) == WHAT
    assert found["gradient_norm"][last] == pytest.approx(float(gradient.norm()), rel=1e-5)
    expected = of_batch(left[0].detach().flatten(1))
    assert {what: found[what][last] for what in expected} == pytest.approx(expected, rel=1e-4)


def test_what_was_seen_survives_a_checkpoint(experiment):
    probe, other = (experiment("probes=depth").probes["depth"] for _ in range(2))
    (first, *_) = probe.observe(0)
    other.restore(probe.state())
    assert first.name == "mean"
    assert other.summary() == probe.summary()
    assert sorted({name.split("/")[0] for name in other.arrays()}) == sorted([*WHAT, "steps"])


@pytest.mark.parametrize(("option", "value"), [("observations", 1), ("steps_between", 0)])
def test_options_out_of_range_are_refused(experiment, option, value):
    with pytest.raises(UserError, match=f"probes.depth.{option}"):
        experiment("probes=depth", f"probes.depth.{option}={value}")
