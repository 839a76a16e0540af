"""``README.md`` beside ``bench.json``: what was aimed at, the tables of every part that was measured, and the machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark import answers, busy, gpu, growth
from benchmark.modes import MODES
from benchmark.numbers import markdown, milliseconds, ratio, spread
from benchmark.targets import Target, table_rows, targets

NETWORKS = {
    "mlp": "The paper's network: 784-100-100-100-10, sigmoid, batch 60",
    "cnn": "`model=cnn` on 32x32 colour images, batch 64",
}
NORMS = {"batch": "with BN", "none": "without BN"}

#: Parts of the benchmark beside the training step, and their modules.
OTHERS = {"answers": answers, "busy": busy, "growth": growth, "gpu": gpu}


#: Parts that are kept for each instruction set.
BY_SET = ("steps", "answers", "busy")

#: Ends the name of a set to which a processor with more was held, so that it takes no place of one that has no more.
HELD = ", held"


def page(bench: Mapping[str, Any]) -> str:
    """The Markdown page of all parts that were measured, those of ``BY_SET`` for one instruction set or more."""
    others = {f"more_{name}": "" for name in OTHERS}
    for name, text in SECTIONS.items():
        if name in bench:
            sections = [OTHERS[name].section(found["found"]) for _, found in _measured(bench, name)]
            if name in BY_SET:
                sections = [f"{_instructions(isa)}\n\n{one}" for isa, one in zip(bench[name], sections, strict=True)]
            others[f"more_{name}"] = text.format(section="\n\n".join(sections))
    return PAGE.format(targets=_targets(bench), steps=_steps(bench), machine=_machines(bench), **others)


def _measured(bench: Mapping[str, Any], name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """What there is of a part, by its name and instruction set."""
    if name in BY_SET:
        return [(f"{name}, {isa}", found) for isa, found in bench.get(name, {}).items()]
    return [(name, bench[name])] if name in bench else []


def _steps(bench: Mapping[str, Any]) -> str:
    parts = list(bench.get("steps", {}).items())
    if not parts:
        return ""
    tables = "\n\n".join(_of_one_set(isa, found) for isa, found in parts)
    (_, first), *_ = parts
    stacked = max(row["seeds"] for table in first["tables"] for row in table["rows"])
    return STEPS.format(tables=tables, rounds=first["rounds"], data=first["data"], stacked=stacked)


def _of_one_set(isa: str, found: Mapping[str, Any]) -> str:
    return "\n\n".join([_instructions(isa), *(_section(found, table) for table in found["tables"])])


def _instructions(isa: str) -> str:
    held = ", to which the same processor was held (`--isa`)" if isa.endswith(HELD) else ""
    return f"### Instructions: {isa.removesuffix(HELD)}{held}"


def _targets(bench: Mapping[str, Any]) -> str:
    says = {True: "yes", False: "**no**", None: "not measured"}
    lines: list[tuple[str, Target]] = []
    for part, found in _measured(bench, "steps"):
        lines += [(part, target) for target in targets(found)]
    for name, module in OTHERS.items():
        for part, found in _measured(bench, name):
            lines += [(part, target) for target in module.targets(found["found"])]
    rows = [(part, line.words, line.goal, line.measured, says[line.holds]) for part, line in lines]
    return markdown(("part", "what", "target", "measured", "holds"), rows)


def _section(bench: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    rows = table_rows(bench, table["network"], table["norm"], table["device"])
    title = f"#### {NETWORKS[table['network']]}, {NORMS[table['norm']]}"
    lines = [_line(row, rows) for row in table["rows"] if not row["skipped"]]
    head = ("loop", "ms per step and seed", "usual loop / this", "this / bare products, all cores", "memory, MB")
    skipped = [f"- {MODES[row['mode']].words}: {row['skipped']}" for row in table["rows"] if row["skipped"]]
    left_out = "\n\nNot run:\n\n" + "\n".join(skipped) if skipped else ""
    return f"{title}\n\n{table['steps']} steps a turn.\n\n{markdown(head, lines)}{left_out}"


def _line(row: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    faster = ratio(rows["usual"], row).words(1) if "usual" in rows else ""
    slower = ratio(row, rows["floor_pair"]).words(1) if "floor_pair" in rows else ""
    if row["mode"].startswith("looks"):
        faster = slower = ""
    memory = f"{sum(row['memory']) / 1e6:,.0f}"
    return MODES[row["mode"]].words, spread(milliseconds(row)).words(3), faster, slower, memory


def _machines(bench: Mapping[str, Any]) -> str:
    parts = [part for name in ("steps", *OTHERS) for part in _measured(bench, name)]
    return markdown(("part", "command", "processor", "busy before with", "versions", "commit", "date"), map(_machine, parts))


def _machine(part: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    name, found = part
    machine, git = found["machine"], found["machine"]["git"]
    versions = ", ".join(f"{package} {number}" for package, number in machine["versions"].items() if number)
    return (
        name,
        f"`{found['command']}`, {found['minutes']:g} minutes",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, {machine['capability']}"
        + (f", {machine['gpu']}" if machine["gpu"] else ""),
        f"load average {machine['load_before']}",
        f"Python {machine['python']}, {versions}",
        f"{git['commit'][:12]}{'' if git['clean'] else ' with changes'}" if git else "not a checkout",
        machine["date"],
    )


PAGE = """\
# What things cost

