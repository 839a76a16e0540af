"""``README.md`` beside ``bench.json``: what was aimed at, the tables, how cost grows, and the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmark.modes import MODES
from benchmark.numbers import Spread, distance_from_line, growth, milliseconds, ratio, spread
from benchmark.targets import table_rows, targets

NETWORKS = {
    "mlp": "The paper's network: 784-100-100-100-10, sigmoid, batch 60",
    "cnn": "`model=cnn` on 32x32 colour images, batch 64",
}
NORMS = {"batch": "with BN", "none": "without BN"}
OVER = {
    "steps": "steps of a run",
    "seeds": "runs on all cores",
    "width": "units a layer",
    "examples": "training examples",
}


def page(bench: Mapping[str, Any]) -> str:
    """The Markdown page."""
    tables = "\n\n".join(_section(bench, table) for table in bench["tables"])
    return PAGE.format(
        targets=_targets(bench), tables=tables, scaling=_scaling(bench), machine=_machine(bench), rounds=bench["rounds"],
        gpu=f"\n\nNo table of a GPU: {bench['gpu']}." if bench["gpu"] else "",
        stacked="; ".join(_stack_sizes(bench)), data=bench["data"],
    )  # fmt: skip


def _targets(bench: Mapping[str, Any]) -> str:
    says = {True: "yes", False: "**no**", None: "not measured"}
    rows = [(line.words, line.goal, line.measured, says[line.holds]) for line in targets(bench)]
    return _markdown(("what (the paper's network, with BN)", "target", "measured", "holds"), rows)


def _section(bench: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    rows = table_rows(bench, table["network"], table["norm"], table["device"])
    place = "" if table["device"] == "cpu" else f", on {bench['machine']['gpu']}"
    title = f"### {NETWORKS[table['network']]}, {NORMS[table['norm']]}{place}"
    lines = [_line(row, rows) for row in table["rows"] if not row["skipped"]]
    head = ("loop", "ms per step and seed", "usual loop / this", "this / bare products, all cores", "memory, MB")
    skipped = [f"- {MODES[row['mode']].words}: {row['skipped']}" for row in table["rows"] if row["skipped"]]
    left_out = "\n\nNot run:\n\n" + "\n".join(skipped) if skipped else ""
    return f"{title}\n\n{table['steps']} steps a turn.\n\n{_markdown(head, lines)}{left_out}"


def _line(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    faster = ratio(rows["usual"], row).words(1) if "usual" in rows else ""
    slower = ratio(row, rows["floor_pair"]).words(1) if "floor_pair" in rows else ""
    if row["mode"].startswith("looks"):
        faster = slower = ""
    memory = f"{sum(row['memory']) / 1e6:,.0f}"
    return MODES[row["mode"]].words, spread(milliseconds(row)).words(3), faster, slower, memory


def _scaling(bench: Mapping[str, Any]) -> str:
    lines = []
    for over, scaling in bench["scaling"].items():
        rows = scaling["rows"]
        if any(row["skipped"] for row in rows):
            lines.append((OVER[over], "", next(row["skipped"] for row in rows if row["skipped"]), "", ""))
            continue
        seconds_KR = np.array([row["seconds"] for row in rows])
        unit = 1.0 if over in ("steps", "seeds") else 1e3 / rows[0]["steps"]
        costs = ", ".join(f"{unit * np.median(seconds_R):.3g}" for seconds_R in seconds_KR)
        line = distance_from_line(scaling["sizes"], seconds_KR)
        percent = Spread(*(100 * value for value in (line.median, line.low, line.high)))
        sizes = ", ".join(f"{size:,}" for size in scaling["sizes"])
        words = "s" if unit == 1.0 else "ms a step"
        lines.append(
            (OVER[over], sizes, f"{costs} {words}", growth(scaling["sizes"], seconds_KR).words(), percent.words(1))
        )
    return _markdown(("over", "sizes", "cost, medians", "exponent", "largest distance from a line, %"), lines)


def _stack_sizes(bench: Mapping[str, Any]) -> Iterable[str]:
    for device in dict.fromkeys(table["device"] for table in bench["tables"]):
        rows = [row for table in bench["tables"] if table["device"] == device for row in table["rows"]]
        yield f"{max(row['seeds'] for row in rows)} on the {'GPU' if device == 'cuda' else 'processor'}"


def _machine(bench: Mapping[str, Any]) -> str:
    machine = bench["machine"]
    versions = ", ".join(f"{name} {found}" for name, found in machine["versions"].items() if found)
    git = machine["git"]
    rows = [
        ("command", f"`{bench['command']}`, {bench['minutes']:g} minutes"),
        (
            "processor",
            f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['capability']}",
        ),
        ("GPU", machine["gpu"] or "none"),
        ("threads torch takes by itself", str(machine["threads"])),
        ("busy with other work", f"load average {machine['load_before']} before the start"),
        ("versions", f"Python {machine['python']}, {versions}"),
        ("commit", f"{git['commit'][:12]}{'' if git['clean'] else ' with changes'}" if git else "not a checkout"),
        ("date", machine["date"]),
    ]
    return _markdown(("measured with", ""), rows)


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("--:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


PAGE = """\
# What training costs

Written by `scripts/bench.py` from [bench.json](bench.json), which holds every turn; do not edit.

## What was aimed at

{targets}

Ours is the cheapest of bnexp's loops by its median. Numbers are medians over {rounds} rounds, with the 5th and 95th percentile in
brackets; each loop trains a turn in every round, and ratios are taken within rounds. A step is forward, backward and update.

![ms per step and seed of every loop, with and without BN, and the floor](bench.png)

## Side by side

{tables}{gpu}

Data: {data}.

Each loop is a process of its own. Its memory is the largest resident set, of two processes their sum; JAX's
includes torch, which reads the images for it. Runs side by side in one program: {stacked}.
Compiling is not counted, nor is the first turn of any loop.

- **The usual loop**: an image at a time through `ToTensor` and `Normalize`, a `DataLoader` with `shuffle=True`,
  `torch.optim.SGD` as it comes, `loss.item()` and the accuracy at every step, torch's own number of threads.
- **Lightning**: its Trainer on the same `DataLoader`; loss and accuracy through `self.log`; no logger, checkpoints or bar.
- **Hand-written**: the images as standardised float32 in memory, a permutation an epoch, nothing read back.
- **JAX**: the whole turn as one compiled `lax.scan` over bytes in memory, on as many threads as it takes; losses and counts of
  all steps are collected. The convolutional net has one compiled step called in turn, because XLA is far slower on convolutions
  inside a scan on a CPU; vmapped over seeds it is left out for the same reason.
- **bnexp**: `bnexp.engine.loop.train` itself (stacked: `bnexp.engine.ensemble.train_together`), with `threads=null` alone and
  one thread each as two processes; loss and accuracy of every step are collected. Evaluation and records are not counted;
  `end.json` of every run has them under `seconds`.
- **What probes add**: looks of `layer_inputs`, at one every `steps_between` steps, the most its schedule allows on average.
- **The floor**: the bare matrix products (convolutions) of forward and backward pass as torch computes them, the first layer's
  input gradient left out; no data, norm, nonlinearity or update. "Fastest kernel": the fastest float32 kernel that torch ships for
  each product. torch does not take it by itself, but our compiled step does, and so it can be below torch's own products.

## How cost grows

{scaling}

Steps and seeds: complete runs of `bnexp train` from start to end, evaluation and records included; runs side by side on all cores
with one thread each. Width and examples: one eager step. An exponent of 1 is proportional, 0 is no growth. The line is
`start + price * size`.

## Where

{machine}
"""
