"""The training step as a function of tensors only, and as one compiled graph: what a long run or several runs at once train with.

``step.py`` is the definition and this one's test. The graph changes the same model and optimiser in place, so nothing else knows
about it. Whatever stops compiling leaves the eager step, with the reason.

Legend: S runs side by side (the axis is absent for one run), B batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from bnexp.config.identity import network_of
from bnexp.data.standardize import Standardizer
from bnexp.engine import kernels
from bnexp.engine.build import Experiment
from bnexp.engine.captured import capture
from bnexp.engine.convolved import written_out
from bnexp.engine.decomposed import DECOMPOSED
from bnexp.engine.feed import feed_of
from bnexp.engine.inductor import fused
from bnexp.engine.replayed import replay
from bnexp.engine.step import OnBatch
from bnexp.models.blocks import NormAct

#: State tensors by name, in the order of the parameters; ``torch.optim`` keeps them under the same names.
Slots = dict[str, list[Tensor]]


class GraphStep:
    """A callable ``indices -> (loss, correct)``: the eager step.

    The model's parameters and buffers and the optimiser's state are changed in place, so checkpoints, probes and evaluation see
    the same objects as with the eager step. Equal to it up to rounding (tested for every norm, model and optimiser).

    Args:
        experiment: the run; its optimiser may be SGD, Adam or AdamW.
        backend: ``inductor``, or ``traced`` for the graph as it was traced.

    Attributes:
        products: why the graph multiplies by torch's own products and not by faster ones; empty where it does not.
        kernels: what it multiplies with (:func:`~bnexp.engine.kernels.named`).
    """

    def __init__(self, experiment: Experiment, backend: str = "inductor") -> None:
        self._optimizer = experiment.optimizer
        self._lr = torch.zeros((), device=experiment.train.labels.device)
        self._filled = 0.0
        made = partial(PureStep, experiment.model, experiment.optimizer, num_passes(experiment), side_by_side=False)
        state = state_of(experiment.model, experiment.optimizer)
        feed = feed_of(experiment) if backend == "inductor" else None
        self._batch_of = feed or partial(experiment.training_examples, generator=experiment.augmentation)
        batch, prepare = (feed.batch, None) if feed else (example_batch(experiment), experiment.prepare)
        key = (*structure(experiment), feed is None, backend)
        self._graph, self.products, self.kernels = compiled(made, key, state, prepare, self._lr, batch)

    def __call__(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: indices ``[B]`` int64; loss and number of correct answers are ``[]``."""
        lr = self._optimizer.param_groups[0]["lr"]
        if lr != self._filled:
            self._lr.fill_(lr)
            self._filled = lr
        return self._graph(*self._batch_of(indices))


