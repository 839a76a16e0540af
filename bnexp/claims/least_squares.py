"""Least squares with one normalised neuron, in the axes in which the inputs are uncorrelated: what theory of BN is proved on.

The loss is E (y - a w.x / sd(w.x))^2 / 2 with y = u.x and Gaussian x whose covariance has the eigenvalues h (Cai et al.
2019; Kohler et al. 2019): BN over an endless batch of centred inputs, with a for gamma. Plain gradient descent
has w.x alone. Losses are told in units of the loss of answering 0.

Legend: R problems side by side, D inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnexp.rng import numpy_stream

#: A step that moves the weights by less than this share of the largest stable one may be one of many that are taken at once.
LUMPED = 0.2


@dataclass(frozen=True)
class Problems:
    """Eigenvalues of the covariance, largest 1; the weights that are sought; the weights at the start, of length 1. ``[R, D]``
    each."""

    h: np.ndarray
    u: np.ndarray
    w: np.ndarray

    @property
    def variance(self) -> np.ndarray:
        """Of y. Shape ``[R]``."""
        return (self.h * self.u**2).sum(1)

    def take(self, rows: np.ndarray) -> Problems:
        """Some of them, in this order."""
        return Problems(self.h[rows], self.u[rows], self.w[rows])


def problems(seed: int, condition: float, count: int, num_inputs: int, gap: float = 1.0) -> Problems:
    """Random ones: eigenvalues log-uniform between 1 and 1 / condition with both ends among them, Gaussian
    directions; with a ``gap`` all but the first are at most 1 / gap."""
    rng = numpy_stream(seed, f"claims/least_squares/{condition:g}")
    first, inner, last = np.zeros((count, 1)), rng.uniform(size=(count, num_inputs - 2)), np.ones((count, 1))
    below = (condition / gap) ** -np.concatenate([inner, last], axis=1) / gap
    h = np.concatenate([1 - first, below], axis=1)
    u, w = rng.standard_normal((2, count, num_inputs))
    return Problems(h, u, w / np.linalg.norm(w, axis=1, keepdims=True))


class Normalised:
    """Gradient descent on the normalised neuron, from a = 1.

    Args:
        these: the problems.
        rate, scale_rate: of w and of a, ``[R]`` each.
        lumped: where a step is tiny (``LUMPED``), take many of them at once: the direction as that of one long step, the length
        as
            the many right triangles make it, and a as its own recursion does. Counted as many.
        fixed: put the weights back to length 1 after every step, so that they do not grow.

    Attributes:
        steps: taken so far, ``[R]``.
    """

    def __init__(
        self, these: Problems, rate: np.ndarray, scale_rate: np.ndarray, *, lumped: bool = False, fixed: bool = False
    ) -> None:
        self.these, self.rate, self.scale_rate, self._lumped = these, rate, scale_rate, lumped
        self._fixed = fixed
        self.w, self.a = these.w.copy(), np.ones(len(rate))
        self.steps = np.zeros(len(rate))

    def excess(self) -> np.ndarray:
        """The loss, in units of that of answering 0. Shape ``[R]``."""
        along, sd = self._projected()
        return (
            1 - 2 * self.a * along / self.these.variance + self.a**2 / self.these.variance
            if sd.all()
            else np.full(len(sd), np.inf)
        )

    def step(self) -> None:
        """One step, or many."""
        h, u, variance = self.these.h, self.these.u, self.these.variance
        along, sd = self._projected()
        gradient = -(self.a / sd)[:, None] * h * (u - (along / sd)[:, None] * self.w)
        length = (self.w**2).sum(1)
        bound = self.rate * np.maximum(np.abs(self.a), np.sqrt(variance)) * np.sqrt(variance) / sd**2
        many = np.maximum(1.0, np.floor(LUMPED / bound)) if self._lumped else np.ones(len(sd))
        moved = (self.rate**2) * (gradient**2).sum(1)
        self.w = self.w - (many * self.rate)[:, None] * gradient
        self.w *= np.sqrt((length + many * moved) / (length + many**2 * moved))[:, None]
        if self._fixed:
            self.w /= np.linalg.norm(self.w, axis=1, keepdims=True)
        self.a = along + (1 - self.scale_rate) ** many * (self.a - along)
        self.steps += many

    def keep(self, rows: np.ndarray) -> None:
        """Go on with some of the problems alone."""
        self.these, self.w, self.a = self.these.take(rows), self.w[rows], self.a[rows]
        self.rate, self.scale_rate, self.steps = self.rate[rows], self.scale_rate[rows], self.steps[rows]

    def _projected(self) -> tuple[np.ndarray, np.ndarray]:
        """Covariance of y with the normalised w.x, which is the best a; and the sd of w.x. Shape ``[R]`` each."""
        sd = np.sqrt((self.these.h * self.w**2).sum(1))
        return (self.these.h * self.these.u * self.w).sum(1) / sd, sd


def plain_excess(these: Problems, rate: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The loss of plain gradient descent after so many steps, in closed form. Shape: rate ``[R]``, steps ``[T]`` to ``[R,
    T]``."""
    factor = np.abs(1 - rate[:, None] * these.h)
    with np.errstate(divide="ignore", over="ignore"):
        shrunk = np.exp(2 * np.log(factor)[:, :, None] * steps)
        error = (these.h * (these.w - these.u) ** 2)[:, :, None]
        return (error * shrunk).sum(1) / these.variance[:, None]
