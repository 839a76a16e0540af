"""The training loops of the benchmark, in the order of its table. A new one is a function and a line here."""

from __future__ import annotations

from dataclasses import dataclass

#: Runs side by side in one program: four on a processor, as JAX's is; a GPU has room for 64.
STACKED_SEEDS = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A training loop ``function(job, took)``: it trains for ``job.turns`` turns of ``job.steps`` steps each.

    Attributes:
        words: what it is, in the table.
        function: where it is, ``module:name``; only the process that runs it imports it.
        overrides: more words for ``bnexp train``.
        processes: how many do the same at the same time, each with a seed of its own and one thread.
        stacked: whether each process trains ``STACKED_SEEDS`` runs side by side.
        quick: whether the smallest size has it too.
        forced: whether it is also measured with fewer instructions than the processor has.
        devices: in whose tables it is.
        networks: for which it makes sense.
    """

    words: str
    function: str
    overrides: tuple[str, ...] = ()
    processes: int = 1
    stacked: bool = False
    quick: bool = False
    forced: bool = True
    devices: tuple[str, ...] = ("cpu", "cuda")
    networks: tuple[str, ...] = ("mlp", "cnn")


_EAGER = ("probes=none", "execution.compile=off")
_COMPILED = ("probes=none", "execution.compile=on")
_ONE, _MANY, _CPU = "benchmark.ours:one_run", "benchmark.ours:stacked_runs", ("cpu",)

MODES: dict[str, Mode] = {
    "usual": Mode(
        words="torchvision + DataLoader as it comes (the usual loop)", function="benchmark.loops:usual_loop", quick=True
    ),
    "lightning": Mode(
        words="PyTorch Lightning, the same DataLoader", function="benchmark.loops:lightning_loop", forced=False
    ),
    "in_memory": Mode(
        words="hand-written, all data in memory, eager", function="benchmark.loops:in_memory_loop", quick=True
    ),
    "jax": Mode(words="JAX, compiled", function="benchmark.jax_scan:one_run", devices=_CPU),
    "jax_vmap": Mode(
        words="JAX, compiled, 4 seeds vmapped", function="benchmark.jax_scan:stacked_runs", stacked=True,
        devices=_CPU, networks=("mlp",),  # vmapped convolutions take XLA minutes a few steps on a CPU
    ),
    "eager": Mode(words="bnexp, eager", function=_ONE, overrides=_EAGER, quick=True),
    "compiled": Mode(words="bnexp, compiled", function=_ONE, overrides=_COMPILED, quick=True),
    "stacked_compiled": Mode(
        words="bnexp, stacked seeds, compiled", function=_MANY, overrides=_COMPILED, stacked=True, forced=False, networks=("mlp",)
    ),
    "compiled_pair": Mode(
        words="bnexp, compiled, two processes", function=_ONE, overrides=_COMPILED, processes=2, quick=True, devices=_CPU
    ),
    "stacked_pair": Mode(
        words="bnexp, stacked seeds, compiled, two processes", function=_MANY, overrides=_COMPILED, processes=2,
        stacked=True, forced=False, devices=_CPU, networks=("mlp",),
    ),
    "looks_light": Mode(
        words="what probes=light adds to a step", function="benchmark.ours:looks", overrides=("probes=light",), forced=False
    ),
    "looks_full": Mode(
        words="what probes=full adds to a step", function="benchmark.ours:looks", overrides=("probes=full",), forced=False
    ),
    "floor": Mode(
        words="floor: bare products, one thread", function="benchmark.floor:as_torch", quick=True, devices=_CPU
    ),
    "floor_pair": Mode(
        words="floor: bare products, two processes", function="benchmark.floor:as_torch", processes=2, quick=True,
        devices=_CPU,
    ),
    "floor_best_pair": Mode(
        words="floor: fastest kernel for each product, two processes", function="benchmark.floor:fastest", processes=2,
        devices=_CPU,
    ),
    "runs": Mode(words="complete runs", function="benchmark.ours:whole_runs", devices=()),
}  # fmt: skip
