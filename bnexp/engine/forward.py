"""What a run's evaluations go through: the network, or where they are many, a convolutional one as one graph.

In the graph the normalisation and the nonlinearity after a convolution are one pass over its maps.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor

from bnexp.engine.build import Experiment
from bnexp.engine.device import is_convolutional
from bnexp.engine.evaluate import evaluation_batch
from bnexp.engine.journal import Stopwatch
from bnexp.engine.kernels import first_line
from bnexp.engine.step import reason_for_eager, say_once
from bnexp.schedule import WORTH_FUSING_EVALUATION

Forward = Callable[[Tensor], Tensor]


def pick_forward(experiment: Experiment, evaluations: int, watch: Stopwatch) -> Forward:
    """What the validation batches of a run that is evaluated so many times go through, in eval mode."""
    if not wants_fused(experiment, evaluations):
        return experiment.model
    with watch.aside("compile"):
        try:
            return fused_forward(experiment)
        except Exception as error:  # whatever stops a compiler on this machine must not stop the run
            say_once(f"evaluated layer by layer: {first_line(error)}")
            return experiment.model


def wants_fused(experiment: Experiment, evaluations: int) -> bool:
    """Whether the forward pass of such a run should be one graph: of a convolutional net on a CPU with enough to evaluate.

    A net that normalises by an evaluation's batches (``norm.track=false``) sees them in other sizes. A fully connected one is
    products, which oneDNN makes (:func:`~bnexp.engine.kernels.fast_inference`), and on a GPU batches are so large that launches
    do not count.
    """
    config = experiment.config
    enough = evaluations * len(experiment.validation) >= WORTH_FUSING_EVALUATION
    can = config.execution.compile != "off" and config.norm.track and not reason_for_eager(config)
    return can and enough and not experiment.train.labels.is_cuda and is_convolutional(experiment.model)


def fused_forward(experiment: Experiment) -> Forward:
    """The model's forward pass in eval mode as one graph, for batches of ``evaluation_batch``; others go through the model.

    It reads the model's parameters and buffers as they are at each call.

    Raises:
        RuntimeError: it does not compute what the model does.
        Exception: whatever keeps a graph from being traced or compiled.
    """
    from torch.func import functional_call  # these take a while to import, and most runs do without

    from bnexp.engine.graph import made_once, structure, traced
    from bnexp.engine.inductor import fused

    model, images = experiment.model, experiment.validation.images
    size = min(evaluation_batch(model, images.device), len(images))
    names = [name for name, _ in (*model.named_parameters(), *model.named_buffers())]

    def state() -> list[Tensor]:
        return [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]

    def make() -> Callable[..., Tensor]:
        net = deepcopy(model).eval()

        def flat(*given: Tensor) -> Tensor:
            return functional_call(net, dict(zip(names, given, strict=False)), (given[-1],))

        return fused(traced(net, flat, tensors), tensors)

    with torch.no_grad():
        x = experiment.prepare(images[:size])
        tensors = [*state(), x]
        graph = made_once((*structure(experiment), "forward", size), make)
        was_training = model.training
        expected = model.eval()(x)
        model.train(was_training)
        if not torch.allclose(graph(*tensors), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()), equal_nan=True):
            raise RuntimeError("the compiled network computes something else than the network")
    return lambda x: graph(*state(), x) if len(x) == size else model(x)
