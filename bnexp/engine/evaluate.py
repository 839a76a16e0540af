"""Accuracy and loss on a complete split, with running or freshly recomputed statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.data.batches import Batches
from bnexp.data.standardize import Standardizer
from bnexp.engine.build import Experiment, Set, seen_together
from bnexp.engine.device import is_convolutional
from bnexp.engine.kernels import fast_inference
from bnexp.norms.population import has_running_statistics, recompute_statistics
from bnexp.probes.base import guest
from bnexp.rng import torch_stream

#: Examples a forward pass. A convolutional net on a CPU takes fewer, so that its maps stay in the caches: measured on one core, 100
#: are 2.1 to 2.6 times as fast as 1000 with cnn and resnet; a fully connected net is fastest at 1000, and a GPU, whose price is a
#: launch's, wants all that its memory holds.
EVALUATION_BATCH, CONVOLUTIONAL_BATCH = 1000, 100
GPU_BATCH, GPU_CONVOLUTIONAL_BATCH = 10_000, 2000

#: Bytes of standardised validation inputs that are kept from one evaluation to the next; a larger split is standardised each time.
MOST_PREPARED = 64 * 2**20

#: One kept example in so many is looked at after each evaluation: a layer that works in place changes them all.
SOME = 64

#: Population statistics are averaged over this many training batches: 10^3 to 10^4 examples suffice (Wu & Johnson 2021, 3.2).
POPULATION_BATCHES = 200


@dataclass(frozen=True)
class Score:
    """``accuracy`` in [0, 1] and mean cross-entropy ``loss`` in nats, over ``num_examples`` examples."""

    accuracy: float
    loss: float
    num_examples: int


def evaluate(
    model: nn.Module, split: Set, experiment: Experiment, forward: Callable[[Tensor], Tensor] | None = None
) -> Score:
    """Eval-mode score on every example of ``split``, the last incomplete batch included; the mode is put back.

    The batches (:func:`evaluation_batches`) decide the score of a net that normalises by them (``norm.track=false``) only. They go
    through ``forward``, which is ``model`` where it is not given.
    """
    forward = forward or model
    was_training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=split.labels.device)
    loss = torch.zeros((), dtype=torch.float64, device=split.labels.device)
    with torch.inference_mode(), fast_inference():
        for x, labels in _inputs(model, split, experiment):
            logits = forward(x)
            correct += (logits.argmax(1) == labels).sum()
            loss += F.cross_entropy(logits, labels, reduction="sum")
    model.train(was_training)
    return Score(correct.item() / len(split), loss.item() / len(split), len(split))


def _inputs(model: nn.Module, split: Set, experiment: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of ``split`` as the network sees them. Those of the validation split are kept, for it is evaluated many times."""
    batches = evaluation_batches(model, split, experiment)
    small = split.images.numel() * torch.float32.itemsize <= MOST_PREPARED
    if split is not experiment.validation or not small or not experiment.config.norm.track:
        yield from ((experiment.prepare(images), labels) for images, labels in batches)
        return
    kept = _prepared(split.images, experiment.prepare, evaluation_batch(model, split.labels.device))
    for (x, some), (_, labels) in zip(kept, batches, strict=True):
        yield x, labels
        if not torch.equal(x[::SOME], some):  # a layer works in place
            _prepared.cache_clear()


@lru_cache(maxsize=1)
def _prepared(images: Tensor, prepare: Standardizer, size: int) -> list[tuple[Tensor, Tensor]]:
    """Inputs, and a copy of some of them. Runs of one data set come one after the other, or side by side."""
    return [(x, x[::SOME].clone()) for x in (prepare(part) for part in images.split(size))]


def evaluation_batches(model: nn.Module, split: Set, experiment: Experiment) -> Iterator[tuple[Tensor, Tensor]]:
    """The images and labels of ``split`` that go through ``model`` together: as they lie in the data, many at a time.

    Without running statistics (``norm.track=false``) an example's companions count, so there they are as in training: as many as
    pass together, in a random order, because a file may be sorted by class. It is the same at every evaluation of a seed.
    """
    if experiment.config.norm.track:
        size = evaluation_batch(model, split.labels.device)
        yield from zip(split.images.split(size), split.labels.split(size), strict=True)
        return
    order_N = torch.randperm(len(split), generator=torch_stream(experiment.config.seed, "evaluation"))
    for chosen in order_N.to(split.labels.device).split(seen_together(experiment.config)):
        yield split.images.index_select(0, chosen), split.labels.index_select(0, chosen)


def evaluation_batch(model: nn.Module, device: torch.device) -> int:
    """Examples that go through ``model`` at a time; it bounds the memory of an evaluation and changes no more than rounding."""
    small, large = (EVALUATION_BATCH, CONVOLUTIONAL_BATCH), (GPU_BATCH, GPU_CONVOLUTIONAL_BATCH)
    return (small if device.type == "cpu" else large)[is_convolutional(model)]


def evaluate_recomputed(experiment: Experiment, split: Set) -> Score | None:
    """The score with population statistics recomputed on the frozen final weights; None for a net without running statistics.

    Source: Ioffe & Szegedy 2015, Algorithm 2 (mean of the batch means, m/(m-1) times the mean of the biased batch variances);
    claims J1 and B9. Deviation: over ``POPULATION_BATCHES`` training batches, or one epoch where that is less. The model is
    left as it was.
    """
    if not has_running_statistics(experiment.model):
        return None
    with guest(experiment.model, [experiment.noise]):
        recompute_statistics(experiment.model, _population_batches(experiment))
        return evaluate(experiment.model, split, experiment)


def _population_batches(experiment: Experiment) -> Iterator[Tensor]:
    """Training batches from a stream of their own, augmented as in training."""
    seed, batch_size = experiment.config.seed, seen_together(experiment.config)
    device = experiment.train.labels.device
    order = Batches(len(experiment.train), batch_size, torch_stream(seed, "population"), device)
    generator = torch_stream(seed, "population/augment", device.type)
    for _ in range(min(POPULATION_BATCHES, len(experiment.train) // batch_size)):
        yield experiment.training_batch(order.next(), generator)[0]
