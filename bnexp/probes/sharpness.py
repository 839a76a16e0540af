"""How sharp the training loss is where a run stands: the largest eigenvalue of its Hessian, raw and free of the length of weights.

Legend: A examples of an update, D parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.config.checks import flag, real
from bnexp.probes.base import Tracks, View, register
from bnexp.rng import numpy_stream

#: Vectors that Lanczos keeps before it restarts, and restarts at most.
KEPT, RESTARTS = 8, 40
#: A pair that misses ``H v = lambda v`` by more than this part of lambda is none: H is then not symmetric.
RESIDUAL = 0.2
#: Doubling a weight that is scale-invariant moves the logits by less than this part of their spread over a batch: eps moves them.
INVARIANT = 0.02

EVERYTHING, WEIGHTS = "all parameters", "scale-invariant weights"


@register("sharpness")
class Sharpness(Tracks):
    """Largest eigenvalue of the Hessian of the training loss, by Lanczos on Hessian-vector products.

    The loss L is the mean cross-entropy (nats) of one training batch in train mode, so that gradients go through batch statistics;
    in micro-batches where training goes in those. A batch of all examples is the training set, else it is drawn anew at each look
    by a stream of the probe's own. Weight decay is not in it.

    - ``sharpness``: ``lambda_1(H)`` with H the Hessian of L over all trainable parameters, in nats per squared unit of weight.
    - ``sharpness_times_lr``: that times the learning rate of the next step; gradient descent is stable below 2.
    - ``spherical_sharpness``: the same for the weights alone that L does not depend on the length of, one direction a layer:
      ``lambda_1 of d^2 L(r_1 u_1, ..., r_K u_K) / du^2 at |u_k| = 1``, with ``w_k = r_k u_k`` and all else held, which is
      ``lambda_1(R H_ww R)``, R = diag(r_k). For a single such w it is ``|w|^2 lambda_1(H) = lambda_1(H at w / |w|)``. Which
      weights these are is tried at the first look: doubling one moves the logits by less than 2 % of their spread.

    A norm that hides its statistics from the gradient (``norm=detached``, ``renorm``) has no Hessian, since what the gradient's
    derivative is then need not be symmetric; where that shows, and where Lanczos finds nothing, there is no number.

    Source: Cohen et al. 2021, section 2 (sharpness, 2 / lr); Lyu, Li & Arora 2022, section 3 (spherical sharpness). Deviation: the
    latter's single sphere is one for each layer here, because a layer's length alone changes nothing either.
    """

    cost: ClassVar[str] = "heavy"

    def __init__(self, view: View, *, observations: int, steps_between: int, tolerance: float, spherical: bool) -> None:
        super().__init__(view, "sharpness", observations=observations, steps_between=steps_between)
        self._tolerance = real("probes.sharpness.tolerance", tolerance, above=0, below=0.1, example=0.01)
        self._spherical = flag("probes.sharpness.spherical", spherical)
        self._weights: list[str] | None = None

    def look(self, step: int) -> dict[str, dict[str, float]]:
        """The eigenvalues; NaN where none is found."""
        model = self._view.model.train()
        batch = self._view.training_batch(f"probe/sharpness/{step}")
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if self._weights is None:
            self._weights = self._scale_invariant(named, batch[0][: self._view.batch_size]) if self._spherical else []
        gradients = torch.autograd.grad(self._loss(named, batch), list(named.values()), create_graph=True)
        by_name = dict(zip(named, gradients, strict=True))
        found = self._largest(by_name, named, dict.fromkeys(named, 1.0))
        numbers = {"sharpness": {EVERYTHING: found}}
        numbers["sharpness_times_lr"] = {EVERYTHING: found * self._view.rate(step)}
        if self._weights:
            lengths = {name: float(named[name].detach().norm()) for name in self._weights}
            numbers["spherical_sharpness"] = {WEIGHTS: self._largest(by_name, named, lengths)}
        return numbers

    def _logits(self, named: Mapping[str, Tensor], x: Tensor) -> Tensor:
        from torch.func import functional_call  # takes a while to import, and most runs have no such probe

        logits: Tensor = functional_call(self._view.model, dict(named), (x,))
        return logits

    def _loss(self, named: Mapping[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        """Mean cross-entropy of the batch, as training has it, with these parameters."""
        x, labels = batch
        parts = zip(x.split(self._view.batch_size), labels.split(self._view.batch_size), strict=True)
        losses = [F.cross_entropy(self._logits(named, part), own) * (len(own) / len(labels)) for part, own in parts]
        return torch.stack(losses).sum()

    def _scale_invariant(self, named: Mapping[str, Tensor], x: Tensor) -> list[str]:
        """The weights with two axes or more whose doubling leaves the answers to ``x`` where they are."""
        with torch.no_grad():
            logits = self._logits(named, x)
            doubled = {name: self._logits({**named, name: 2 * w}, x) for name, w in named.items() if w.ndim > 1}
            spread = (logits - logits.mean(0)).norm()
            return [name for name, moved in doubled.items() if bool((moved - logits).norm() <= INVARIANT * spread)]

    def _largest(self, gradients: Mapping[str, Tensor], named: Mapping[str, Tensor], scales: Mapping[str, float]) -> float:
        own, slopes = [named[name] for name in scales], [gradients[name] for name in scales]
        start = numpy_stream(self._view.seed, "probe/sharpness/start").standard_normal(sum(p.numel() for p in own))
        return largest_curvature(slopes, own, start, self._tolerance, list(scales.values()))

    def state(self) -> dict[str, Any]:
        """All looks so far, and which weights are scale-invariant."""
        return super().state() | {"weights": self._weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up :meth:`state`."""
        super().restore(state)
        self._weights = state["weights"]


