"""A folded net says the same as the net it came from, without its norms; what cannot be folded stays and says why."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from bnexp.engine.build import Experiment, build
from bnexp.engine.fold import fold, largest_difference, time_inference
from bnexp.engine.step import eager_step
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct

#: ./scripts/test leaves them out.
pytestmark = pytest.mark.slow


@pytest.fixture
def trained_net(make):
    """A net after a few steps, so that its statistics, gamma and beta are no longer 0 and 1, and some examples."""

    def carry_out(*words: str) -> tuple[Experiment, torch.Tensor]:
        built = build(make("optimizer.lr=0.05", *words))
        built.model.train()
        for _ in range(4):
            eager_step(built, built.batches.next())
        return built, built.prepare(built.test.images)

    return carry_out


def num_norms(net: nn.Module) -> int:
    return sum(isinstance(site, NormAct) and not isinstance(site.norm, nn.Identity) for site in net.modules())


ALL_FOLDED = [
    *[(f"norm={norm}",) for norm in ("batch", "reference", "detached", "ghost", "renorm", "lp", "mean_only")],
    *[(f"norm={norm}",) for norm in ("scale_only", "one_shot", "noisy")],
    ("norm=one_shot", "norm.fold=false"),
    ("norm=noisy", "norm.where=after"),
    ("norm=batch", "norm.affine=none"),
    ("norm=batch", "norm.affine=shift"),
    ("model=cnn",),
    ("model=resnet",),
]


@pytest.mark.parametrize("words", ALL_FOLDED, ids=" ".join)
def test_the_folded_net_has_no_norms_and_says_the_same(trained_net, words):
    built, x = trained_net(*words)
    before = deepcopy(built.model.state_dict())
    folded, report = fold(built.model, x[:8])
    assert all(one.layer for one in report), report
    assert len(report) == num_norms(built.model) > 0
    assert num_norms(folded) == 0
    logits = built.model.eval()(x)
    assert largest_difference(built.model, folded, x.split(10)) < 1e-5 * float(logits.detach().abs().max())
    torch.testing.assert_close(built.model.state_dict(), before, rtol=0, atol=0)
    assert next(folded.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "layer", "fuse"), [("mlp", "linear", fuse_linear_bn_eval), ("cnn", "conv", fuse_conv_bn_eval)]
)
def test_the_weights_are_those_that_torch_folds(trained_net, model, layer, fuse):
    built, x = trained_net(f"model={model}")
    folded, report = fold(built.model, x[:8])
    place = report[0].layer
    assert place is not None
    assert place.endswith(layer)
    block = built.model.get_submodule(place.rpartition(".")[0])
    expected = fuse(block.get_submodule(layer).eval(), block.site.norm.eval())
    mine = folded.get_submodule(place)
    torch.testing.assert_close((mine.weight, mine.bias), (expected.weight, expected.bias))


def test_a_layer_whose_output_also_goes_round_a_block_keeps_its_norm(trained_net):
    built, x = trained_net("model=resmlp", "model.width=12")
    folded, report = fold(built.model, x[:8])
    kept = [one for one in report if not one.layer]
    assert kept[0].norm == "block1.site1"
    assert "also goes elsewhere" in kept[0].reason
    assert any(one.layer for one in report)
    assert largest_difference(built.model, folded, [x]) < 1e-4


def test_norms_of_a_vit_stay_because_they_stand_behind_sums(trained_net):
    built, x = trained_net("model=vit", "model.patch=3")
    folded, report = fold(built.model, x[:8])
    assert [one.layer for one in report] == [None] * num_norms(built.model)
    assert all("behind a nonlinearity or a sum" in one.reason for one in report)
    assert largest_difference(built.model, folded, [x]) < 1e-5


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("norm=layer",), "no fixed map"),
        (("norm=batch", "norm.track=false"), "no fixed map"),
        (("norm=noisy", "norm.in_eval=true"), "no fixed map"),
        (("norm=batch", "norm.placement=after"), "no layer's output"),
    ],
)
def test_what_cannot_be_folded_stays_and_says_why(trained_net, words, reason):
    built, x = trained_net(*words)
    _, report = fold(built.model, x[:8])
    assert report
    assert all(one.layer is None and reason in one.reason for one in report)


@pytest.mark.parametrize(("words", "told"), [(("norm=none",), "no norm"), (("execution.precision=bf16",), "fp32")])
def test_a_net_without_norms_and_one_in_bf16_are_refused(trained_net, words, told):
    built, x = trained_net(*words)
    with pytest.raises(UserError, match=told):
        fold(built.model, x[:8])


def test_times_are_paired_and_the_nets_left_as_they_were(trained_net):
    built, x = trained_net()
    light = deepcopy(built.model).train()
    heavy = nn.Sequential(built.model, *[nn.Linear(3, 3) for _ in range(200)])
    took = time_inference(heavy, light, x, rounds=4)
    assert took.rounds == 4
    assert took.low <= took.times <= took.high
    assert took.times > 1.5
    assert took.before_ms > took.after_ms > 0
    assert all(module.training for module in light.modules())
