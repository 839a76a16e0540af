"""Folding: in eval mode a norm with running statistics is one linear map a feature, which the layer before it can take over.

The folded net has the norm's layers no more; whether it says the same and how much sooner is measured here, not assumed.

Legend: N examples, C features.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from bnexp.engine.kernels import fast_inference
from bnexp.errors import UserError
from bnexp.models.blocks import NormAct
from bnexp.norms.base import BatchStatistics
from bnexp.norms.mean_only import MeanOnlyBatchNorm
from bnexp.norms.noisy import NoisyBatchNorm
from bnexp.norms.one_shot import FoldedOneShot, OneShotNorm
from bnexp.norms.renorm import BatchRenorm
from bnexp.norms.scale_only import ScaleOnlyBatchNorm

#: What folding may change in float64, relative to the largest logit: rounding is 1e-14, a wrong fold is not below 1e-3.
ROUNDING = 1e-9

#: Seconds that a round of :func:`time_inference` gives each net, roughly, and how many passes it makes at least.
ROUND_SECONDS, LEAST_PASSES = 0.01, 3

#: Mean, variance and eps of a norm's map ``(x - mean) / sqrt(variance + eps)`` before gamma and beta.
FixedMap = tuple[Tensor, Tensor, float]


@dataclass(frozen=True)
class Folded:
    """What became of one norm: its name, and the layer that it went into, or why it stays."""

    norm: str
    layer: str | None
    reason: str = ""


@torch.no_grad()
def fold(model: nn.Module, x: Tensor) -> tuple[nn.Module, list[Folded]]:
    """A copy of ``model`` in eval mode without the norms that the layer before them can take over, and what became of each norm.

    W becomes ``gamma W / sd`` and b ``gamma (b - mean) / sd + beta``. A norm is folded if its input is the output of a linear layer
    or a convolution and the whole net then says the same of ``x`` to rounding of float64, in which this is done; so a layer whose
    output also goes elsewhere (round a residual block) keeps its norm. ``model`` is left as it is.

    Args:
        model: any network of the registry, or a plugin's.
        x: a few examples as the model takes them, by which layers are found and folds are tried; not all the same.

    Raises:
        UserError: the net computes in bf16, or it has no norm at all.

    Source: ``torch.nn.utils.fusion``; Jacob et al. 2018, 3.2. Deviation: any norm that is a fixed map in eval mode, torch's or not.
    """
    if getattr(model, "computes_in_bf16", False):
        raise UserError("only nets in fp32 are folded", got="execution.precision=bf16", todo="a run in fp32")
    kept = next(model.parameters()).dtype
    net, x = deepcopy(model).eval().double(), x.double()
    expected = net(x)
    sites = {name: site for name, site in net.named_modules() if isinstance(site, NormAct)}
    sites = {name: site for name, site in sites.items() if not isinstance(site.norm, nn.Identity)}
    if not sites:
        raise UserError("this net has no norm that could be folded", todo="a run with norm=batch")
    layers: dict[str, Any] = {
        name: layer for name, layer in net.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)
    }
    sources = _sources(net, sites, layers, x)
    report = []
    for name, site in sites.items():
        reason = _why_not(site.norm, sources[name])
        if not reason:
            layer, norm = layers[sources[name]], site.norm
            before = layer.weight, layer.bias
            _into(layer, norm)
            site.norm = nn.Identity()
            if torch.allclose(net(x), expected, rtol=0, atol=ROUNDING * float(expected.abs().max()), equal_nan=True):
                report.append(Folded(name, sources[name]))
                continue
            layer.weight, layer.bias, site.norm = *before, norm
            reason = f"the output of {sources[name]} also goes elsewhere, or the norm is no fixed map"
        report.append(Folded(name, None, reason))
    return net.to(kept), report


def _sources(net: nn.Module, sites: dict[str, NormAct], layers: dict[str, Any], x: Tensor) -> dict[str, str]:
    """The layer whose output each site's norm takes in, found by a pass of ``x``; empty where it is no layer's."""
    made: dict[int, tuple[str, Tensor]] = {}
    found: dict[str, str] = {}

    def leave(name: str, _: Any, __: Any, output: Tensor) -> None:
        made[id(output)] = name, output  # held, so that no other tensor gets its address

    def enter(name: str, _: Any, inputs: tuple[Tensor, ...]) -> None:
        found[name] = made.get(id(inputs[0]), ("", inputs[0]))[0]

    hooks = [layer.register_forward_hook(partial(leave, name)) for name, layer in layers.items()]
    hooks += [site.norm.register_forward_pre_hook(partial(enter, name)) for name, site in sites.items()]
    try:
        net(x)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: found.get(name, "") for name in sites}


def _why_not(norm: nn.Module, source: str) -> str:
    """Why a norm cannot go into the layer ``source``; empty if it can, as far as one sees."""
    if fixed_map(norm) is None:
        return "in eval mode it is no fixed map of each feature"
    return "" if source else "what it takes in is no layer's output (it stands behind a nonlinearity or a sum)"


def fixed_map(norm: nn.Module) -> FixedMap | None:
    """What a norm does to each feature in eval mode; None where that depends on the examples or on chance.

    Shape: mean and variance ``[C]``.
    """
    if isinstance(norm, OneShotNorm):
        return norm.first_mean, norm.first_sd.square(), 0.0
    if isinstance(norm, FoldedOneShot):
        like = torch.ones(norm.num_features, dtype=torch.float64)
        return torch.zeros_like(like), like, 0.0
    if not isinstance(norm, BatchStatistics | nn.BatchNorm1d | nn.BatchNorm2d):
        return None
    mean, var = norm.running_mean, getattr(norm, "running_var", None)
    if mean is None:
        return None
    if isinstance(norm, BatchRenorm):
        return mean, norm.running_sd.square(), 0.0
    if isinstance(norm, MeanOnlyBatchNorm):
        return mean, torch.ones_like(mean), 0.0
    if isinstance(norm, ScaleOnlyBatchNorm):
        return torch.zeros_like(mean), norm.running_var, norm.eps
    if isinstance(norm, NoisyBatchNorm) and any(getattr(child, "in_eval", False) for child in norm.children()):
        return None
    return None if var is None else (mean, var, norm.eps)


def _into(layer: nn.Linear | nn.Conv2d, norm: Any) -> None:
    """Put a norm's map into the layer before it."""
    fixed = fixed_map(norm)
    assert fixed is not None
    mean, var, eps = fixed
    gamma = torch.ones_like(mean) if norm.weight is None else norm.weight
    beta = torch.zeros_like(mean) if norm.bias is None else norm.bias
    fuse: Callable[..., Any] = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, mean, var, eps, gamma, beta)


