"""norm=one_shot folded into the layer before: the same start, another gradient, then a plain net."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from bnexp.config.compose import compose
from bnexp.engine.build import build, prepare_weights
from bnexp.engine.step import train_step
from bnexp.errors import UserError
from bnexp.norms.one_shot import FoldedOneShot, fold_first_batch

SMALL = (
    "dataset.train_examples=200", "train.batch_size=40", "probes=none", "device=cpu", "threads=1", "optimizer.momentum=0",
    "execution.precision=fp32",
)  # fmt: skip
NETS = {
    "mlp": ("model.width=12", "model.depth=2"),
    "cnn": ("model.width=4",),
    "resnet": ("model.depth=8", "model.width=4"),
}


def arm(*words, model="mlp"):
    built = build(compose([*SMALL, f"model={model}", *NETS[model], *words]))
    built.model.double().train()
    images, labels = built.training_batch(built.batches.next(), built.augmentation)
    return built.model, images.double(), labels


def gradients(model, x, labels):
    model.zero_grad()
    torch.nn.functional.cross_entropy(model(x), labels).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("model", "affine"), [*(("mlp", affine) for affine in ("full", "scale", "shift", "none")), ("cnn", "full"), ("resnet", "none")]
)
def test_folded_is_unfolded_at_the_start_and_its_gradient_lacks_the_sd(model, affine):
    words = ("norm=one_shot", f"norm.affine={affine}")
    (folded, x, labels), (unfolded, _, _) = (
        arm(*words, f"norm.fold={fold}", model=model) for fold in ("true", "false")
    )
    fold_first_batch(folded, x)
    torch.testing.assert_close(folded(x), unfolded(x))
    mine, theirs = gradients(folded, x, labels), gradients(unfolded, x, labels)
    layers = [name for name, layer in folded.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    norms = [module for module in unfolded.modules() if hasattr(module, "first_sd")]
    assert len(norms) == len(layers) - 1
    for name, norm in zip(layers, norms, strict=False):  # dL/dW = dL/dW' / sd, for W' = W / sd
        weight = mine[f"{name}.weight"]
        sd = norm.first_sd.view(-1, *[1] * (weight.ndim - 1))
        torch.testing.assert_close(theirs[f"{name}.weight"], weight / sd)
        assert ((sd - 1).abs() > 0.01).any()
    assert any(f"{name}.bias" in mine for name in layers[:-1]) == (affine in ("scale", "none"))


def test_folded_trains_as_a_plain_net_from_the_folded_weights():
    folded, x, labels = arm("norm=one_shot", "norm.affine=none")
    plain, _, _ = arm("norm=none")
    fold_first_batch(folded, x)
    plain.load_state_dict(folded.state_dict())
    for model in (folded, plain):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
        for _ in range(5):
            train_step(model, optimizer, x, labels)
    for key, value in folded.state_dict().items():
        assert torch.equal(value, plain.state_dict()[key])


def test_beta_takes_the_mean_where_there_is_one():
    folded, x, _ = arm("norm=one_shot")
    layer, site = folded.hidden1.linear, folded.hidden1.site
    z = layer(x.flatten(1)).detach()
    fold_first_batch(folded, x)
    sd = (z.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(site.norm.bias.detach(), -z.mean(0) / sd)
    assert layer.bias is None


def test_a_run_folds_by_its_first_batch_and_moves_no_generator():
    words = ("norm=one_shot", "model.width=12", "dataset.crop=1", "dataset.flip=true")
    mine, theirs = (build(compose([*SMALL, *words])) for _ in range(2))
    prepare_weights(mine)
    x, _ = mine.training_batch(mine.batches.next(), mine.augmentation)
    again, _ = theirs.training_batch(theirs.batches.next(), theirs.augmentation)
    assert torch.equal(x, again)
    fold_first_batch(theirs.model, again)
    torch.testing.assert_close(mine.model.state_dict(), theirs.model.state_dict())
    hidden1 = mine.model.hidden1
    z = hidden1.site.norm(hidden1.linear(x.flatten(1)))
    torch.testing.assert_close(z.mean(0), torch.zeros(12), rtol=0, atol=1e-5)


def test_a_model_without_it_is_left_alone():
    plain, x, _ = arm("norm=batch")
    before = copy.deepcopy(plain.state_dict())
    fold_first_batch(plain, x)
    assert all(torch.equal(before[key], value) for key, value in plain.state_dict().items())


def test_what_cannot_be_folded_is_refused_before_a_run_starts():
    with pytest.raises(UserError) as caught:
        build(compose([*SMALL, "norm=one_shot", "norm.placement=after"]))
    assert str(caught.value) == (
        "norm=one_shot cannot be folded into a layer across the nonlinearity\n"
        "  got: norm.placement=after norm.fold=true\n  try: norm.placement=before, or norm.fold=false"
    )
    with pytest.raises(UserError) as caught:
        build(compose([*SMALL, "norm=one_shot", "model=resmlp", "model.depth=2", "model.width=8"]))
    assert str(caught.value) == (
        "norm=one_shot can be folded into a linear layer or convolution right before it only\n"
        "  got: block2.site1.norm, whose input comes from no such layer\n  try: norm.fold=false, or model=mlp"
    )
    for words in (("norm.placement=after",), ("model=resmlp", "model.depth=2", "model.width=8")):
        built = build(compose([*SMALL, "norm=one_shot", "norm.fold=false", *words]))
        assert not any(isinstance(module, FoldedOneShot) for module in built.model.modules())
