"""Which parameters training moves: all, or only gamma and beta, the output layer, or as many weights drawn at random.

Legend: C channels or units of a layer, W weights that enter one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from bnexp.config.schema import ExperimentConfig
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.rng import torch_stream


def restrict(model: nn.Module, config: ExperimentConfig) -> None:
    """Leave everything but ``train.only`` at its initial value, for good.

    ``norm``: the norms' own parameters train. ``output``: the last layer does. ``random``: as many weights as the norms have
    parameters, drawn without replacement by the stream ``only`` of the run, alike from every channel of all hidden layers; the
    norms stay in place with gamma = 1 and beta = 0, so that ``norm`` and ``random`` are the same net at the start.

    Source: Frankle, Schwab & Morcos 2021 (as many random parameters per channel).

    Raises:
        UserError: norms without parameters of their own, or weight decay on weights of which only some train.
    """
    only = config.train.only
    if only == "all":
        return
    in_norms = [p for site in model.modules() if isinstance(site, NormAct) for p in site.norm.parameters()]
    if only in ("norm", "random") and not in_norms:
        switched_off = config.norm.options.get("affine") == "none"
        raise UserError(
            f"train.only={only} is about a norm's gamma and beta, and these have none",
            got=f"norm={config.norm.name}{' norm.affine=none' * switched_off}",
            todo=f"{'norm.affine=full' if switched_off else 'norm=batch'}, or train.only=output",
        )  # fmt: skip
    if only == "random" and config.optimizer.weight_decay > 0:
        raise UserError(
            "train.only=random keeps most weights of a layer as they were, and weight decay would shrink them",
            got=f"optimizer.weight_decay={config.optimizer.weight_decay:g}", todo="optimizer.weight_decay=0",
        )  # fmt: skip
    output = list(model.get_submodule("output").parameters())
    hidden = [p for p in model.parameters() if p.ndim > 1 and not any(p is one for one in output)]
    moving = {"norm": in_norms, "output": output, "random": hidden}[only]
    chosen = {id(p) for p in moving}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    if only == "random":
        masks = draw_alike(hidden, sum(p.numel() for p in in_norms), torch_stream(config.seed, "only"))
        for parameter, mask in zip(hidden, masks, strict=True):
            parameter.register_hook(partial(torch.mul, mask.to(parameter.device)))


def draw_alike(weights: Sequence[Tensor], count: int, generator: torch.Generator) -> list[Tensor]:
    """1 at ``count`` weights and 0 elsewhere: as many for each channel of each layer, one more in some where that does not
    divide.

    Shape: each weight ``[C, ...]``, its mask alike.
    """
    num_channels = sum(len(weight) for weight in weights)
    each, left = divmod(count, num_channels)
    more = torch.zeros(num_channels, dtype=torch.int64)
    more[torch.randperm(num_channels, generator=generator)[:left]] = 1
    masks = []
    for weight, own_C in zip(weights, (each + more).split([len(weight) for weight in weights]), strict=True):
        rank_CW = torch.rand(len(weight), weight[0].numel(), generator=generator).argsort(1).argsort(1)
        masks.append((rank_CW < own_C[:, None]).to(weight.dtype).view(weight.shape))
    return masks
