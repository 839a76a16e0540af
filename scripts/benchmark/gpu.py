"""A training step on a GPU, where there is one: the paper's network alone, because small nets are what a GPU is bad at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmark.contest import hold
from benchmark.modes import MODES, STACKED_SEEDS
from benchmark.numbers import markdown, milliseconds, ratio, spread
from benchmark.plan import Size, base_job, table_jobs
from benchmark.targets import Target, table_rows


def measure(size: Size, data_dir: str | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """The loops that run on a GPU, turn by turn."""
    base = base_job(size, "mlp", "batch", "cuda", data_dir, "")
    rows = [one.as_json() for one in hold(table_jobs(size, base, forced=False), tell)]
    table = {"network": base.network, "norm": base.norm, "device": base.device, "steps": base.steps, "rows": rows}
    return {"rounds": size.rounds, "tables": [table]}


def section(found: Mapping[str, Any]) -> str:
    """The table of the page."""
    rows = table_rows(found, "mlp", "batch", "cuda")
    lines = []
    for name, row in rows.items():
        faster = "" if name.startswith("looks") else ratio(rows["usual"], row).words(1)
        memory = f"{sum(row['memory']) / 1e6:,.0f}"
        lines.append((MODES[name].words, spread(milliseconds(row)).words(4), faster, memory))
    head = ("loop", "ms per step and seed", "usual loop / this", "memory of the process, MB")
    return f"{found['tables'][0]['steps']} steps a turn, {found['rounds']} rounds.\n\n{markdown(head, lines)}"


def targets(found: Mapping[str, Any]) -> list[Target]:
    """What was asked of runs side by side."""
    rows = table_rows(found, "mlp", "batch", "cuda")
    words, goal = f"time of a step of {STACKED_SEEDS['cuda']} runs side by side over that of one run", "at most 2"
    if "stacked_compiled" not in rows or "compiled" not in rows:
        return [Target(words, goal, "the loops did not run", None)]
    per_step = [np.array(rows[name]["seconds"]) / rows[name]["steps"] for name in ("stacked_compiled", "compiled")]
    over = spread(per_step[0] / per_step[1])
    return [Target(words, goal, over.words(), over.median <= 2)]
