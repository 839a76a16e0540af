"""B4. The paper's warning (section 2): with the mean kept out of the gradient a bias before it grows while nothing else changes.

x = u + b enters a layer that subtracts its batch mean, y = x - E[x], which b cannot change. A gradient that takes E[x] for a
constant sees dL/db = mean(dL/dy) all the same, which stays what it is because y does: b(t) = -lr t mean(dL/dy), for ever. Through
the mean the same derivative is 0.

Legend: N batch, K cases (features, each with its own data, loss and rate), T steps, P looks, L layers, S seeds of the net.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, register
from bnexp.claims.exact import ONCE, says
from bnexp.claims.runs import all_measured
from bnexp.figures.arms import draw_series
from bnexp.figures.style import COLORS
from bnexp.rng import numpy_stream
from bnexp.stats.gates import Gate
from bnexp.stats.rules import Exact
from bnexp.stats.slopes import log_log_slopes

#: Cases a batch size, and steps.
NUM_CASES = {"smoke": 30, "quick": 50, "full": 250}
NUM_STEPS = {"smoke": 50, "quick": 2000, "full": 2000}
BATCH_SIZES = (4, 16, 64, 256)

#: The net: steps and seeds; its norms hide the mean, or the variance as the control, whose biases have no gradient.
NET_STEPS = {"smoke": 10, "quick": 500, "full": 3000}
NET_SEEDS = {"smoke": 1, "quick": 3, "full": 8}
NET_ARMS = {"mean hidden": "mean", "mean in the gradient": "variance"}
NET = (
    "dataset=mnist_5k", "model=mlp", "norm=detached", "optimizer.momentum=0", "optimizer.lr=0.5", "probes=none", "device=cpu",
    "threads=1",
)  # fmt: skip

#: Of one case in a hundred or so the gradients of the batch cancel.
PULLS = "the loss pulls at the mean of the batch, in at least 7 of 8 cases"


def measure(seed: int, budget: str) -> dict[str, np.ndarray]:
    """Of each case what went wrong and what its bias did, ``[K]`` and ``[K, P]``; and of the nets ``[arms, S, P, L]``."""
    rng, num_steps = numpy_stream(seed, "growing_bias"), NUM_STEPS[budget]
    groups = [_descend(size, NUM_CASES[budget], num_steps, rng) for size in BATCH_SIZES]
    found = {name: np.concatenate([group[name] for group in groups]) for name in groups[0]}
    looks = np.unique(np.geomspace(1, NET_STEPS[budget], 12).astype(int))
    nets = [[_net(one, detach, looks) for one in range(NET_SEEDS[budget])] for detach in NET_ARMS.values()]
    return {**found, "net steps": looks, "net bias": np.array(nets)}


def _descend(batch_size: int, num_cases: int, num_steps: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Gradient descent on biases alone, in float64, with the mean hidden from the gradient and with it inside."""
    import torch
    from torch.nn import functional as F  # noqa: N812 - torch's own name for it

    half, shape = num_cases // 2, (batch_size, num_cases)
    hidden_2 = torch.tensor([True, False]).view(2, 1, 1)
    u = torch.from_numpy(rng.normal(0, 1, shape))
    offset = rng.choice([-1, 1], num_cases) * rng.uniform(0.2, 1, num_cases)
    target = torch.from_numpy(rng.normal(0, 1, shape) + offset)
    share = rng.uniform(0.6, 0.95, num_cases)
    sign = torch.from_numpy(np.where(np.arange(batch_size)[:, None] < np.ceil(share * batch_size), 1.0, -1.0))
    rate = torch.from_numpy(10 ** rng.uniform(-2, 0, num_cases))

    def losses(y: Any) -> Any:
        squared, logistic = (y - target).square() / 2, F.softplus(-sign * y)
        return torch.cat([squared[..., :half], logistic[..., half:]], dim=-1).mean(-2)

    bias_2K, biases, values = torch.zeros(2, num_cases, dtype=torch.float64), [], []
    for _ in range(num_steps + 1):
        b = bias_2K.clone().requires_grad_()
        x = u + b[:, None]
        mean = x.mean(1, keepdim=True)
        loss = losses(x - torch.where(hidden_2, mean.detach(), mean))
        (gradient,) = torch.autograd.grad(loss.sum(), b)
        biases.append(bias_2K.numpy())
        values.append(loss.detach().numpy())
        bias_2K = bias_2K - rate * gradient
    bias_TK, correct_TK = np.array(biases).swapaxes(0, 1)
    loss_TK = np.array(values)[:, 0]
    y = u - u.mean(0)
    slopes = torch.cat([(y - target)[:, :half], (-sign * torch.sigmoid(-sign * y))[:, half:]], dim=1)
    mean_gradient_K = slopes.mean(0).numpy()
    correlation_K = np.array([np.corrcoef(bias_T, np.arange(num_steps + 1))[0, 1] for bias_T in bias_TK.T])
    return {
        "1 - R^2": 1 - correlation_K**2,
        "slope": np.abs(bias_TK[-1] / (-num_steps * rate.numpy() * mean_gradient_K) - 1),
        "loss": np.abs(loss_TK - loss_TK[0]).max(0),
        "correct": np.abs(correct_TK).max(0),
        "growth": np.abs(bias_TK[-1]),
        "mean gradient": np.abs(mean_gradient_K),
    }


