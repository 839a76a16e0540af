"""Small nets trained side by side in float64, for claims about weights in front of a norm, of which only the direction counts.

Fully connected, on MNIST digits of half the resolution (14x14), written out so that nets which differ in learning rate, weight
decay, momentum, norm or nonlinearity are one batched product: at one seed all of them start from the same weights and see the
same batches. BN is Algorithm 1 of Ioffe & Szegedy 2015 with a trained beta and gamma fixed at 1, which a ReLU's next layer makes
up for. Weight decay (L2), momentum and the rate concern the hidden weights alone, those in front of a norm; betas and the output
layer are trained alike in all nets, by plain SGD.

Legend: R nets, B batch, D inputs, I inputs and H units of a layer, L hidden layers, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

BATCH_SIZE, NUM_CLASSES, SIDE = 32, 10, 14


@dataclass(frozen=True, kw_only=True)
class Training:
    """How one net is trained.

    Attributes:
        lr: of the hidden weights; its ``growth`` multiplies it after every step.
        decay: L2 factor of the hidden weights, in the gradient, as in torch's SGD.
        momentum: of the hidden weights, as in torch's SGD.
        kick: the velocity that momentum starts with, in units of the weights.
        norm: whether there is BN before the nonlinearities.
        eps: added to BN's variance; next to nothing unless said otherwise, because eps breaks scale invariance.
        sigmoid: sigmoids in the place of ReLUs.
        lengths: lengths that the hidden weights are put back to after every step; empty: none.
        others: rate of betas and output layer.
    """

    lr: float
    growth: float = 1.0
    decay: float = 0.0
    momentum: float = 0.0
    kick: float = 0.0
    norm: bool = True
    eps: float = 1e-30
    sigmoid: bool = False
    lengths: tuple[float, ...] = ()
    others: float = 0.1


@dataclass(frozen=True)
class Digits:
    """Standardised digits ``[N, D]`` float64 and their classes, to train on and to test on."""

    x: Tensor
    labels: Tensor
    test_x: Tensor
    test_labels: Tensor


def digits(name: str = "mnist_5k") -> Digits:
    """A data set of digits, averaged over squares of 2x2 pixels, with one mean and one sd for all pixels of the training part."""
    import torch

    from bnexp.data import SOURCES, default_data_dir

    source = SOURCES[name].load(default_data_dir())
    parts = [
        torch.nn.functional.avg_pool2d(torch.from_numpy(part.images).double() / 255, 2).flatten(1)
        for part in (source.train, source.test)
    ]
    mean, sd = parts[0].mean(), parts[0].std()
    labels = [torch.from_numpy(part.labels) for part in (source.train, source.test)]
    return Digits((parts[0] - mean) / sd, labels[0], (parts[1] - mean) / sd, labels[1])


class Nets:
    """R nets at once.

    Args:
        trainings: how each is trained.
        seed: names the initial weights (He et al. 2015), the same in all nets.
        width, depth: of the hidden layers.

    Attributes:
        weights: of the hidden layers, ``[R, I, H]`` each.
        before: the same as they were before the last step.
    """

    def __init__(self, trainings: Sequence[Training], seed: int, *, width: int = 32, depth: int = 2) -> None:
        import torch

        from bnexp.models.init import draw_weight
        from bnexp.rng import torch_stream

        self.trainings = tuple(trainings)
        num = len(self.trainings)

        def drawn(layer: int, num_inputs: int, num_outputs: int) -> Tensor:
            weight = draw_weight("he", 1.0, (num_outputs, num_inputs), torch_stream(seed, f"init/{layer}"))
            return weight.T.double().expand(num, -1, -1).clone()

        sizes = [SIDE**2, *[width] * depth]
        self.weights = [drawn(layer, *pair) for layer, pair in enumerate(pairwise(sizes))]
        betas = [torch.zeros(num, 1, width, dtype=torch.float64) for _ in range(depth)]
        self._others = [*betas, drawn(depth, width, NUM_CLASSES), torch.zeros(num, 1, NUM_CLASSES, dtype=torch.float64)]
        self.before = [weight.clone() for weight in self.weights]
        self._rate, self._growth, self._decay, self._momentum, self._kick, self._eps, self._others_rate = (
            torch.tensor([getattr(one, name) for one in self.trainings], dtype=torch.float64)[:, None, None]
            for name in ("lr", "growth", "decay", "momentum", "kick", "eps", "others")
        )
        self._norm, self._sigmoid = (
            torch.tensor([getattr(one, name) for one in self.trainings])[:, None, None] for name in ("norm", "sigmoid")
        )
        self._velocity = [self._kick * weight for weight in self.weights]

    def logits(self, x_BD: Tensor, statistics_of: Tensor | None = None) -> Tensor:
        """Shape: ``[B, D]`` to ``[R, B, K]``. BN's statistics are the batch's own, or those of the examples ``statistics_of``."""
        *betas, weight, bias = self._others
        h, like = x_BD, statistics_of
        for w, beta in zip(self.weights, betas, strict=True):
            z = h @ w
            if like is None:
                h = self._activated(self._normalised(z, z) + beta)
            else:
                source = like @ w
                h, like = (self._activated(self._normalised(one, source) + beta) for one in (z, source))
        return h @ weight + bias

    def _normalised(self, z: Tensor, source: Tensor) -> Tensor:
        mean, variance = source.mean(1, keepdim=True), source.var(1, correction=0, keepdim=True)
        normalised = (z - mean) / (variance + self._eps).sqrt()
        return normalised if bool(self._norm.all()) else normalised.where(self._norm, z)

    def _activated(self, z: Tensor) -> Tensor:
        return z.sigmoid().where(self._sigmoid, z.relu()) if bool(self._sigmoid.any()) else z.relu()

    def step(self, x_BD: Tensor, labels_B: Tensor) -> None:
        """One update of every net on the same batch."""
        import torch

        parameters = [*self.weights, *self._others]
        for parameter in parameters:
            parameter.requires_grad_(True)
        logits = self.logits(x_BD).flatten(0, 1)
        answers = labels_B.repeat(len(self.trainings))
        loss = torch.nn.functional.cross_entropy(logits, answers, reduction="sum") / len(labels_B)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter in parameters:
                parameter.requires_grad_(False)
            self.before = [weight.clone() for weight in self.weights]
            for place, (weight, velocity) in enumerate(zip(self.weights, self._velocity, strict=True)):
                velocity.mul_(self._momentum).add_(gradients[place]).add_(self._decay * weight)
                weight.sub_(self._rate * velocity)
                self._put_back(place)
            for parameter, gradient in zip(self._others, gradients[len(self.weights) :], strict=True):
                parameter.sub_(self._others_rate * gradient)
            self._rate = self._rate * self._growth

    def _put_back(self, place: int) -> None:
        for net, training in enumerate(self.trainings):
            if training.lengths:
                self.weights[place][net] *= training.lengths[place] / self.weights[place][net].norm()

    def lengths(self) -> np.ndarray:
        """||w|| of the hidden layers. Shape ``[R, L]``."""
        return np.stack([weight.flatten(1).norm(dim=1).numpy() for weight in self.weights], axis=1)

    def angles(self) -> np.ndarray:
        """By what angle the last step turned the hidden weights, in radians. Shape ``[R, L]``."""
        turned = []
        for old, new in zip(self.before, self.weights, strict=True):
            u, v = (weight.flatten(1) / weight.flatten(1).norm(dim=1, keepdim=True) for weight in (old, new))
            turned.append(2 * ((u - v).norm(dim=1) / 2).clamp(max=1).asin().numpy())
        return np.stack(turned, axis=1)

    def accuracy(self, data: Digits) -> np.ndarray:
        """Test accuracy in points, BN with the statistics of the whole training part. Shape ``[R]``."""
        answers = self.logits(data.test_x, data.x).argmax(-1)
        return 100 * (answers == data.test_labels).double().mean(1).numpy()


def trained(nets: Nets, data: Digits, seed: int, num_steps: int) -> Iterator[int]:
    """Train on random batches; yields the number of steps after each of them."""
    rng = batches(seed)
    for step in range(1, num_steps + 1):
        batch = rng.integers(len(data.labels), size=BATCH_SIZE)
        nets.step(data.x[batch], data.labels[batch])
        yield step


def batches(seed: int) -> Any:
    """The stream that batches are drawn by, the same for all nets of a seed."""
    from bnexp.rng import numpy_stream

    return numpy_stream(seed, "claims/sphere")
