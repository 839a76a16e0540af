"""What was aimed at, what was measured, and whether it holds: decided by medians over rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.numbers import milliseconds, ratio, spread

#: bnexp's own loops; the cheapest per step and seed is the one that is held against the others.
OURS = ("eager", "compiled", "stacked_compiled", "compiled_pair", "stacked_pair")

GIGABYTE = 1e9

Rows = dict[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """One line: ``holds`` is None where it could not be measured, and ``measured`` then says why."""

    words: str
    goal: str
    measured: str
    holds: bool | None


def targets(bench: Mapping[str, Any]) -> list[Target]:
    """Those of the training step, from one instruction set's part of ``bench.json``."""
    rows = table_rows(bench, "mlp", "batch", "cpu")
    images = table_rows(bench, "cnn", "batch", "cpu")
    lines = [*_price(rows), _images(images)]
    return [*lines, *_probes(rows), _memory(bench)] if bench["isa"] == "native" else lines


def table_rows(bench: Mapping[str, Any], network: str, norm: str, device: str) -> Rows:
    """The loops of one table that ran, by name."""
    return {
        row["mode"]: row
        for table in bench["tables"]
        if (table["network"], table["norm"], table["device"]) == (network, norm, device)
        for row in table["rows"]
        if not row["skipped"]
    }


def cheapest(rows: Rows) -> Mapping[str, Any]:
    """The loop of ours with the least median milliseconds per step and seed."""
    return min((rows[name] for name in OURS if name in rows), key=lambda row: np.median(milliseconds(row)))


def cheapest_rival(rows: Rows) -> str:
    """JAX's loop with the least median milliseconds per step and seed; its plain one where neither ran."""
    ran = [name for name in ("jax_vmap", "jax") if name in rows]
    return min(ran, key=lambda name: np.median(milliseconds(rows[name])), default="jax")


def _price(rows: Rows) -> Iterator[Target]:
    ours = cheapest(rows)["mode"]
    lines = (
        ("one thread: our step, over torch's bare products", "compiled", "floor", 1.35),
        ("all cores: our price per step and seed, over the fastest kernel for each product", ours, "floor_best_pair", 1.8),
    )
    for words, above, below, goal in lines:
        yield _at_most(words, rows, above, below, goal)
    rivals = (("the usual loop's", "usual", 25.0), ("JAX's best", cheapest_rival(rows), 1.3))
    for words, other, goal in rivals:
        yield _at_least(f"all cores: {words} price per step and seed, over ours", rows, other, ours, goal)


def _images(rows: Rows) -> Target:
    words = "convolutional net, two processes: our step, over the fastest kernel for each convolution"
    return _at_most(words, rows, "compiled_pair", "floor_best_pair", 1.25)


def _at_most(words: str, rows: Rows, above: str, below: str, goal: float) -> Target:
    if missing := [name for name in (above, below) if name not in rows]:
        return Target(words, f"at most {goal:g}", f"{missing[0]} did not run", None)
    found = ratio(rows[above], rows[below])
    return Target(words, f"at most {goal:g}", found.words(), found.median <= goal)


def _at_least(words: str, rows: Rows, above: str, below: str, goal: float) -> Target:
    if missing := [name for name in (above, below) if name not in rows]:
        return Target(words, f"at least {goal:g}", f"{missing[0]} did not run", None)
    found = ratio(rows[above], rows[below])
    return Target(words, f"at least {goal:g}", found.words(), found.median >= goal)


def _probes(rows: Rows) -> Iterator[Target]:
    for name, most in (("light", 3), ("full", 30)):
        words, goal = f"share of training time that probes={name} takes (eager)", f"at most {most} %"
        if f"looks_{name}" not in rows:
            yield Target(words, goal, "not measured", None)
            continue
        share = spread(100 * milliseconds(rows[f"looks_{name}"]) / milliseconds(rows["eager"]))
        yield Target(words, goal, f"{share.words(1)} %", share.median <= most)


def _memory(bench: Mapping[str, Any]) -> Target:
    memory = bench["default_run"]["memory"] / GIGABYTE
    return Target("memory of `bnexp train` as it comes", "under 1.2 GB", f"{memory:.2f} GB", memory < 1.2)
