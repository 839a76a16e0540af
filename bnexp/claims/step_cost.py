"""N1. About ourselves: a training step with BN takes longer, so a speed-up in steps is less of one in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Measurement, Sample, register
from bnexp.claims.runs import Runs
from bnexp.figures.style import COLORS
from bnexp.stats.rules import Difference

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NORMS = ("none", "batch", "layer", "reference")
STEPS = {"smoke": 20, "quick": 500, "full": 1000}
ROUND = 20


def measure(seed: int, budget: str) -> Mapping[str, np.ndarray]:
    """Milliseconds per step of the paper's net with each norm, in interleaved rounds of ``ROUND`` steps, one thread, warm."""
    import time

    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    overrides = ("probes=none", "device=cpu", "threads=1", "optimizer.momentum=0", f"seed={seed}")
    experiments = {norm: build(compose([f"norm={norm}", *overrides])) for norm in NORMS}
    rounds: dict[str, list[float]] = {norm: [] for norm in NORMS}
    for _ in range(STEPS[budget] // ROUND + 1):
        for norm, experiment in experiments.items():
            start = time.perf_counter()
            for _ in range(ROUND):
                batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
                train_step(experiment.model, experiment.optimizer, *batch)
            rounds[norm].append(1e3 * (time.perf_counter() - start) / ROUND)
    return {norm: np.array(times[1:]) for norm, times in rounds.items()}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:  # noqa: ARG001 - nothing random here
    """Per repetition the median step time with a norm over that without."""
    medians = {norm: tuple(float(np.median(runs.measured(seed)[norm])) for seed in runs.seeds()) for norm in NORMS}
    ratios = {norm: np.array(medians[norm]) / np.array(medians["none"]) for norm in NORMS}
    return Evidence(
        samples={"batch": Sample.of(medians["none"], base=medians["batch"])},
        numbers={f"norm={norm}": f"{np.median(ratio):.2f} times a step without" for norm, ratio in ratios.items()},
        data={"ratios": ratios},
        notes=(
            "Milliseconds depend on the machine and on what else it does; only ratios within a repetition are reported.",
        ),
    )


def draw(evidence: Evidence, figure: Figure) -> None:
    """Step time relative to a net without norm, one point per repetition."""
    axes = figure.subplots()
    for place, (norm, ratio) in enumerate(evidence.data["ratios"].items()):
        axes.plot(np.full(len(ratio), place), ratio, "o", color=COLORS.get(norm, "#009E73"), markersize=5, alpha=0.7)
    axes.axhline(1, color="#333333", linewidth=0.8)
    axes.set_xticks(range(len(NORMS)), NORMS)
    axes.set(ylabel="time of a step, relative to no norm", ylim=(0, None))


CLAIM = register(
    Claim(
        id="step_cost",
        section="N1",
        statement="A training step with batch normalisation takes longer than one without.",
        source="ours: every speed-up in steps has to be read with it",
        disputed_by="",
        formula="median step time with BN over that without, interleaved rounds on one thread; paired within a repetition",
        measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 8, "full": 8}, parallel=False),
        endpoints={
            "batch": Endpoint(
                "geometric-mean ratio of step times, batch over none", Difference(null=1, smallest=1.05, scale="ratio")
            )
        },
        caveats=(
            "The paper's small net on a CPU, eager PyTorch: the share is smaller on large layers and fused kernels.",
        ),
        overturn="Another machine, model or device: bnexp reproduce step_cost",
        analyse=analyse,
        draw=draw,
    )
)
