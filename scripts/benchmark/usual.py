"""What a script of the usual kind does for a run's numbers: ``python -m benchmark.usual RUNS DATA_DIR``, RUNS as JSON.

One run after the other in one process: torchvision's images one at a time through a ``DataLoader``, modules and SGD as they come,
``loss.item()`` and accuracy at every step, a pass over the validation images every 100 steps, over the test images at the end. It
has no record and no checkpoint, and does not see what layers receive; bnexp also evaluates densely at the beginning.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.utils.data import DataLoader, Subset

from benchmark.images import PilImages, usual_transform
from benchmark.job import Job
from benchmark.textbook import textbook
from bnexp.data import SOURCES, resolve_data_dir

#: As ``bnexp train`` has it by default.
BATCH_SIZE, EVAL_EVERY, VALIDATION = 60, 100, 500


def main() -> None:
    """Train all runs."""
    source = SOURCES["mnist_5k"].load(resolve_data_dir(sys.argv[2] or None))
    parts = [
        PilImages(torch.from_numpy(part.images), torch.from_numpy(part.labels), usual_transform())
        for part in (source.train, source.test)
    ]
    held_out, rest = range(VALIDATION), range(VALIDATION, len(parts[0]))
    for run in json.loads(sys.argv[1]):
        print(train(run, Subset(parts[0], rest), Subset(parts[0], held_out), parts[1]))


def train(run: Mapping[str, Any], training: Any, validation: Any, test: Any) -> float:
    """One run; the accuracy on the test images."""
    torch.manual_seed(run["seed"])
    job = Job(
        mode="usual", network="mlp", norm=run["norm"], device="cpu", batch_size=BATCH_SIZE, steps=run["steps"], turns=1,
        seed=run["seed"], seeds=1, threads=None, data_dir=None, images=None,
    )  # fmt: skip
    model, optimizer = textbook(job)
    loader = DataLoader(training, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
    curve, step = [], 0
    while step < run["steps"]:
        for images, labels in loader:
            if step % EVAL_EVERY == 0:
                curve.append((step, accuracy(model, validation)))
            model.train()
            optimizer.zero_grad()
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            curve.append((loss.item(), (logits.argmax(1) == labels).sum().item()))
            step += 1
            if step == run["steps"]:
                break
    return accuracy(model, test)


@torch.no_grad()
def accuracy(model: nn.Module, images: Any) -> float:
    """Over all ``images``, in batches of 1,000."""
    model.eval()
    correct = 0
    for x, labels in DataLoader(images, batch_size=1000):
        correct += int((model(x).argmax(1) == labels).sum())
    return correct / len(images)


if __name__ == "__main__":
    main()
