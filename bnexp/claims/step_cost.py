"""N1. About ourselves: a training step with BN takes longer, so a speed-up in steps is less of one in seconds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnexp.claims.base import Claim, Endpoint, Evidence, Figure, Measurement, Runs, Sample, Verdicts, register
from bnexp.claims.paper import CONTROL, SUBJECT
from bnexp.claims.runs import stacked
from bnexp.figures.style import COLORS
from bnexp.stats.rules import Difference

#: Arm to its layer; ``{control}`` and ``{subject}`` are the claim's. The last two are there to compare with.
ARMS = {CONTROL: "{control}", SUBJECT: "{subject}", "layer norm": "norm=layer", "BN in plain code": "norm=reference"}
#: What the figure and the numbers call them.
WORDS = {CONTROL: "no norm", SUBJECT: "BN"}
STEPS = {"smoke": 20, "quick": 300, "full": 1000}
ROUND = 20


def measure(seed: int, budget: str, control: str, subject: str, overrides: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """Milliseconds per step of the paper's net with each norm, in interleaved rounds of ``ROUND`` steps, one thread, warm."""
    import time

    from bnexp.config.compose import compose
    from bnexp.engine.build import build
    from bnexp.engine.step import train_step

    shared = ("probes=none", "device=cpu", "threads=1", "optimizer.momentum=0", f"seed={seed}")
    experiments = {
        arm: build(compose([*shared, *words.format(control=control, subject=subject).split(), *overrides]))
        for arm, words in ARMS.items()
    }
    rounds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for _ in range(STEPS[budget] // ROUND + 1):
        for arm, experiment in experiments.items():
            start = time.perf_counter()
            for _ in range(ROUND):
                batch = experiment.training_batch(experiment.batches.next(), experiment.augmentation)
                train_step(experiment.model, experiment.optimizer, *batch)
            rounds[arm].append(1e3 * (time.perf_counter() - start) / ROUND)
    return {arm: np.array(times[1:]) for arm, times in rounds.items()}


def analyse(runs: Runs, rng: np.random.Generator) -> Evidence:
    """Per repetition the median step time with a norm over that without."""
    medians = {arm: np.median(stacked(runs, arm), axis=1) for arm in ARMS}
    ratios = {arm: times / medians[CONTROL] for arm, times in medians.items()}
    return Evidence(
        samples={"step time": Sample.of(medians[CONTROL], base=medians[SUBJECT])},
        numbers={
            f"{WORDS.get(arm, arm)}, milliseconds a step": f"{np.median(medians[arm]):.3f} "
            f"({medians[arm].min():.3f} to {medians[arm].max():.3f}), {np.median(ratios[arm]):.2f} times a step without"
            for arm in ARMS
        },
        data={"ratios": ratios, "milliseconds": {arm: float(np.median(times)) for arm, times in medians.items()}},
        notes=(
            "Milliseconds are those of this machine with whatever else it did, without compiling; of several repetitions on one "
            "machine nothing follows for another one.",
        ),
    )


def say(evidence: Evidence, verdicts: Verdicts) -> str:
    """The ratio, what it means for speed in seconds, and the milliseconds behind it."""
    effect, times = verdicts["step time"].interval, evidence.data["milliseconds"]
    found = f"On this machine a step of the paper's small net takes {effect.in_words()} times as long with BN as without"
    price = f"({times[SUBJECT]:.2f} and {times[CONTROL]:.2f} ms, not compiled)"
    if effect.covers(1) or effect.estimate < 1:
        return f"{found} {price}: no price of BN was found here."
    saved = 100 * (1 - 1 / effect.estimate)
    return f"{found} {price}, so that to save time here BN has to save at least {saved:.0f} % of the steps."


def draw(evidence: Evidence, figure: Figure) -> None:
    """Step time relative to a net without norm: a point is a repetition, the bar their median."""
    figure.set_size_inches(6.2, 3.4)
    axes = figure.subplots()
    ratios = evidence.data["ratios"]
    for place, (arm, ratio) in enumerate(ratios.items()):
        color = {CONTROL: COLORS["none"], SUBJECT: COLORS["batch"]}.get(arm, "#009E73")
        axes.plot(place + np.linspace(-0.1, 0.1, len(ratio)), ratio, "o", color=color, markersize=5, alpha=0.7)
        axes.plot([place - 0.22, place + 0.22], [np.median(ratio)] * 2, color="#000000", linewidth=1.6)
    axes.axhline(1, color="#333333", linewidth=0.8)
    names = [f"{WORDS.get(arm, arm)}\n{evidence.data['milliseconds'][arm]:.2f} ms" for arm in ratios]
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="time of a step, relative to no norm", ylim=(0, None))


CLAIM = register(Claim(
    id="step_cost", section="N1",
    statement="A training step with batch normalisation takes longer than one without.",
    source="ours: every speed-up in steps has to be read with it",
    formula="median step time with BN over that without, interleaved rounds of 20 steps on one thread; paired within a "
    "repetition",
    control="norm=none", subject="norm=batch",
    measurement=Measurement(measure=measure, num_seeds={"smoke": 2, "quick": 6, "full": 8}, parallel=False, takes_subject=True),
    endpoints={
        "step time": Endpoint("geometric-mean ratio of step times, with BN over without, over repetitions on one machine",
                              Difference(null=1, smallest=1.05, scale="ratio", drawn="repetition")),
    },
    caveats=(
        "The paper's small net on a CPU, eager PyTorch: the share is smaller on large layers and fused kernels.",
        "The repetitions are of one machine on one occasion: the interval covers their scatter, not other machines.",
    ),
    overturn="Another machine, model or device: bnexp reproduce step_cost",
    deviations=("Six repetitions of 300 steps at quick, to save time; the verdict was the same with eight of 500.",),
    analyse=analyse, draw=draw, say=say,
))  # fmt: skip
