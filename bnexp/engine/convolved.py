"""What stands between a step's convolutions: batch norm, ReLU and pooling, in as few passes over memory as Inductor can be led to.

The layers of a convolutional net leave the caches, so that what a step takes beside its convolutions is what it reads and writes.
The operations here stand for torch's while a step is traced; :func:`written_out` rearranges them where they meet and then puts what
they consist of in their places.

Legend: B batch, C channels, H W height and width. Gradients are named by what they are taken by; ``mean`` and ``inverse`` (1/sd)
are a batch's own ``[C]``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

if TYPE_CHECKING:  # takes a while to import, and most runs are eager
    from torch.fx import Graph, GraphModule, Node

#: Under this name a graph's ``meta`` says from how many tensors Inductor may compute a value wherever it is used, instead of
#: keeping it: more than its own 4 where there is batch norm (a gradient, x, mean, scale, bias; the maxima and where they are).
READS = "realize_reads_threshold"
_READS_OF_NORM = 8


def moments(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance ``[C]`` (biased) of a batch of pictures, and 1/sd.

    Of each picture by itself first, which stays in the cache between the mean and the squares around it: one pass instead of two.
    """
    pixels = x.shape[2] * x.shape[3]
    means = x.sum((2, 3)) * (1 / pixels)
    apart = x - means[:, :, None, None]
    squares = (apart * apart).sum((2, 3))
    mean = means.sum(0) * (1 / len(x))
    between = means - mean
    var = squares.sum(0) * (1 / (len(x) * pixels)) + (between * between).sum(0) * (1 / len(x))
    return mean, var, in_memory((var + eps).rsqrt())


def in_memory(x: Tensor) -> Tensor:
    """``x``, computed once and not wherever it is used: a rule of Inductor's, which keeps what ``as_strided`` reads."""
    return x.as_strided(x.shape, x.stride())


def _channels_last(x: Tensor) -> bool:
    """Whether Inductor's vectors run over channels, so that it costs nothing to look up which pixel of a window is meant."""
    return x.stride(1) == 1


def _pool(x: Tensor, *beside: Tensor) -> tuple[Tensor, ...]:
    """Max pooling in windows of 2 x 2 as comparisons, which Inductor makes vectors of and puts into the kernels beside it.

    Shape: the maxima, which of its window each is (0 to 3, the first of equals), and what each of ``beside`` ``[B, C, H, W]`` is
    there, ``[B, C, H/2, W/2]``.
    """
    first, *others = zip(*map(_corners, (x, *beside)), strict=True)
    largest, *chosen = first
    which = torch.zeros_like(largest)
    for number, (corner, *alternatives) in enumerate(others, start=1):
        larger = corner > largest
        which = torch.where(larger, number, which)
        chosen = [torch.where(larger, *pair) for pair in zip(alternatives, chosen, strict=True)]
        largest = torch.maximum(largest, corner)
    if not _channels_last(x):
        return largest, which, *chosen
    which, *chosen = kept = [in_memory(each) for each in (which, *chosen)]
    return largest + 0 * sum(kept[1:], kept[0]), which, *chosen  # so that all are computed where x is at hand


def _corners(x: Tensor) -> list[Tensor]:
    """The four pixels of each window of 2 x 2, each ``[B, C, H/2, W/2]``."""
    return [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]


def _spread(grad: Tensor, which: Tensor) -> Tensor:
    """Each gradient ``[B, C, H/2, W/2]`` in the place of its window that was the largest ``[B, C, H, W]``."""
    wide_grad, wide_which = (part[:, :, :, None, :, None] for part in (grad, which))
    batch, channels, height, width = grad.shape
    spread = torch.where(wide_which == torch.arange(4.0).view(2, 1, 2), wide_grad, 0)
    spread = spread.reshape(batch, channels, 2 * height, 2 * width)
    return spread.contiguous(memory_format=torch.channels_last if _channels_last(which) else torch.contiguous_format)


def _normalised(x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse: Tensor) -> Tensor:
    y = (x - mean[:, None, None]) * _scale(weight, inverse)
    return y if bias is None else y + bias[:, None, None]


def _scale(weight: Tensor | None, inverse: Tensor) -> Tensor:
    return (inverse if weight is None else in_memory(inverse * weight))[:, None, None]