def compiled(
    made: Callable[[], PureStep], key: tuple[Any, ...], state: TrainingState, prepare: Standardizer | None, lr: Tensor,
    batch: tuple[Tensor, Tensor],
) -> tuple[OnBatch, str, str]:  # fmt: skip
    """A step on ``state`` as one graph, tried once on ``batch`` and put back, why its products are torch's own, if they are, and
    what it multiplies with.

    On a GPU it is captured too, for this state alone, so that a step is one launch.

    Args:
        made: makes the function, which copies a model, where this process has no graph of it yet.
        key: what the graph depends on, the backend last.
        state: what the graph changes.
        prepare, lr: what it reads; no ``prepare`` where batches come standardised.
        batch: any batch of the right shape: bytes and labels, or the memory that standardised batches lie in.
    """
    before = [tensor.clone() for tensor in state.tensors()]
    read = (*state.tensors(), *((prepare.scale, prepare.offset) if prepare else ()), lr)
    floats = torch.empty_like(batch[0], dtype=torch.float32) if prepare else batch[0]

    def put_back() -> None:
        for tensor, value in zip(state.tensors(), before, strict=True):
            tensor.copy_(value)

    def tried(fast: bool) -> tuple[OnBatch, str, str]:
        graph, products, used = compile_once(made, (*key, fast), state, prepare, [*read, floats, batch[1]])

        def run(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            # Inductor's code reads bytes one vector of floats at a time, which takes 60 us of the paper's step without AVX-512
            return graph(*read, floats.copy_(images) if prepare else images, labels)

        run(*batch)
        if batch[0].is_cuda:
            return capture(run, *batch), products, "CUDA graph" if "inductor" in key else "CUDA graph of torch's own operations"
        again = replay(graph, read, batch, put_back) if key[-1] == "inductor" else None
        return again or run, products, f"{used}; replayed" if again else used

    try:
        with warnings.catch_warnings():  # a GPU's owner is advised to round more coarsely, at every graph
            warnings.filterwarnings("ignore", message="TensorFloat32")
            return tried(fast=True)
    except Exception as error:  # Inductor may have changed what it wants to be told of a kernel
        if kernels.private(kernels.brgemm)[0] is None:
            raise
        run, _, used = tried(fast=False)
        return run, f"brgemm: {kernels.first_line(error)}", used
    finally:
        put_back()


#: Graphs that a process keeps: arms that take turns, their data standardised in several ways say, are compiled once.
KEPT = 16

_last: dict[tuple[Any, ...], Any] = {}
Made = TypeVar("Made")


def made_once(key: tuple[Any, ...], make: Callable[[], Made]) -> Made:
    """What ``make`` gives, or gave for the same ``key`` in this process; the last ``KEPT`` that were asked for are kept."""
    if key not in _last:
        _last[key] = make()
        while len(_last) > KEPT:
            del _last[next(iter(_last))]
    _last[key] = _last.pop(key)  # the last asked for stands last
    return _last[key]


def compile_once(
    made: Callable[[], PureStep], key: tuple[Any, ...], state: TrainingState, prepare: Standardizer | None, tensors: list[Any]
) -> tuple[Callable[..., tuple[Tensor, Tensor]], str, str]:
    """The step compiled as a function of tensors, or what an earlier step of the same ``key`` left in this process.

    The step is traced operation by operation and not through ``torch.compile``, whose checks at every call cost a tenth of the
    paper's step. The key ends in the backend, and whether products may be other than torch's own.
    """
    *_, backend, fast = key

    def make() -> tuple[Callable[..., Any], str, str]:
        step = made()

        def flat(*given: Tensor) -> tuple[Tensor, Tensor]:
            if prepare is None:
                *changed, lr, images, labels = given
                return step(state.of(changed), None, lr, images, labels)
            *changed, scale, offset, lr, images, labels = given
            return step(state.of(changed), prepare.of(scale, offset), lr, images, labels)

        with torch.no_grad():
            graph = traced(step.model, flat, tensors)
            products = kernels.with_fastest_products(graph) if fast else ""
            used = kernels.named(graph)
            return (fused(graph, tensors) if backend == "inductor" else graph), products, used

    return made_once(key, make)


def structure(experiment: Experiment) -> tuple[Any, ...]:
    """What decides a run's graph; runs that differ only in seed, first weights, learning rate, data or schedule have the same."""
    config = experiment.config
    optimizer = replace(config.optimizer, lr=1.0)
    shapes = tuple((tuple(parameter.shape), parameter.requires_grad) for parameter in experiment.model.parameters())
    inputs = (config.dataset.binarize, experiment.prepare.scale.shape, tuple(experiment.train.images.shape[1:]))
    batch = (config.train.batch_size, config.train.pass_size)
    parts = (network_of(config.model), config.norm, optimizer, batch, config.execution, shapes, inputs)
    frozen = any(module.frozen for module in experiment.model.modules() if isinstance(module, NormAct))
    return (*map(repr, parts), str(experiment.train.labels.device), frozen)


def num_passes(experiment: Experiment) -> int:
    """Micro-batches that a step takes one after the other."""
    return experiment.config.train.batch_size // experiment.config.train.pass_size


def example_batch(experiment: Experiment) -> tuple[Tensor, Tensor]:
    """A batch of the right shape and kind, for trying a step; draws nothing."""
    same = torch.zeros(experiment.config.train.batch_size, dtype=torch.int64, device=experiment.train.labels.device)
    return experiment.train.images.index_select(0, same), experiment.train.labels.index_select(0, same)


@dataclass(frozen=True)
class TrainingState:
    """Everything a step changes, in place: the very tensors of a model and its optimiser, or stacks of several runs' tensors.

    Shape: each tensor as in its model, with S in front where runs are side by side.
    """

    parameters: list[Tensor]
    buffers: list[Tensor]
    slots: Slots

    def tensors(self) -> list[Tensor]:
        """All of them, in a fixed order."""
        return [*self.parameters, *self.buffers, *(tensor for row in self.slots.values() for tensor in row)]

    def of(self, tensors: Sequence[Tensor]) -> TrainingState:
        """Other tensors in the places of these, in the order of :meth:`tensors`."""
        rest = iter(tensors)
        parameters, buffers = ([next(rest) for _ in mine] for mine in (self.parameters, self.buffers))
        slots = {name: [next(rest) for _ in row] for name, row in self.slots.items()}
        return TrainingState(parameters, buffers, slots)


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that training moves, in the model's order."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """One run's own tensors: changing them is training it."""
    parameters = trainable(model)
    slots = slots_of(optimizer, parameters)
    return TrainingState([p.detach() for p in parameters], list(model.buffers()), slots)


class PureStep:
    """``step(state, prepare, lr, images, labels) -> (loss, correct)``: standardise, then forward, backward and update of ``state``,
    in place.

    The model only lends its structure and the optimiser its kind and constants; what happens to either afterwards does not matter.

    Args:
        model: any model of the registry whose forward pass draws no random numbers.
        optimizer: SGD, Adam or AdamW of ``torch.optim``.
        num_passes: micro-batches that a batch goes in (``step.accumulated_step``).
        side_by_side: whether state, rate and batch have S in front.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, num_passes: int, *, side_by_side: bool
    ) -> None:
        if any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.momentum is None for m in model.modules()):
            raise RuntimeError("torch's batch norm without momentum reads its count as a number, which a graph would keep")
        self.model = deepcopy(model).train()
        self._update = update_of(optimizer)
        self._parameter_names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._buffer_names = [name for name, _ in model.named_buffers()]
        places = {id(parameter): place for place, parameter in enumerate(trainable(model))}
        self._groups = [
            ({name: group[name] for name in group if name != "params"}, [places[id(p)] for p in group["params"]])
            for group in optimizer.param_groups
        ]
        gradients = grad_and_value(self._loss, has_aux=True)
        self._gradients = vmap(gradients) if side_by_side else gradients
        self._num_passes, self._batch_axis = num_passes, int(side_by_side)

    def __call__(
        self, state: TrainingState, prepare: Standardizer | None, lr: Tensor, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shape: lr ``[S]``, images ``[S, B, C, H, W]`` bytes, the same as floats or, without ``prepare``, network inputs, labels
        ``[S, B]`` int64; loss and correct ``[S]``; without S for one run.
        """
        x = prepare.of_floats(images.flatten(end_dim=-4).to(torch.float32)).view(images.shape) if prepare else images
        gradients, loss, correct = self._accumulated(state, x, labels)
        with torch.no_grad():
            for constants, places in self._groups:
                for place in places:
                    slots = {name: row[place] for name, row in state.slots.items()}
                    self._update(constants, state.parameters[place], gradients[place], slots, lr)
        return loss, correct

    def _accumulated(
        self, state: TrainingState, x: Tensor, labels: Tensor
    ) -> tuple[Sequence[Tensor], Tensor, Tensor]:
        """Gradients and loss, averaged over the passes, and correct answers; the buffers of ``state`` move with each pass."""
        parts = zip(*(whole.chunk(self._num_passes, self._batch_axis) for whole in (x, labels)), strict=True)
        seen = []
        for part, answers in parts:
            gradients, (loss, (correct, moved)) = self._gradients(
                tuple(state.parameters), tuple(state.buffers), part, answers
            )
            seen.append((gradients, loss, correct))
            with torch.no_grad():
                for buffer, value in zip(state.buffers, moved, strict=True):
                    buffer.copy_(value)
        if len(seen) == 1:
            return seen[0]
        by_pass, losses, counts = zip(*seen, strict=True)
        averaged = [sum(one) / self._num_passes for one in zip(*by_pass, strict=True)]
        return averaged, sum(losses) / self._num_passes, sum(counts)

    def _loss(
        self, parameters: Sequence[Tensor], buffers: Sequence[Tensor], x: Tensor, y: Tensor
    ) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
        moved = [buffer.clone() for buffer in buffers]  # a forward pass moves them in place
        named = dict(zip(self._parameter_names, parameters, strict=True))
        named |= dict(zip(self._buffer_names, moved, strict=True))
        logits = functional_call(self.model, named, (x,))
        return F.cross_entropy(logits, y), ((logits.argmax(1) == y).sum(), moved)


def traced(model: nn.Module, function: Callable[..., Any], tensors: Sequence[Tensor]) -> GraphModule:
    """A ``function`` that calls ``model``, as a graph of tensor operations, which is what one call with ``tensors`` did.

    Raises:
        RuntimeError: a layer keeps count of something outside its buffers, so that the next call would do something else.
    """
    before = _plain_attributes(model)
    graph = make_fx(function, DECOMPOSED)(*tensors)
    written_out(graph)
    after = _plain_attributes(model)
    for name, value in after.items():
        if before.get(name) != value:
            raise RuntimeError(f"{name} changes in every forward pass and is not a buffer, which a graph cannot hold")
    return graph


def _plain_attributes(model: nn.Module) -> dict[str, Any]:
    plain = (bool, int, float, str, tuple, type(None))
    return {
        f"{place}.{name}".lstrip("."): value
        for place, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, plain)
    }


def slot_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What an optimiser remembers of each parameter."""
    if isinstance(optimizer, torch.optim.SGD):
        return ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
    return ("exp_avg", "exp_avg_sq", "step")


def slots_of(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> Slots:
    """The optimiser's own state tensors; where a fresh optimiser has none yet they are made, and are its own from then on."""
    for parameter in parameters:
        held = optimizer.state[parameter]
        for name in slot_names(optimizer):
            if held.get(name) is None:
                held[name] = torch.zeros((), device=parameter.device) if name == "step" else torch.zeros_like(parameter)
    return {name: [optimizer.state[parameter][name] for parameter in parameters] for name in slot_names(optimizer)}


Update = Callable[[Mapping[str, Any], Tensor, Tensor, Mapping[str, Tensor], Tensor], None]


def update_of(optimizer: torch.optim.Optimizer) -> Update:
    """The optimiser's update of one parameter as ``update(group, parameter, gradient, slots, lr)``.

    Shape: ``parameter``, ``gradient`` and slots ``[S, ...]``, ``lr`` and the slot ``step`` ``[S]``; all without S for one run.

    Source: ``torch.optim.SGD``, ``Adam`` (Kingma & Ba 2015, Algorithm 1) and ``AdamW`` (Loshchilov & Hutter 2019, Algorithm 2).
    """
    if isinstance(optimizer, torch.optim.SGD):
        return _sgd
    return partial(_adam, decoupled=isinstance(optimizer, torch.optim.AdamW))


def _sgd(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor
) -> None:
    if group["weight_decay"]:
        gradient = gradient + group["weight_decay"] * parameter
    if group["momentum"]:
        velocity = slots["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
        gradient = gradient + group["momentum"] * velocity if group["nesterov"] else velocity
    parameter.sub_(_beside(lr, parameter) * gradient)


def _adam(
    group: Mapping[str, Any], parameter: Tensor, gradient: Tensor, slots: Mapping[str, Tensor], lr: Tensor,
    decoupled: bool = False,
) -> None:  # fmt: skip
    if decoupled:
        parameter.mul_(1 - _beside(lr, parameter) * group["weight_decay"])
    elif group["weight_decay"]:
        gradient = gradient + group["weight_decay"] * parameter
    beta1, beta2 = group["betas"]
    step = _beside(slots["step"].add_(1), parameter)
    mean = slots["exp_avg"].mul_(beta1).add_(gradient * (1 - beta1))
    square = slots["exp_avg_sq"].mul_(beta2).add_(gradient * gradient * (1 - beta2))
    spread = (square / (1 - beta2**step)).sqrt() + group["eps"]
    parameter.sub_(_beside(lr, parameter) / (1 - beta1**step) * mean / spread)


def _beside(per_run: Tensor, parameter: Tensor) -> Tensor:
    """``[S]`` as ``[S, 1, ...]``, or ``[]`` as ``[1, ...]``, to be multiplied with a parameter."""
    return per_run.view(per_run.shape + (1,) * (parameter.ndim - per_run.ndim))
