"""What claims about nets that are only initialised share: weights, layers, gradients through depth and Gram matrices, in float64.

BN is Algorithm 1 written out, without gamma and beta (they are 1 and 0 at the start) and with eps = 0 unless said otherwise: theory
has none. The batch is the second to last axis, so that further axes in front are nets side by side.

Legend: L layers, B examples of a batch, N units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Activation = Literal["linear", "relu", "tanh", "sigmoid"]

#: Factor on weights of variance 1 / N_in with which a layer without norm keeps the size of what passes through it: He's for ReLU,
#: Glorot's for linear and tanh.
GAINS: Mapping[str, float] = {"linear": 1.0, "relu": math.sqrt(2), "tanh": 1.0, "sigmoid": 1.0}

#: Seeds of a measurement for each budget.
SEEDS = {"smoke": 2, "quick": 8, "full": 20}


def gaussian(seed: int, name: str, *shape: int) -> Tensor:
    """Independent normal numbers in float64 from the stream ``claims/name`` of a seed."""
    import torch

    from bnexp.rng import torch_stream

    return torch.randn(shape, generator=torch_stream(seed, f"claims/{name}"), dtype=torch.float64)


def gaussian_weights(seed: int, name: str, depth: int, width: int) -> Tensor:
    """Square weights of variance 1 / N, to be multiplied from the right. Shape ``[L, N, N]``."""
    return gaussian(seed, name, depth, width, width) / math.sqrt(width)


def orthogonal_weights(seed: int, name: str, depth: int, width: int) -> Tensor:
    """Square orthogonal weights, uniformly drawn. Shape ``[L, N, N]``.

    Source: Mezzadri 2007: Q of a Gaussian matrix's QR, with the signs of R's diagonal.
    """
    import torch

    q_LNN, r_LNN = torch.linalg.qr(gaussian(seed, name, depth, width, width))
    return q_LNN * r_LNN.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]


def normalize(z_BN: Tensor, eps: float = 0.0) -> Tensor:
    """(z - mean) / sqrt(var + eps) over the batch, var biased (1/B). Shape ``[..., B, N]``."""
    centred_BN = z_BN - z_BN.mean(-2, keepdim=True)
    return centred_BN / (centred_BN.square().mean(-2, keepdim=True) + eps).sqrt()


def activate(z: Tensor, activation: str) -> Tensor:
    """g(z) for one of :data:`Activation`."""
    import torch

    return z if activation == "linear" else getattr(torch, activation)(z)


def states(x_BN: Tensor, weights: Iterable[Tensor], *, activation: str, norm: bool, eps: float = 0.0) -> Iterator[Tensor]:
    """What leaves each layer, g(norm(h W)), the input itself first: L + 1 of them. Shape ``[..., B, N]`` each."""
    yield x_BN
    for weight_NN in weights:
        z_BN = x_BN @ weight_NN
        x_BN = activate(normalize(z_BN, eps) if norm else z_BN, activation)
        yield x_BN


def squared_gradients(
    x_BN: Tensor, weights: Iterable[Tensor], readout_BN: Tensor, *, activation: str, norm: bool, eps: float = 0.0
) -> np.ndarray:
    """|dl/dh|^2 for the input and what leaves each layer, where l = <readout, what leaves the last one>. Shape ``[L + 1]``."""
    import torch

    passed = list(states(x_BN.clone().requires_grad_(), weights, activation=activation, norm=norm, eps=eps))
    gradients = torch.autograd.grad((passed[-1] * readout_BN).sum(), passed)
    return np.array([float(gradient.square().sum()) for gradient in gradients])


def growth(squares_L: np.ndarray, first: int, last: int) -> float:
    """The factor by which a layer multiplies a squared gradient on its way back: exp(-slope) of its logarithm over the layers
    ``first`` to ``last``, by least squares."""
    layers = np.arange(first, last + 1)
    return float(np.exp(-np.polyfit(layers, np.log(squares_L[first : last + 1]), 1)[0]))


def gram(h_BN: Tensor, *, centred: bool = False) -> Tensor:
    """Inner products of the examples, of what is left of them beside their mean where ``centred``. Shape ``[..., B, B]``."""
    if centred:
        h_BN = h_BN - h_BN.mean(-2, keepdim=True)
    return h_BN @ h_BN.mT


def soft_rank(gram_BB: Tensor) -> Tensor:
    """tr(M)^2 / ||M||_F^2: from 1, where all examples are multiples of one, to min(B, N). Shape ``[...]``.

    Source: Daneshmand et al. 2020, with M = H'H / B; HH' has the same eigenvalues.
    """
    return gram_BB.diagonal(dim1=-2, dim2=-1).sum(-1).square() / gram_BB.square().sum((-2, -1))


def orthogonality_gap(gram_BB: Tensor) -> Tensor:
    """How far centred examples are from orthogonal ones of one length: ||G / tr(G) - C / (B - 1)||_F, C = I - 1/B.

    0 where all are orthogonal but for their mean, sqrt((B - 2) / (B - 1)) where all lie on one line. Shape ``[...]``.

    Source: Daneshmand et al. 2021, whose BN does not centre, so that I stands in the place of C and B in that of B - 1.
    """
    import torch

    num = gram_BB.shape[-1]
    ideal_BB = (torch.eye(num, dtype=gram_BB.dtype) - 1 / num) / (num - 1)
    trace = gram_BB.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return (gram_BB / trace - ideal_BB).square().sum((-2, -1)).sqrt()