def _norm_backward(grad: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients by a normalised batch's input, weight and bias, from the one by its output."""
    along = grad * (x - mean[:, None, None])
    return _norm_gradients(grad, _sum(grad), _sum(along), x, weight, mean, inverse)


def _pooled_norm_backward(
    grad: Tensor, which: Tensor, chosen: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same, from the gradient by what was pooled of its output: sums over the pixels that were ``chosen``, not over all."""
    along = grad * (chosen - mean[:, None, None])
    return _norm_gradients(_spread(grad, which), _sum(grad), _sum(along), x, weight, mean, inverse)


def _sum(x: Tensor) -> Tensor:
    """By channel; of each picture by itself first, where a single running sum of each channel is exact enough."""
    return x.sum((2, 3)).sum(0)


def _norm_gradients(
    grad: Tensor, total: Tensor, along: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Source: Ioffe & Szegedy (2015), section 3, the gradients after Algorithm 1."""
    one_by = x.shape[1] / x.numel()
    level, slope = in_memory(total * one_by), in_memory(along * inverse * inverse * one_by)
    by_x = (grad - level[:, None, None] - (x - mean[:, None, None]) * slope[:, None, None]) * _scale(weight, inverse)
    return by_x, along * inverse, total


_LIBRARY = torch.library.Library("bnexp", "FRAGMENT")
_NORM = "Tensor x, Tensor? weight, Tensor mean, Tensor inverse) -> (Tensor, Tensor, Tensor)"
_SCHEMAS: dict[str, Callable[..., Any]] = {
    "pool(Tensor x) -> (Tensor, Tensor)": _pool,
    "pool_beside(Tensor x, Tensor beside) -> (Tensor, Tensor, Tensor)": _pool,
    "spread(Tensor grad, Tensor which) -> Tensor": _spread,
    "normalised(Tensor x, Tensor? weight, Tensor? bias, Tensor mean, Tensor inverse) -> Tensor": _normalised,
    f"norm_backward(Tensor grad, {_NORM}": _norm_backward,
    f"pooled_norm_backward(Tensor grad, Tensor which, Tensor chosen, {_NORM}": _pooled_norm_backward,
}

#: What each of these operations consists of.
PARTS: dict[Any, Callable[..., Any]] = {}
for _schema, _parts in _SCHEMAS.items():
    _name = _schema.partition("(")[0]
    _LIBRARY.define(_schema)
    for _key in ("CPU", "Meta"):
        _LIBRARY.impl(_name, _parts, _key)
    PARTS[getattr(torch.ops.bnexp, _name).default] = _parts
pool, pool_beside, spread, normalised, norm_backward, pooled_norm_backward = PARTS


def written_out(graph: GraphModule) -> None:
    """Rearrange the operations of this file in a traced step, and put what they consist of in their places."""
    _rearrange(graph.graph)
    if graph.graph.find_nodes(op="call_function", target=normalised):
        graph.meta[READS] = _READS_OF_NORM
    traced: dict[Any, Graph] = {}
    for node in list(graph.graph.nodes):
        if node.target in PARTS:
            tensors = [each.meta["val"] for each in node.args if each]
            key = node.target, *(each is None for each in node.args), *((each.shape, each.stride(), each.dtype) for each in tensors)
            if key not in traced:
                like = [torch.empty_strided(each.shape, each.stride(), dtype=each.dtype) for each in tensors]
                traced[key] = _traced_parts(node, like)
            _replace(node, traced[key])
    graph.recompile()


def _traced_parts(node: Node, tensors: list[Tensor]) -> Graph:
    """What ``node`` consists of, as a graph of those of its arguments that it was given: ``tensors`` like them."""

    def parts(*given: Tensor) -> Any:
        rest = iter(given)
        return PARTS[node.target](*(each and next(rest) for each in node.args))

    return make_fx(parts)(*tensors).graph


def _replace(node: Node, parts: Graph) -> None:
    given: dict[Any, Any] = dict(zip(parts.find_nodes(op="placeholder"), filter(None, node.args), strict=True))
    with node.graph.inserting_before(node):
        made: Any = node.graph.graph_copy(parts, given)
    for user in list(node.users) if isinstance(made, tuple) else ():  # each takes one of its results
        user.replace_all_uses_with(made[user.args[1]])
        node.graph.erase_node(user)
    if not isinstance(made, tuple):
        node.replace_all_uses_with(made)
    node.graph.erase_node(node)


def _rearrange(graph: Graph) -> None:
    """Let the backward pass read and write less.

    - The norm's sums are over gradients of which three of four are 0 where they come from a pooling, which keeps what is needed.
    - What ReLU lets through is known from its input, which the norm's backward pass reads anyway, as well as from its output, which
      then need not be written where it is pooled.
    - Behind a pooling it is known from the maxima, a quarter as many: where one is not above 0, nothing in its window is.
    """
    masks = torch.ops.aten.threshold_backward.default
    for masked in graph.find_nodes(op="call_function", target=masks):
        grad, result, threshold = masked.args
        if result.target is not torch.ops.aten.relu.default:
            continue
        if _is_pooled(grad, result) and len(grad.users) == 1 and _channels_last(grad.meta["val"]):
            small, which = grad.args
            with graph.inserting_before(grad):
                largest = graph.call_function(getitem, (which.args[0], 0))
                small_masked = graph.call_function(masks, (small, largest, threshold))
            largest.meta, small_masked.meta = dict(small.meta), dict(small.meta)
            grad.args = (small_masked, which)
            masked.replace_all_uses_with(grad)
            graph.erase_node(masked)
        elif result.args[0].target is normalised:
            masked.args = (grad, result.args[0], threshold)
    for norm in graph.find_nodes(op="call_function", target=norm_backward):
        grad, x, *rest = norm.args
        if grad.target is spread:
            small, which = grad.args
            pooled = which.args[0]
            pooled.target, pooled.args = pool_beside, (pooled.args[0], x)
            with graph.inserting_after(which):
                chosen = graph.call_function(getitem, (pooled, 2))
            chosen.meta = dict(small.meta)
            norm.target, norm.args = pooled_norm_backward, (small, which, chosen, x, *rest)
    graph.eliminate_dead_code()


def _is_pooled(grad: Node, x: Node) -> bool:
    """Whether ``grad`` comes from the maxima of ``x`` alone."""
    which: Any = grad.args[1] if grad.target is spread else None
    return which is not None and which.target is getitem and which.args[0].target is pool and which.args[0].args[0] is x