def _net(seed: int, detach: str, looks: np.ndarray) -> list[list[float]]:
    """Mean |b| over the units of each hidden layer after these steps of training, ``[P, L]``."""
    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    experiment = build(compose([*NET, f"norm.detach={detach}", f"seed={seed}"]))
    biases = [p for name, p in experiment.model.named_parameters() if name.endswith("linear.bias")]
    start, seen = [b.detach().clone() for b in biases], []
    experiment.model.train()
    for step in range(1, int(looks[-1]) + 1):
        batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
        train_step(experiment.model, experiment.optimizer, *batch)
        if step in looks:
            seen.append([float((b.detach() - first).abs().mean()) for b, first in zip(biases, start, strict=True)])
    return seen


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """The errors of every case, and how the biases of the nets grow."""
    found = all_measured(runs)
    net, steps_P = found["net bias"], found["net steps"]
    late = steps_P >= steps_P[-1] / 20
    exponents = [log_log_slopes(steps_P[late], net[0, :, late, layer].T).mean() for layer in range(net.shape[-1])]
    ends = net[:, :, -1].mean(1)
    return Evidence(
        samples={
            "linear": Sample.of(found["1 - R^2"]),
            "slope": Sample.of(found["slope"]),
            "loss": Sample.of(found["loss"]),
            "correct gradient": Sample.of(found["correct"]),
        },
        gates={PULLS: Gate.most(found["mean gradient"] > 0.01)},
        numbers={
            "the bias after the last step": f"{np.median(found['growth']):.3g} (median; {found['growth'].min():.2g} to "
            f"{found['growth'].max():.3g}), in sd of what it is added to",
            f"the same in a sigmoid net, mean |change of b| by layer after {steps_P[-1]:,} steps of training": ", ".join(
                f"{value:.3g}" for value in ends[0]
            )
            + f" (through the mean {ends[1].max():.1g})",
            "exponent of that in the number of steps, by layer (1 is a steady pull, 1/2 a random walk)": ", ".join(
                f"{value:.2f}" for value in exponents
            ),
        },
        data={"growth": found["growth"], "largest": _largest(found), "steps": steps_P, "net": net},
    )


def _largest(found: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(found[name].max()) for name in ("loss", "correct")}


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left, the bias of every case after the last step, and the largest changes of the loss and of a bias with the right gradient;
    right, inside a net the mean change of the biases of each layer, median and range over seeds; dashed, a steady pull.
    """
    figure.set_size_inches(8.6, 3.6)
    left, right = figure.subplots(1, 2)
    growth, largest = np.asarray(evidence.data["growth"]), evidence.data["largest"]
    rows = {
        "change of the bias,\nmean hidden": (growth, COLORS["none"], "s"),
        "change of the bias,\nmean in the gradient": (np.array([largest["correct"]]), COLORS["batch"], "o"),
        "change of the loss,\nmean hidden": (np.array([largest["loss"]]), "#555555", "^"),
    }
    for row, (values, color, marker) in enumerate(reversed(rows.values())):
        places = row + np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [row]
        size = 3 if len(values) > 1 else 8
        left.plot(np.maximum(values, 1e-17), places, marker, color=color, markersize=size, alpha=0.7)
    left.set_yticks(range(len(rows)), list(reversed(rows)))
    left.set(xscale="log", ylim=(-0.6, len(rows) - 0.4), xlim=(1e-17, 1e4))
    left.set_xlabel("change (of the lower two, the largest of all cases)")
    net, steps = np.asarray(evidence.data["net"]), np.asarray(evidence.data["steps"])
    series = {f"mean hidden, layer {layer + 1}": net[0, :, :, layer] for layer in range(net.shape[-1])}
    theory = {"a steady pull (exponent 1)": np.median(net[0, :, -1, -1]) * steps / steps[-1]}
    words = {"xlabel": "steps of training a sigmoid net", "ylabel": "mean |change of b| in a layer"}
    draw_series(steps, series, right, theory=theory, **words)
    right.set(xscale="log", yscale="log")
    left.set_title("Exact: the bias runs away, the loss stays")


CLAIM = register(Claim(
    id="growing_bias", section="B4",
    statement="If the mean is kept out of the gradient, a bias before it grows without bound while the loss stays where it is.",
    source="Ioffe & Szegedy 2015, section 2 (an argument; no experiment shown)",
    formula="gradient descent on b alone, x = u + b, y = x - E[x], half of the cases with a squared and half with a logistic "
    "loss of y: 1 - R^2 of b(t) on t, |b(T) / (-lr T mean(dL/dy)) - 1|, max |L(t) - L(0)|, and max |b(t) - b(0)| where the "
    "gradient goes through E[x]",
    measurement=Measurement(measure=measure, num_seeds=ONCE),
    endpoints={
        "linear": Endpoint("1 - R^2 of a straight line through the bias over the steps, every case", Exact(tolerance=1e-3)),
        "slope": Endpoint("relative error of the bias after the last step against -lr T mean(dL/dy)", Exact(tolerance=1e-9)),
        "loss": Endpoint("largest change of the loss at any step, every case", Exact(tolerance=1e-10)),
        "correct gradient": Endpoint("largest change of the bias where the gradient goes through the mean",
                                     Exact(tolerance=1e-12)),
    },
    gates=(PULLS,),
    caveats=(
        "b alone is trained, and the loss is of one layer that pulls at the mean of its outputs. In a whole net other layers can "
        "still that pull (an output layer with a bias of its own does), and b then walks at random and slowly; how much it grows "
        "in a sigmoid net of digits is a number here and is not judged.",
        "It says what a wrong gradient does. Frameworks' BN has the right one.",
    ),
    overturn="a case in float64 in which the bias does not follow -lr t mean(dL/dy), or in which the loss moves by 1e-10",
    deviations=("The sheet's toy has one case; here there are 200 with random data, losses, rates and batch sizes.",),
    analyse=analyse, draw=draw,
    say=says("a bias before a mean that the gradient does not see grows along a straight line while the loss stays", "cases"),
))  # fmt: skip