Written by `scripts/bench.py` from [bench.json](bench.json), which holds every turn; do not edit.

## What was aimed at

{targets}

Steps are those of the paper's network with BN where nothing else is said. AVX512 and AVX2 are the instructions that torch used:
"Where" says on which machine and of which commit; "held" is a processor with more that was told to use no more.

{steps}{more_answers}{more_busy}{more_growth}{more_gpu}## Where

{machine}
"""

SECTIONS = {
    "answers": """\
## From a command to its answer

Seconds are for comparing within a set of instructions: in other hours, or on another machine ("Where"), all of them are others.

{section}

""",
    "busy": """\
## A busy machine

{section}

""",
    "growth": """\
## How cost grows

{section}

![Every cost against its size on logarithmic axes, with a line of slope 1](growth.png)

Exponents are fitted to the upper half of the sizes, because a start that is always paid hides the price of the small: 1 is
proportional, 0 no growth; from 0.91 to 1.1 counts as linear. Runs in folders are made up, and commands timed from start to end.
Records are those of the default run, real but for its step, which does nothing. Whole runs and runs on all cores are
`bnexp train` from start to end; a step is an eager one. Width is put as the number of weights that it gives.

""",
    "gpu": """\
## On a GPU

The paper's network with BN, all data in the GPU's memory but for the usual loops. {section}

""",
}

STEPS = """\
## A training step

Ours is the cheapest of bnexp's loops by its median. Numbers are medians over {rounds} rounds, with the 5th and 95th percentile in
brackets; each loop trains a turn in every round, and ratios are taken within rounds. A step is forward, backward and update.
Loops are for comparing within a set of instructions: the sets may have been measured on two machines ("Where").

![ms per step and seed of every loop, and the floor](bench.png)

{tables}

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
  one thread each as two processes (alone, the paper's network has one thread too); loss and accuracy of every step are collected.
  Evaluation and records are not counted; `end.json` of every run has them under `seconds`.
- **What probes add**: looks of `layer_inputs`, each after some training steps, at one every `steps_between` steps, the most its
  schedule allows on average.
- **The floor**: the bare matrix products (convolutions) of forward and backward pass as torch computes them, the first layer's
  input gradient left out; no data, norm, nonlinearity or update, in memory that is kept and in huge pages as our step's is.
  "Fastest kernel": the fastest float32 kernel that torch ships for each product. torch does not take it by itself, but our
  compiled step does, and so it can be below torch's own products.

"""
