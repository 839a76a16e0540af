"""One training step, in the plain order every textbook has it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Forward, backward, update.

    Shape: x ``[B, C, H, W]`` float32, y ``[B]`` int64.

    Returns:
        The mini-batch's mean cross-entropy (nats) and its number of correct answers, both ``[]``, from before the update.
    """
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == y).sum()