def largest_curvature(
    gradients: Sequence[Tensor], parameters: Sequence[Tensor], start: np.ndarray, tolerance: float, scales: Sequence[float] = ()
) -> float:
    """Largest eigenvalue of S H S, H being the Hessian in ``parameters`` and S a factor for each of these tensors (1).

    Args:
        gradients: of a loss in the parameters, with the graph that leads to them.
        parameters: D numbers in all.
        start, tolerance: as of :func:`largest_eigenvalue`.
        scales: the factors.
    """
    factors = scales or [1.0] * len(parameters)

    def product(vector: np.ndarray) -> np.ndarray:
        parts = torch.from_numpy(vector).to(parameters[0]).split([p.numel() for p in parameters])
        shaped = [part.view_as(p) * factor for part, p, factor in zip(parts, parameters, factors, strict=True)]
        columns = torch.autograd.grad(gradients, parameters, shaped, retain_graph=True, materialize_grads=True)
        scaled = [(column * factor).flatten() for column, factor in zip(columns, factors, strict=True)]
        return torch.cat(scaled).double().cpu().numpy()

    return largest_eigenvalue(product, start, tolerance)


def largest_eigenvalue(product: Callable[[np.ndarray], np.ndarray], start: np.ndarray, tolerance: float) -> float:
    """Largest eigenvalue of a symmetric matrix that is known by its products; NaN where there is no such pair.

    Args:
        product: ``[D]`` to ``[D]``, both float64.
        start: the vector to start from, ``[D]``, not 0.
        tolerance: relative error of the eigenvector; that of the eigenvalue is its square.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    size = len(start)
    if size <= KEPT:
        matrix = np.stack([product(row) for row in np.eye(size)])
        return float(np.linalg.eigvalsh(matrix)[-1]) if np.isfinite(matrix).all() else float("nan")
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    if not np.isfinite(product(start)).all():
        return float("nan")
    try:
        values, vectors = eigsh(operator, k=1, which="LA", v0=start, ncv=KEPT, tol=tolerance, maxiter=RESTARTS)
    except ArpackError:  # nothing found within the restarts, or numbers that are none
        return float("nan")
    value, vector = float(values[0]), vectors[:, 0]
    residual = float(np.linalg.norm(product(vector) - value * vector))
    return value if residual <= RESIDUAL * abs(value) else float("nan")

