"""What the normalisers that we write ourselves share: gamma and beta, statistics of a batch, and running statistics.

Legend: N batch, C features, H W space; ``x`` is [N, C] (dims=0) or [N, C, H, W] (dims=2); m = values per feature, N or
N*H*W. A quantity per feature is [C] in parameters and buffers (suffix _C) and [1, C] or [1, C, 1, 1] where it meets x
(suffix _1C).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from bnexp.config import checks
from bnexp.errors import UserError

AFFINE = ("full", "scale", "shift", "none")


def set_affine(module: nn.Module, num_features: int, affine: str) -> None:
    """Give ``module`` the ``weight`` (gamma, ones) and ``bias`` (beta, zeros) that ``norm.affine`` asks for.

    A missing one is None, or a constant that is no parameter, so that the number of parameters is right however they are counted.

    Shape: weight and bias ``[C]``.

    Raises:
        UserError: ``affine`` is not one of ``AFFINE``.
    """
    checks.choice("norm.affine", affine, AFFINE)
    gamma_C, beta_C = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
    module.register_parameter("weight", gamma_C if affine in ("full", "scale") else None)
    module.register_parameter("bias", beta_C if affine in ("full", "shift") else None)
    if isinstance(module, nn.GroupNorm) and affine == "shift":  # up to torch 2.12 its gradient on a CPU needs a weight
        del module.weight
        module.register_buffer("weight", torch.ones(num_features), persistent=False)


def check_eps(eps: float) -> float:
    """``norm.eps`` if it is above 0: a feature that is constant over its batch must not become 0/0."""
    return checks.real("norm.eps", eps, above=0, example=1e-5)


def check_momentum(momentum: float | None) -> float | None:
    """``norm.momentum`` if it is in (0, 1], or None: the cumulative average of all batches."""
    return None if momentum is None else checks.real("norm.momentum", momentum, above=0, most=1, example=0.1)


class FeatureAffine(nn.Module):
    """A module over C features with gamma and beta; never built itself, its subclasses say what is normalised.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: one of ``AFFINE``.
    """

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def __init__(self, num_features: int, dims: int, *, affine: str) -> None:
        super().__init__()
        self.num_features, self.dims, self.affine = num_features, dims, affine
        self.batch_axes = (0, *range(2, 2 + dims))
        set_affine(self, num_features, affine)

    def expand(self, value_C: Tensor) -> Tensor:
        """Shape: ``[C]`` to ``[1, C]`` or ``[1, C, 1, 1]``."""
        return value_C.reshape(1, -1, *[1] * self.dims)

    def scale_and_shift(self, x_hat: Tensor) -> Tensor:
        """``gamma * x_hat + beta``, of which the missing parts are left out."""
        y = x_hat if self.weight is None else x_hat * self.expand(self.weight)
        return y if self.bias is None else y + self.expand(self.bias)

    def extra_repr(self) -> str:
        return f"{self.num_features}, dims={self.dims}, affine={self.affine}"


class BatchStatistics(FeatureAffine):
    """Batch normalisation in four steps, each of which a variant may override; never built itself.

    Train mode: :meth:`batch_statistics`, :meth:`normalize` by them, :meth:`track`, :meth:`scale_and_shift`. Eval mode:
    the same with the running statistics instead of the batch's. Parameters, buffers, ``momentum`` and
    ``reset_running_stats`` have the names and the meaning of ``torch.nn.BatchNorm2d``: normalise with the biased (1/m)
    variance, store the Bessel (1/(m-1)) one.

    Args:
        num_features: C.
        dims: 0 for ``[N, C]``, 2 for ``[N, C, H, W]``.
        affine: one of ``AFFINE``.
        eps: added to the variance, in units of x squared.
        momentum: weight of the newest batch in the running statistics; None: all batches weigh the same.

    Source: Ioffe & Szegedy 2015, Algorithm 1 (train mode) and Algorithm 2, line 11 (eval mode).
    Deviation: running statistics are an exponential average taken during training, as in torch; ``population.py`` has
    Algorithm 2's.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    #: Why it cannot do without running statistics, if it cannot.
    needs_tracking: ClassVar[str] = ""

    def __init__(self, num_features: int, dims: int, *, affine: str, eps: float, momentum: float | None) -> None:
        super().__init__(num_features, dims, affine=affine)
        self.eps, self.momentum = eps, check_momentum(momentum)
        self.tracks = True
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Forget every batch seen: mean 0, variance 1, count 0."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Shape: ``[N, C]`` or ``[N, C, H, W]``, kept.

        Raises:
            ValueError: train mode, or no running statistics, with a single value per feature.
        """
        by_batch = self.training or not self.tracks
        return self.scale_and_shift(self.normalize_batch(x) if by_batch else self.normalize_by_running(x))

    def normalize_batch(self, x: Tensor) -> Tensor:
        """x normalised by its own batch, which then enters the running statistics, if there are any."""
        num_values = values_per_feature(x)
        mean_1C, var_1C = self.batch_statistics(x)
        x_hat = self.normalize(x, mean_1C, var_1C)
        if self.tracks:
            self.track(mean_1C.flatten(), var_1C.flatten(), num_values)
        return x_hat

    def normalize_by_running(self, x: Tensor) -> Tensor:
        """x normalised by the running statistics: a fixed map, the same for an example whatever its companions."""
        return self.normalize(x, self.expand(self.running_mean), self.expand(self.running_var))

    def batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased (1/m) variance of each feature over the batch. Shape: ``[1, C]`` or ``[1, C, 1, 1]`` each."""
        var_1C, mean_1C = torch.var_mean(x, self.batch_axes, correction=0, keepdim=True)
        return mean_1C, var_1C

    def normalize(self, x: Tensor, mean_1C: Tensor, var_1C: Tensor) -> Tensor:
        """``(x - mean) / sqrt(var + eps)``."""
        return (x - mean_1C) / torch.sqrt(var_1C + self.eps)

    @torch.no_grad()
    def track(self, mean_C: Tensor, var_C: Tensor, num_values: int) -> None:
        """Let one batch of ``num_values`` values per feature into the running statistics; ``var_C`` is biased (1/m)."""
        self.num_batches_tracked.add_(1)
        weight = self.newest_weight(mean_C)
        stored_C = self.unbiased(var_C, num_values)
        self.running_mean.add_((mean_C - self.running_mean) * weight)
        self.running_var.add_((stored_C - self.running_var) * weight)

    def unbiased(self, var_C: Tensor, num_values: int) -> Tensor:
        """The Bessel (1/(m-1)) variance of the biased (1/m) one."""
        return var_C * (num_values / (num_values - 1))

    def newest_weight(self, like: Tensor) -> float | Tensor:
        """Weight of the newest batch: ``momentum``, or 1/n at batch n as a tensor of ``like``'s dtype."""
        return self.num_batches_tracked.to(like.dtype).reciprocal() if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, eps={self.eps}, momentum={self.momentum}"


