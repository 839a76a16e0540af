"""What is measured: which loops on which network, and which sizes for scaling."""

from __future__ import annotations

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
        settings: network and norm of each table; a GPU's is added where there is one.
        runs: steps of the runs whose cost is put against their length.
        seeds: numbers of runs whose cost is put against their number; each of ``runs[0]`` steps.
        widths, depths: of the MLP's hidden layers.
        folders: numbers of runs in a folder.
        lengths: steps of runs whose records are weighed.
        claims: numbers of claims; more than there are stands for all.
        everything: every loop, not only the few of the smallest size.
    """

    rounds: int
    steps: dict[str, int]
    settings: tuple[tuple[str, str], ...]
    runs: tuple[int, ...]
    seeds: tuple[int, ...]
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    folders: tuple[int, ...]
    lengths: tuple[int, ...]
    claims: tuple[int, ...]
    everything: bool


FULL = Size(
    rounds=9, steps={"mlp": 300, "cnn": 10}, settings=(("mlp", "batch"), ("cnn", "batch")),
    runs=(500, 1000, 4000), seeds=(2, 4, 8), widths=(50, 100, 200, 800), depths=(1, 4, 8, 16), folders=(10, 100, 1000, 10_000),
    lengths=(1000, 30_000, 1_000_000), claims=(4, 16, 32, 1000), everything=True,
)  # fmt: skip
SMOKE = Size(
    rounds=2, steps={"mlp": 60, "cnn": 4}, settings=(("mlp", "batch"),), runs=(50, 100),
    seeds=(2, 4), widths=(50, 100), depths=(2, 4), folders=(5, 20), lengths=(200, 800), claims=(1, 2), everything=False,
)  # fmt: skip
SIZES = {"full": FULL, "smoke": SMOKE}


def table_jobs(size: Size, base: Job, forced: bool = False) -> list[Job]:
    """One job a loop, for the network, norm and device of ``base``; ``forced`` to fewer instructions than there are."""
    jobs = []
    for name, mode in MODES.items():
        fits = base.device in mode.devices and base.network in mode.networks
        if fits and (size.everything or mode.quick) and (mode.forced or not forced):
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
