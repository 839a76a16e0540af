"""What was aimed at, what was measured, and whether it holds: decided by medians over rounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmark.numbers import Spread, distance_from_line, milliseconds, ratio, spread

#: bnexp's own loops; the cheapest per step and seed is the one that is held against the others.
OURS = ("eager", "compiled", "stacked", "stacked_compiled", "compiled_pair", "stacked_pair")

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
    """All of them, from ``bench.json``."""
    rows = table_rows(bench, "mlp", "batch", "cpu")
    return [*_price(rows), *_probes(rows), *_linear(bench), _memory(bench), _gpu(bench)]


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


def _price(rows: Rows) -> Iterator[Target]:
    ours = cheapest(rows)
    lines = (
        ("the usual loop's price per step and seed, over ours", "usual", False, 25.0),
        ("the price of JAX's vectorised scan, over ours", "jax_vmap", False, 1.0),
        ("our price, over torch's bare products on all cores", "floor_pair", True, 1.8),
        ("our price, over the fastest kernel for each product", "floor_best_pair", True, 1.8),
    )
    for words, other, ours_above, goal in lines:
        bound = f"at most {goal:g}" if ours_above else f"at least {goal:g}"
        if other not in rows:
            yield Target(words, bound, "the other loop did not run", None)
            continue
        found = ratio(ours, rows[other]) if ours_above else ratio(rows[other], ours)
        yield Target(words, bound, found.words(), found.median <= goal if ours_above else found.median >= goal)


def _probes(rows: Rows) -> Iterator[Target]:
    for name, most in (("light", 3), ("full", 30)):
        words, goal = f"share of training time that probes={name} takes (eager)", f"at most {most} %"
        if f"looks_{name}" not in rows:
            yield Target(words, goal, "not measured", None)
            continue
        share = spread(100 * milliseconds(rows[f"looks_{name}"]) / milliseconds(rows["eager"]))
        yield Target(words, goal, f"{share.words(1)} %", share.median <= most)


def _linear(bench: Mapping[str, Any]) -> Iterator[Target]:
    """In seeds from as many on as there are cores: fewer leave cores idle."""
    for over in ("steps", "seeds"):
        words = f"largest distance of a cost from a straight line in {over}"
        scaling = bench["scaling"][over]
        least = bench["machine"]["cores"] if over == "seeds" else 0
        used = [row for row in zip(scaling["sizes"], scaling["rows"], strict=True) if row[0] >= least]
        if any(row["skipped"] for _, row in used):
            yield Target(words, "at most 10 %", next(row["skipped"] for _, row in used if row["skipped"]), None)
            continue
        found = distance_from_line([size for size, _ in used], np.array([row["seconds"] for _, row in used]))
        percent = Spread(100 * found.median, 100 * found.low, 100 * found.high)
        yield Target(words, "at most 10 %", f"{percent.words(1)} %", found.median <= 0.10)


def _memory(bench: Mapping[str, Any]) -> Target:
    memory = bench["default_run"]["memory"] / GIGABYTE
    return Target("memory of `bnexp train` as it comes", "under 1.2 GB", f"{memory:.2f} GB", memory < 1.2)


def _gpu(bench: Mapping[str, Any]) -> Target:
    rows = table_rows(bench, "mlp", "batch", "cuda")
    words, goal = "on a GPU, time of a step of 64 stacked seeds over that of one run", "at most 2"
    if "stacked_compiled" not in rows or "compiled" not in rows:
        return Target(words, goal, "not measured: " + (bench["gpu"] or "the loops did not run"), None)
    per_step = [np.array(rows[name]["seconds"]) / rows[name]["steps"] for name in ("stacked_compiled", "compiled")]
    found = spread(per_step[0] / per_step[1])
    return Target(words, goal, found.words(), found.median <= 2)
