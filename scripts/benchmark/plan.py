"""What is measured: which loops on which network, and which sizes for scaling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmark.job import Job
from benchmark.modes import MODES, STACKED_SEEDS

BATCH_SIZES = {"mlp": 60, "cnn": 64}


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: counted turns of every loop.
        steps: training steps a turn, by network.
        settings: network, norm and device of each table; a GPU's is added where there is one.
        runs: steps of the runs whose cost is put against their length.
        seeds: numbers of runs whose cost is put against their number; each of ``runs[0]`` steps.
        widths: of the MLP's hidden layers; may be empty.
        examples: numbers of training examples; may be empty.
        everything: every loop, not only the quick ones.
    """

    rounds: int
    steps: dict[str, int]
    settings: tuple[tuple[str, str], ...]
    runs: tuple[int, ...]
    seeds: tuple[int, ...]
    widths: tuple[int, ...]
    examples: tuple[int, ...]
    everything: bool


FULL = Size(
    rounds=6, steps={"mlp": 500, "cnn": 16}, settings=(("mlp", "batch"), ("mlp", "none"), ("cnn", "batch"), ("cnn", "none")),
    runs=(500, 1000, 2000, 4000), seeds=(1, 2, 4, 8), widths=(50, 100, 200, 400), examples=(375, 750, 1500, 3000),
    everything=True,
)  # fmt: skip
QUICK = Size(
    rounds=2, steps={"mlp": 100, "cnn": 4}, settings=(("mlp", "batch"),), runs=(100, 200, 400), seeds=(2, 4, 8),
    widths=(), examples=(), everything=False,
)  # fmt: skip


def table_jobs(size: Size, base: Job) -> list[Job]:
    """One job a loop, for the network, norm and device of ``base``."""
    jobs = []
    for name, mode in MODES.items():
        fits = base.device in mode.devices and base.network in mode.networks
        if fits and (size.everything or mode.quick):
            threads = 1 if mode.processes > 1 or name == "floor" else None
            seeds = STACKED_SEEDS[base.device] if mode.stacked else 1
            jobs.append(replace(base, mode=name, threads=threads, seeds=seeds, overrides=mode.overrides))
    return jobs


def base_job(size: Size, network: str, norm: str, device: str, data_dir: str | None, images: str) -> Job:
    """What all loops of a table have in common."""
    return Job(
        mode="eager", network=network, norm=norm, device=device, batch_size=BATCH_SIZES[network],
        steps=size.steps[network], turns=size.rounds + 1, seed=0, seeds=1, threads=None, data_dir=data_dir,
        images=images if network == "cnn" else None,
    )  # fmt: skip


def scaling_jobs(size: Size, base: Job) -> dict[str, tuple[Sequence[int], list[Job]]]:
    """For each of steps, seeds, width and examples: the sizes, and a job of each."""
    eager = replace(base, overrides=MODES["eager"].overrides)
    runs = replace(base, mode="runs", steps=size.runs[0], overrides=("probes=none",))

    def with_word(word: str) -> Job:
        return replace(eager, overrides=(*eager.overrides, word))

    found = {
        "steps": (size.runs, [replace(runs, steps=steps) for steps in size.runs]),
        "seeds": (size.seeds, [replace(runs, seeds=seeds) for seeds in size.seeds]),
        "width": (size.widths, [with_word(f"model.width={width}") for width in size.widths]),
        "examples": (size.examples, [with_word(f"dataset.train_examples={count}") for count in size.examples]),
    }
    return {over: (sizes, jobs) for over, (sizes, jobs) in found.items() if sizes}
