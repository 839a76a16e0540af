"""The same training step as one compiled graph: forward, backward and update, in place on the same model and optimiser.

``step.py`` stays the definition and is this one's test; what cannot be compiled runs there, with a reason.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn import functional as F  # noqa: N812 - torch's own name for it
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from bnexp.engine.build import Experiment
from bnexp.engine.step import train_step
from bnexp.engine.stopwatch import Stopwatch
from bnexp.norms.factory import NORMS

#: ``execution.compile=auto`` compiles from this many steps on: compiling takes some 10 s (2 s once cached on disk), and a step of
#: the paper's network then saves about 0.2 to 0.3 ms.
WORTH_COMPILING = 100_000

Advance = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
State = dict[str, list[Tensor]]


def pick_step(experiment: Experiment, watch: Stopwatch) -> Advance:
    """The step a run uses: compiled where it is asked for or pays, else eager. Compiling counts as ``compile``, not as training."""
    config = experiment.config
    eager = partial(train_step, experiment.model, experiment.optimizer)
    wanted = config.execution.compile
    if wanted == "off" or (wanted == "auto" and config.train.steps < WORTH_COMPILING):
        return eager
    if NORMS[config.norm.name].uses_noise:
        return _tell_eager(
            eager, f"norm={config.norm.name} draws from a generator of its own, which a graph cannot hold"
        )
    compiled = CompiledStep(experiment.model, experiment.optimizer)
    x, y = experiment.prepare(experiment.train.images[:1]), experiment.train.labels[:1]
    size = config.train.batch_size
    try:
        with watch.aside("compile"):
            compiled.warm_up(x.expand(size, *x.shape[1:]).contiguous(), y.expand(size).contiguous())
    except Exception as error:  # whatever stops a compiler on this machine must not stop the run
        return _tell_eager(eager, f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
    return compiled


def _tell_eager(eager: Advance, reason: str) -> Advance:
    print(f"not compiled, running eagerly: {reason}", file=sys.stderr)
    return eager


class CompiledStep:
    """A callable ``(x, y) -> (loss, correct)`` that does what :func:`bnexp.engine.step.train_step` does.

    The model's parameters and buffers and the optimiser's state are changed in place, so checkpoints, probes and evaluation see
    the same objects as with the eager step. Equal to it up to rounding (tested for every norm, model and optimiser).

    Args:
        model: any model of the registry.
        optimizer: SGD, Adam or AdamW of ``torch.optim``; missing state is created as the optimiser itself would.
        backend: of ``torch.compile``.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, backend: str = "inductor") -> None:
        self._optimizer = optimizer
        self._parameter_names = [name for name, p in model.named_parameters() if p.requires_grad]
        self._parameters = [p.detach() for p in model.parameters() if p.requires_grad]
        self._buffer_names = [name for name, _ in model.named_buffers()]
        self._buffers = [buffer for _, buffer in model.named_buffers()]
        by_identity = {id(p): place for place, p in enumerate(p for p in model.parameters() if p.requires_grad)}
        self._groups = [[by_identity[id(p)] for p in group["params"]] for group in optimizer.param_groups]
        self._state = _optimizer_state(optimizer, [p for p in model.parameters() if p.requires_grad])
        self._lr = torch.zeros((), device=self._parameters[0].device)
        self._model = model
        torch.compiler.reset()  # one run at a time: or the graphs of earlier runs in this process count against dynamo's limit
        self._graph = torch.compile(self._step, fullgraph=True, dynamic=False, backend=backend)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: x ``[B, C, H, W]`` float32, y ``[B]`` int64; loss and number of correct answers are ``[]``."""
        self._lr.fill_(self._optimizer.param_groups[0]["lr"])
        return self._graph(self._parameters, self._buffers, self._state, self._lr, x, y)

    def warm_up(self, x: Tensor, y: Tensor) -> None:
        """Compile for this shape of batch and leave everything as it was."""
        touched = [*self._parameters, *self._buffers, *(tensor for row in self._state.values() for tensor in row)]
        before = [tensor.clone() for tensor in touched]
        try:
            self(x, y)
        finally:
            for tensor, value in zip(touched, before, strict=True):
                tensor.copy_(value)

    def _step(
        self, parameters: list[Tensor], buffers: list[Tensor], state: State, lr: Tensor, x: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor]:
        def loss_of(candidates: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
            moved = [buffer.clone() for buffer in buffers]
            named = dict(zip(self._parameter_names, candidates, strict=True))
            named |= dict(zip(self._buffer_names, moved, strict=True))
            logits = functional_call(self._model, named, (x,))
            return F.cross_entropy(logits, y), ((logits.argmax(1) == y).sum(), moved)

        gradients, (loss, (correct, moved)) = grad_and_value(loss_of, has_aux=True)(tuple(parameters))
        with torch.no_grad():
            for buffer, value in zip(buffers, moved, strict=True):
                buffer.copy_(value)
            for group, places in zip(self._optimizer.param_groups, self._groups, strict=True):
                chosen = {name: [row[place] for place in places] for name, row in state.items()}
                _update(
                    self._optimizer, group, [parameters[i] for i in places], [gradients[i] for i in places], chosen, lr
                )
        return loss, correct


def _optimizer_state(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> State:
    """The optimiser's own state tensors by name, made where a fresh optimiser has none yet."""
    names = _state_names(optimizer)
    for parameter in parameters:
        held = optimizer.state[parameter]
        for name in names:
            if held.get(name) is None:
                held[name] = torch.zeros((), device=parameter.device) if name == "step" else torch.zeros_like(parameter)
    return {name: [optimizer.state[parameter][name] for parameter in parameters] for name in names}


def _state_names(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    if isinstance(optimizer, torch.optim.SGD):
        return ("momentum_buffer",) if optimizer.param_groups[0]["momentum"] else ()
    return ("exp_avg", "exp_avg_sq", "step")


def _update(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor],
    state: State, lr: Tensor,
) -> None:  # fmt: skip
    """torch.optim's own functional update, in place."""
    plain: dict[str, Any] = {"foreach": False, "fused": False, "maximize": False, "weight_decay": group["weight_decay"]}
    if isinstance(optimizer, torch.optim.SGD):
        momenta: list[Any] = state.get("momentum_buffer") or [None] * len(parameters)
        shape = {"momentum": group["momentum"], "nesterov": group["nesterov"], "dampening": 0.0}
        sgd(parameters, gradients, momenta, has_sparse_grad=False, lr=lr, **shape, **plain)
        return
    update = adamw if isinstance(optimizer, torch.optim.AdamW) else adam
    beta1, beta2 = group["betas"]
    shape = {"beta1": beta1, "beta2": beta2, "eps": group["eps"], "amsgrad": False}
    update(
        parameters, gradients, state["exp_avg"], state["exp_avg_sq"], [], state["step"], capturable=False, lr=lr, **shape, **plain
    )  # fmt: skip
