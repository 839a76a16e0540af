"""Every norm with every model: it trains and evaluates, or it is refused with a message for the user."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from bnexp.config.schema import NormConfig
from bnexp.errors import UserError
from bnexp.models import MODELS, build_model
from bnexp.models.init import layer_hashes
from bnexp.norms import NORMS
from bnexp.norms.factory import norm_factory

CONFIGS = Path(__file__).parents[2] / "configs"
# Widths that the four groups of norm=group divide, and images that leave norm=instance 2x2 pixels at the end.
TINY = {
    "linear": ({}, (1, 4, 4)),
    "deep_linear": ({"depth": 2, "width": 8}, (1, 4, 4)),
    "mlp": ({"depth": 2, "width": 8}, (1, 4, 4)),
    "resmlp": ({"depth": 1, "width": 8}, (1, 4, 4)),
    "cnn": ({"width": 8}, (2, 8, 8)),
    "vgg": ({"depth": 11, "width": 4}, (2, 32, 32)),
    "resnet": ({"depth": 8, "width": 8}, (2, 8, 8)),
    "inception": ({"width": 8}, (2, 16, 16)),
    "vit": ({"depth": 1, "width": 8, "heads": 2, "patch": 2}, (2, 4, 4)),
}
BATCH = 40  # two ghosts of norm=ghost
# Instance normalisation needs space; the linear model has no place for any norm.
REFUSED = {
    *((model, "instance") for model in ("mlp", "deep_linear", "resmlp", "vit")),
    *(("linear", norm) for norm in NORMS if norm != "none"),
}
#: Every norm in a small net of each kind, on either side of the nonlinearity; in the deep ones one norm of each kind.
DEEP = ("vgg", "resnet", "inception")
CASES = [
    *((model, norm, "before") for model in MODELS if model not in DEEP for norm in NORMS),
    *(("cnn", norm, "after") for norm in NORMS),
    *((model, norm, side) for model in DEEP for norm, side in (("batch", "before"), ("instance", "after"), ("weight", "before"))),
]


def norm_of(name: str, placement: str):
    values = OmegaConf.to_container(OmegaConf.load(CONFIGS / "norm" / f"{name}.yaml"))
    values.pop("name")
    for shared in ("placement", "freeze_after", "track"):
        values.pop(shared, None)
    config = NormConfig(name=name, placement=placement, options=values)
    return norm_factory(config, batch_size=BATCH, generator=torch.Generator().manual_seed(0))


def network(config_of, model: str, norm: str, placement: str):
    options, shape = TINY[model]
    return build_model(config_of(model, **options), shape, 3, norm_of(norm, placement), seed=0), shape


def images(shape):
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(0))


def test_the_matrix_covers_every_model():
    assert set(TINY) == set(MODELS)


@pytest.mark.parametrize(("model", "norm", "placement"), CASES)
def test_every_norm_works_with_every_model_or_refuses_with_a_user_error(config_of, model, norm, placement):
    try:
        net, shape = network(config_of, model, norm, placement)
        logits = net.train()(images(shape))
    except UserError:
        refused = True
    else:
        refused = False
    assert refused == ((model, norm) in REFUSED or (norm, placement) == ("one_shot", "after"))
    if refused:
        return
    torch.nn.functional.cross_entropy(logits, torch.arange(BATCH) % 3).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.requires_grad)
    assert net.eval()(images(shape)).isfinite().all()


@pytest.mark.parametrize("norm", list(NORMS))
def test_no_norm_moves_the_initial_weights_the_names_of_layers_or_the_global_generator(config_of, norm):
    def forward(state: int) -> torch.Tensor:
        torch.manual_seed(state)
        before = torch.get_rng_state()
        net, shape = network(config_of, "cnn", norm, "before")
        assert layer_hashes(net) == layer_hashes(network(config_of, "cnn", "none", "before")[0])
        logits = net.train()(images(shape))
        assert torch.equal(torch.get_rng_state(), before)
        return logits

    with torch.random.fork_rng():
        assert torch.equal(forward(1), forward(2))
