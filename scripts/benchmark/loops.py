"""Other people's loops: the usual torchvision + DataLoader loop, a careful hand-written one, PyTorch Lightning.

Legend: B batch, N examples.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.utils.data import DataLoader

from benchmark.images import load_images, usual_transform
from benchmark.job import Job, Took, Unavailable
from benchmark.textbook import textbook


def usual_loop(job: Job, took: Took) -> None:
    """The loop of the tutorials: an image at a time, ``loss.item()`` and the accuracy at every step, torch's own threads."""
    batches = _forever(_usual_loader(job))
    model, optimizer = textbook(job)
    running_loss = running_correct = 0.0

    def step() -> None:
        nonlocal running_loss, running_correct
        images, labels = next(batches)
        images, labels = images.to(job.device), labels.to(job.device)
        optimizer.zero_grad()
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        running_correct += (logits.argmax(1) == labels).sum().item()

    take_turns(job, took, step)


def _usual_loader(job: Job) -> Any:
    digits = load_images(job).usual(usual_transform())
    order = torch.Generator().manual_seed(job.seed)
    return DataLoader(digits, batch_size=job.batch_size, shuffle=True, generator=order)


def in_memory_loop(job: Job, took: Took) -> None:
    """What a careful hand writes: standardised float32 once, a permutation an epoch, nothing read back, one thread for an MLP."""
    if job.network == "mlp":
        torch.set_num_threads(1)
    images = load_images(job)
    x, y = images.standardized().to(job.device), images.labels.to(job.device)
    batches = _forever(_Permutations(len(y), job))
    model, optimizer = textbook(job)

    def step() -> None:
        indices_B = next(batches)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x[indices_B]), y[indices_B])
        loss.backward()
        optimizer.step()

    take_turns(job, took, step)


def lightning_loop(job: Job, took: Took) -> None:
    """Lightning's Trainer as its tutorial has it, with logger, checkpoints and bar switched off."""
    try:
        import lightning
    except ImportError as error:
        raise Unavailable("lightning is not installed") from error
    model, optimizer = textbook(job)

    class Module(lightning.LightningModule):
        """The tutorial's module."""

        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            logits = self.net(images)
            loss = F.cross_entropy(logits, labels)
            self.log("train_loss", loss)
            self.log("train_accuracy", (logits.argmax(1) == labels).float().mean())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return optimizer

    class Turns(lightning.Callback):
        """Takes the time of every turn."""

        start = 0.0

        def on_train_start(self, *_: object) -> None:
            self.start = time.perf_counter()

        def on_train_batch_end(self, trainer: Any, *_: object) -> None:
            if trainer.global_step % job.steps == 0:
                took(time.perf_counter() - self.start)
                self.start = time.perf_counter()

    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    trainer = lightning.Trainer(
        accelerator="gpu" if job.device == "cuda" else "cpu", devices=1, max_epochs=-1,
        max_steps=job.steps * job.turns, callbacks=[Turns()], **dict.fromkeys(off, False),
    )  # fmt: skip
    trainer.fit(Module(), _usual_loader(job))


class _Permutations:
    """One pass over all examples in whole batches of indices ``[B]``, in a new order each time."""

    def __init__(self, num_examples: int, job: Job) -> None:
        self._num_examples, self._batch_size, self._device = num_examples, job.batch_size, job.device
        self._generator = torch.Generator(job.device).manual_seed(job.seed)

    def __iter__(self) -> Iterator[Tensor]:
        order_N = torch.randperm(self._num_examples, generator=self._generator, device=self._device)
        return iter(order_N[: len(order_N) // self._batch_size * self._batch_size].split(self._batch_size))


def _forever(epochs: Iterable[Any]) -> Iterator[Any]:
    while True:
        yield from epochs


def take_turns(job: Job, took: Took, step: Callable[[], None]) -> None:
    """``job.turns`` turns of ``job.steps`` steps."""
    for _ in range(job.turns):
        start = time.perf_counter()
        for _ in range(job.steps):
            step()
        if job.device == "cuda":
            torch.cuda.synchronize()
        took(time.perf_counter() - start)
