"""Optimisers of ``torch.optim`` by name, with weight decay on or off for the norms' gamma and beta."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from bnexp.config.schema import AdamConfig, OptimizerConfig, SGDConfig
from bnexp.models.blocks import NormAct


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser over all trainable parameters of ``model``."""
    groups = _groups(model, config)
    if isinstance(config, SGDConfig):
        kind = _without_dynamo(torch.optim.SGD)
        return kind(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    assert isinstance(config, AdamConfig)
    kind = _without_dynamo(torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam)
    return kind(groups, lr=config.lr, betas=(config.beta1, config.beta2), eps=config.eps, fused=True)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every parameter group the learning rate ``lr``."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _without_dynamo(kind: type[torch.optim.Optimizer]) -> Any:
    """``kind`` less the wrappers around its methods that import torch's compiler: 1 s of start-up, for nothing in an eager run."""
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods: dict[str, Any] = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    return type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})


def _groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """One group of weights with decay and, when the norms' parameters have none, a second one without."""
    in_norms = {id(p) for site in model.modules() if isinstance(site, NormAct) for p in site.norm.parameters()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    if config.decay_norm or not in_norms:
        return [{"params": trainable, "weight_decay": config.weight_decay}]
    return [
        {"params": [p for p in trainable if id(p) not in in_norms], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if id(p) in in_norms], "weight_decay": 0.0},
    ]
