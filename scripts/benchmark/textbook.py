"""The networks of the benchmark written with plain torch modules, as people write them; nothing of bnexp."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from benchmark.job import LEARNING_RATE, Job


def textbook(job: Job) -> tuple[nn.Module, torch.optim.Optimizer]:
    """The job's network on its device, and torch's SGD as it comes."""
    with torch.random.fork_rng(devices=[]):
        model = {"mlp": _mlp, "cnn": _cnn}[job.network](job.norm == "batch").to(job.device)
    return model, torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)


def _mlp(normalize: bool) -> nn.Sequential:
    """784-100-100-100-10 with sigmoids, BN before them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise((784, 100, 100, 100)):
        layers += [nn.Linear(inputs, outputs, bias=not normalize)]
        layers += [nn.BatchNorm1d(outputs)] if normalize else []
        layers += [nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(100, 10))


def _cnn(normalize: bool) -> nn.Sequential:
    """``bnexp``'s ``model=cnn``: 3x3 convolutions of 16, 16, pool, 32, 32, pool, 64 channels with ReLU, averaged over space."""
    layers: list[nn.Module] = []
    channels = 3
    for outputs in (16, 16, 0, 32, 32, 0, 64):
        if not outputs:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=not normalize)]
        layers += [nn.BatchNorm2d(outputs)] if normalize else []
        layers += [nn.ReLU()]
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