def stop_tracking(norm: nn.Module) -> None:
    """Take a batch norm's running statistics away: it normalises by the batch in eval mode too, as torch's does without them.

    Args:
        norm: torch's batch norm or a :class:`BatchStatistics`, as it was built.

    Raises:
        UserError: a norm that has none, or none to spare.

    Source: ``track_running_stats=False`` of ``torch.nn.BatchNorm2d``.
    """
    todo = "leave norm.track=false out, or norm=batch"
    if not isinstance(norm, BatchStatistics | nn.BatchNorm1d | nn.BatchNorm2d):
        raise UserError("norm.track=false is for batch norms of torch or of bnexp", got=type(norm).__name__, todo=todo)
    if isinstance(norm, BatchStatistics):
        if norm.needs_tracking:
            raise UserError(norm.needs_tracking, got="norm.track=false", todo=todo)
        norm.tracks = False
    else:
        norm.track_running_stats = False
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        setattr(norm, name, None)


def values_per_feature(x: Tensor) -> int:
    """m, the number of values of each feature in the batch: N or N*H*W.

    Raises:
        ValueError: m is 1, and one value has no spread.
    """
    num_values = x.numel() // x.shape[1]
    if num_values < 2:
        raise ValueError(
            f"a norm in train mode needs at least 2 values per feature, got a batch of shape {tuple(x.shape)}; "
            "use a larger batch, or eval mode"
        )
    return num_values
