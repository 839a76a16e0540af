"""A7. The blog: statistics of a mini-batch are noisy, which mildly regularises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Grid, Measurement, Sample, Tuning, register
from bnexp.claims.runs import Runs, test_points
from bnexp.records.reader import RunRecord
from bnexp.stats.rules import Difference, Scaling
from bnexp.stats.slopes import log_log_slopes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZES = (4, 8, 16, 32, 64, 256)
GHOSTS = (8, 16, 32, 256)
NOISY, CALM = ("16", "32"), "256"
COMPANIES = {"smoke": 50, "quick": 1000, "full": 1000}


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """Variance of an example's normalised value over random companions, for each batch size m; Gaussian features, float64."""
    import torch
    from torch.nn.functional import batch_norm

    from bnexp.rng import torch_stream

    generator = torch_stream(seed, "claims/minibatch_noise")
    draws, num_values = COMPANIES[budget], 50
    watched = torch.randn(num_values, generator=generator, dtype=torch.float64)
    variances = []
    for size in SIZES:
        batches = torch.randn(size, draws * num_values, generator=generator, dtype=torch.float64)
        batches[0] = watched.repeat(draws)  # a column is one draw of companions for one watched value
        normalised = batch_norm(batches, None, None, training=True)[0].view(draws, num_values)
        variances.append(float(normalised.var(dim=0).mean()))
    return {"sizes": np.array(SIZES), "variance": np.array(variances)}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Test accuracy (recomputed statistics, points) of the noisy sizes against the calm one; slope of the noise law."""
    arms = {size: runs.reported(f"norm=ghost norm.ghost_size={size}") for size in map(str, GHOSTS)}
    none = runs.reported("norm=none", grid=1)
    accuracy = {size: [_recomputed_points(record) for record in by_seed.values()] for size, by_seed in arms.items()}
    noisy = np.mean([accuracy[size] for size in NOISY], axis=0)
    variances = np.array([runs.measured(seed)["variance"] for seed in runs.seeds()])
    slopes = log_log_slopes(SIZES[2:], variances[:, 2:])
    return Evidence(
        samples={
            "regularises": Sample.of(noisy, base=accuracy[CALM]),
            "noise law": Sample.of(slopes),
        },
        numbers={f"ghost size {size}": f"{np.mean(points):.2f} %" for size, points in accuracy.items()}
        | {"no norm": f"{np.mean([_recomputed_points(record) for record in none.values()]):.2f} %"},
        data={"accuracy": accuracy, "variances": variances},
    )


def _recomputed_points(record: RunRecord) -> float:
    """Test accuracy in points with recomputed statistics; with those of training where there are no others to recompute."""
    recomputed = record.end["test"] and record.end["test"]["recomputed_accuracy"]
    return test_points(record) if recomputed is None else 100 * recomputed


def draw(evidence: Evidence, figure: Figure) -> None:
    """Left the noise against the batch size with the predicted slope; right the accuracy, one point per seed."""
    left, right = figure.subplots(1, 2)
    sizes = np.array(SIZES)
    variances = evidence.data["variances"]
    left.loglog(sizes, variances.T, "o", color="#0072B2", markersize=4)
    left.loglog(
        sizes, variances.mean(axis=0)[-1] * sizes[-1] / sizes, color="#D55E00", linestyle="--", label="slope -1"
    )
    left.set(xlabel="examples per statistic, m", ylabel="variance over companions")
    left.legend()
    for place, (_, points) in enumerate(evidence.data["accuracy"].items()):
        right.plot(np.full(len(points), place), points, "o", color="#0072B2", markersize=4, alpha=0.7)
        right.plot([place - 0.2, place + 0.2], [np.mean(points)] * 2, color="#000000")
    right.set_xticks(range(len(evidence.data["accuracy"])), list(evidence.data["accuracy"]))
    right.set(xlabel="examples per statistic, m", ylabel="test accuracy, %")


_SHARED = (
    "model=mlp",
    "model.activation=relu",
    "model.init=he",
    "model.init_scale=1",
    "optimizer.momentum=0",
    "train.batch_size=256",
    "probes=none",
)
_BUDGETS = {
    "smoke": ("dataset=mnist_5k", "dataset.train_examples=2000", "train.steps=30", "train.eval_every=10"),
    "quick": ("dataset=mnist_5k", "dataset.train_examples=2000", "train.steps=800", "train.eval_every=100"),
    "full": ("dataset=mnist", "dataset.train_examples=5000", "train.steps=3000", "train.eval_every=250"),
}
_TUNING = Tuning(key="optimizer.lr", values=(0.03, 0.1, 0.3, 1.0))

CLAIM = register(
    Claim(
        id="minibatch_noise",
        section="A7",
        statement="The noise of mini-batch statistics mildly regularises.",
        source="the blog post; Ioffe & Szegedy 2015, 3.4; Luo et al. 2019",
        disputed_by="Wu & Johnson 2021 and De & Smith 2020, in part: it helps mainly through the learning rate",
        formula="test accuracy with statistics over 16 or 32 examples (mean of the two) minus over all 256, at one SGD batch of "
        "256; noise law: slope of the log variance of an example's normalised value over random companions on log m, m >= 16",
        grids=(
            Grid(
                overrides=_SHARED,
                vary={"norm": ("ghost",), "norm.ghost_size": GHOSTS},
                tuning=_TUNING,
                budgets=_BUDGETS,
                num_seeds={"quick": 12, "full": 12},
            ),
            Grid(
                overrides=_SHARED,
                vary={"norm": ("none",)},
                tuning=_TUNING,
                budgets=_BUDGETS,
                num_seeds={"quick": 12, "full": 12},
            ),
        ),
        measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 8}),
        endpoints={
            "regularises": Endpoint("mean difference of test accuracy, points", Difference(null=0, smallest=0.2)),
            "noise law": Endpoint("slope of log variance on log m", Scaling(predicted=-1, rival=-0.5, within=0.1)),
        },
        caveats=(
            "Few training examples, so that there is something to regularise; the SGD batch, and with it gradient noise and "
            "number of updates, is the same in all arms.",
            "Evaluated with recomputed statistics, or small m would be punished for a mismatch between training and evaluation "
            "(docs/claims.md, J2).",
        ),
        deviations=("The calm arm has statistics over the SGD batch of 256, not over the whole training set.",),
        overturn="More data, another net or another calm arm: bnexp train norm=ghost norm.ghost_size=... train.batch_size=256",
        analyse=analyse,
        draw=draw,
    )
)