def largest_difference(one: nn.Module, other: nn.Module, batches: Iterable[Tensor]) -> float:
    """The largest difference of two nets' outputs in eval mode, over all examples; their modes are put back."""
    modes = [(module, module.training) for model in (one, other) for module in model.modules()]
    try:
        one.eval(), other.eval()
        with torch.inference_mode():
            return max(float((one(x) - other(x)).abs().max()) for x in batches)
    finally:
        for module, training in modes:
            module.training = training


@dataclass(frozen=True)
class InferenceTime:
    """Milliseconds a pass of each of two nets, and how many times as fast the second one is.

    Attributes:
        before_ms, after_ms: medians over the rounds.
        times: median of the rounds' quotients, before / after.
        low, high: their 5th and 95th percentile.
        rounds: how many.
    """

    before_ms: float
    after_ms: float
    times: float
    low: float
    high: float
    rounds: int


def time_inference(before: nn.Module, after: nn.Module, x: Tensor, rounds: int = 30) -> InferenceTime:
    """Time passes of ``x`` through two nets in eval mode, as they are evaluated, in pairs.

    Every round times both, the order alternating, so that what else the machine does meets both alike. Of a round's passes (of both
    the same number) the quickest counts, because other work only adds to them. The nets' modes are put back.

    Args:
        before, after: the nets.
        x: a batch as they take it.
        rounds: at least 2.
    """
    modes = [(module, module.training) for model in (before, after) for module in model.modules()]

    def quickest(model: nn.Module, passes: int) -> float:
        took = []
        for _ in range(passes):
            start = time.perf_counter()
            model(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            took.append(time.perf_counter() - start)
        return min(took)

    try:
        before.eval(), after.eval()
        with torch.inference_mode(), fast_inference():
            for model in (before, after):
                quickest(model, LEAST_PASSES)  # a warm-up
            passes = max(LEAST_PASSES, round(ROUND_SECONDS / quickest(before, LEAST_PASSES)))
            found = np.empty((rounds, 2))
            for place in range(rounds):
                pair = [(0, before), (1, after)]
                for column, model in pair[:: 1 if place % 2 else -1]:
                    found[place, column] = quickest(model, passes)
    finally:
        for module, training in modes:
            module.training = training
    before_ms, after_ms = (1e3 * float(value) for value in np.median(found, axis=0))
    low, times, high = (float(value) for value in np.percentile(found[:, 0] / found[:, 1], (5, 50, 95)))
    return InferenceTime(before_ms, after_ms, times, low, high, rounds)
