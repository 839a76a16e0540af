"""The same training in JAX: one compiled ``lax.scan`` over the steps of a turn, plain or vmapped over seeds.

Convolutions inside a scan take XLA some fifteen times as long on a CPU as outside (JAX 0.10), so the convolutional net's compiled
step is called once a step. Data are bytes in memory, gathered and standardised inside the program; losses and counts of all steps
are collected.

Legend: N examples, T steps, B batch, S seeds, H W space, C channels.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmark.images import MEAN, SD, load_images
from benchmark.job import LEARNING_RATE, Job, Took, Unavailable

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

#: As torch's.
EPS, MOMENTUM = 1e-5, 0.1

#: Inputs and outputs of layers; ``pool`` between convolutions.
MLP = ((784, 100), (100, 100), (100, 100))
CNN = ((3, 16), (16, 16), "pool", (16, 32), (32, 32), "pool", (32, 64))

Tree = Any
Step = Callable[[Tree, Any], tuple[Tree, Any]]


def one_run(job: Job, took: Took) -> None:
    """One seed."""
    _train(job, took, seeds=None)


def stacked_runs(job: Job, took: Took) -> None:
    """``job.seeds`` seeds, each with its own weights and batches, vectorised."""
    _train(job, took, job.seeds)


def _train(job: Job, took: Took, seeds: int | None) -> None:
    if jax is None:
        raise Unavailable("jax is not installed")
    images = load_images(job)
    x_NHWC = jnp.asarray(images.images.permute(0, 2, 3, 1).numpy())
    y_N = jnp.asarray(images.labels.numpy())
    rng = np.random.default_rng(job.seed)
    states = [initial(job, rng) for _ in range(seeds or 1)]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states) if seeds else states[0]
    step = one_step(job, x_NHWC, y_N)
    advance = over_steps(step, seeds is not None) if job.network == "mlp" else step_by_step(step)
    for _ in range(job.turns):
        start = time.perf_counter()
        orders = np.stack([_order(rng, len(y_N), job) for _ in range(seeds or 1)])
        state, collected = advance(state, orders if seeds else orders[0])
        jax.block_until_ready((state, collected))
        took(time.perf_counter() - start)


def _order(rng: np.random.Generator, num_examples: int, job: Job) -> np.ndarray:
    """The indices of a turn ``[T, B]``: one permutation an epoch."""
    per_epoch = num_examples // job.batch_size
    epochs = [rng.permutation(num_examples)[: per_epoch * job.batch_size] for _ in range(-(-job.steps // per_epoch))]
    return np.concatenate(epochs).reshape(-1, job.batch_size)[: job.steps]


def initial(job: Job, rng: np.random.Generator) -> tuple[Tree, Tree]:
    """Parameters and running statistics."""
    sizes = [layer for layer in (MLP if job.network == "mlp" else CNN) if layer != "pool"]
    kernel = () if job.network == "mlp" else (3, 3)
    parameters, statistics = [], []
    for inputs, outputs in [*sizes, (sizes[-1][1], 10)]:
        last = len(parameters) == len(sizes)
        shape = (inputs, outputs) if last else (*kernel, inputs, outputs)
        weight = rng.normal(0, 1 / np.sqrt(np.prod(shape[:-1])), shape).astype(np.float32)
        layer = {"weight": jnp.asarray(weight), "shift": jnp.zeros(outputs)}
        if job.norm == "batch" and not last:
            layer["scale"] = jnp.ones(outputs)
            statistics.append({"mean": jnp.zeros(outputs), "variance": jnp.ones(outputs)})
        parameters.append(layer)
    return parameters, statistics


def one_step(job: Job, x_NHWC: Any, y_N: Any) -> Step:
    """``step(state, indices [B]) -> (state, (loss, correct))``."""

    def loss_of(parameters: Tree, statistics: Tree, indices_B: Any) -> Any:
        x = (x_NHWC[indices_B].astype(jnp.float32) / 255 - MEAN) / SD
        logits, moved = (_mlp if job.network == "mlp" else _cnn)(parameters, statistics, x)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y_N[indices_B][:, None], 1)
        return -picked.mean(), (moved, (logits.argmax(1) == y_N[indices_B]).sum())

    def step(state: Tree, indices_B: Any) -> tuple[Tree, Any]:
        parameters, statistics = state
        (loss, (moved, correct)), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            parameters, statistics, indices_B
        )
        parameters = jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradients)
        return (parameters, moved), (loss, correct)

    return step


def over_steps(step: Step, vmapped: bool) -> Step:
    """``advance(state, indices [T, B]) -> (state, (losses [T], correct [T]))`` as one program; vmapped, all with S in front."""

    def advance(state: Tree, indices_TB: Any) -> tuple[Tree, Any]:
        return jax.lax.scan(step, state, indices_TB)

    return jax.jit(jax.vmap(advance) if vmapped else advance, donate_argnums=0)


def step_by_step(step: Step) -> Step:
    """The same with one program a step, for one seed; what it collects stays on the device."""
    compiled = jax.jit(step, donate_argnums=0)

    def advance(state: Tree, indices_TB: Any) -> tuple[Tree, Any]:
        collected = []
        for indices_B in indices_TB:
            state, numbers = compiled(state, indices_B)
            collected.append(numbers)
        return state, collected

    return advance


def _mlp(parameters: Tree, statistics: Tree, x: Any) -> tuple[Any, Tree]:
    moved = []
    x = x.reshape(len(x), -1)
    for place, layer in enumerate(parameters[:-1]):
        x = x @ layer["weight"]
        x = _normalize(layer, statistics[place], x, moved) if statistics else x + layer["shift"]
        x = jax.nn.sigmoid(x)
    return x @ parameters[-1]["weight"] + parameters[-1]["shift"], moved


def _cnn(parameters: Tree, statistics: Tree, x: Any) -> tuple[Any, Tree]:
    moved: Tree = []
    place = 0
    for kind in CNN:
        if kind == "pool":
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            continue
        layer = parameters[place]
        x = jax.lax.conv_general_dilated(x, layer["weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = _normalize(layer, statistics[place], x, moved) if statistics else x + layer["shift"]
        x, place = jax.nn.relu(x), place + 1
    return x.mean((1, 2)) @ parameters[-1]["weight"] + parameters[-1]["shift"], moved


def _normalize(layer: Tree, running: Tree, x: Any, moved: list[Tree]) -> Any:
    """Batch normalisation by the biased (1/m) variance; the running one is Bessel's (1/(m-1)), as torch's."""
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    count = x.size // x.shape[-1]
    seen = {"mean": mean, "variance": variance * count / (count - 1)}
    moved.append({name: jax.lax.stop_gradient(running[name] * (1 - MOMENTUM) + seen[name] * MOMENTUM) for name in seen})
    return (x - mean) * jax.lax.rsqrt(variance + EPS) * layer["scale"] + layer["shift"]
