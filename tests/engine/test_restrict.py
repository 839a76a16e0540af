"""Which parameters move in training, counted."""

from __future__ import annotations

import pytest
import torch

from bnexp.engine.build import build
from bnexp.engine.restrict import draw_alike
from bnexp.errors import UserError
from bnexp.rng import torch_stream


def moved(trained, make, *words):
    """Parameter to number of its entries that the small run changed, with a momentum and without weight decay."""
    config = make("optimizer.lr=0.5", *words)
    start = dict(build(config).model.named_parameters())
    after = trained(config).experiment.model
    return {name: int((p != start[name]).sum()) for name, p in after.named_parameters()}


@pytest.mark.parametrize("only", ["norm", "output", "random"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "resmlp"])
def test_nothing_else_moves(make, trained, model, only):
    small = {"mlp": ["model.width=8"], "cnn": ["model.width=4"], "resmlp": ["model.width=8", "model.depth=2"]}[model]
    found = moved(trained, make, f"model={model}", *small, f"train.only={only}", "optimizer=sgd")
    norms = {name: count for name, count in found.items() if ".norm." in name}
    output = {name: count for name, count in found.items() if name.startswith("output.")}
    hidden = {name: count for name, count in found.items() if name not in norms | output}
    whole = build(make(f"model={model}", *small)).model
    sizes = sum(p.numel() for name, p in whole.named_parameters() if ".norm." in name)
    by_kind = {"norm": norms, "output": output, "random": hidden}
    assert sum(sum(one.values()) for kind, one in by_kind.items() if kind != only) == 0
    assert sum(by_kind[only].values()) > (0 if only == "output" else 0.5 * sizes)  # a dead unit gives no gradient
    if only == "random":
        assert sum(hidden.values()) <= sizes


@pytest.mark.parametrize("count", [22, 25])
def test_the_drawn_weights_are_spread_over_all_channels(count):
    weights = [torch.zeros(4, 9), torch.zeros(7, 2, 3, 3)]
    masks = draw_alike(weights, count, torch_stream(0, "only"))
    per_channel = torch.cat([mask.flatten(1).sum(1) for mask in masks])
    assert sum(int(mask.sum()) for mask in masks) == count
    assert set(per_channel.tolist()) == ({2.0} if count == 22 else {2.0, 3.0})
    assert [mask.shape for mask in masks] == [weight.shape for weight in weights]
    other = draw_alike(weights, count, torch_stream(1, "only"))
    assert not torch.equal(masks[0], other[0])


@pytest.mark.parametrize(
    ("words", "what", "todo"),
    [
        (("norm=none", "train.only=norm"), "train.only=norm is about a norm's gamma and beta", "norm=batch, or train.only=output"),
        (("norm=batch", "norm.affine=none", "train.only=random"), "these have none", "norm.affine=full, or train.only=output"),
        (("train.only=random", "optimizer.weight_decay=0.1"), "weight decay would shrink them", "optimizer.weight_decay=0"),
    ],
)
def test_what_cannot_be_is_refused(make, words, what, todo):
    with pytest.raises(UserError) as error:
        build(make(*words))
    assert what in str(error.value)
    assert f"try: {todo}" in str(error.value)
